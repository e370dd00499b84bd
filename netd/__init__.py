"""The companion daemon and the command line."""

VERSION = "0.1.0"
