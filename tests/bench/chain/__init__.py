"""The benchmark of the plugin chain against the reference plugins and netavark (tests/bench/README.md)."""
