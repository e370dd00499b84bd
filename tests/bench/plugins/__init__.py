"""Each plugin against the reference's of the same name: `scripts/bench-plugins`."""
