"""`pynet run --rm IMAGE true` against nerdctl, podman and docker, in one interleaved run."""
