"""The HTTP API, in docker's wire format, on a unix socket."""
