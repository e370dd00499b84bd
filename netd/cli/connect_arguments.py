"""Flags of `pynet connect` and `pynet disconnect`, apart from what they do: every command builds the whole parser, and
running plugins takes many modules."""

from __future__ import annotations

import argparse


def add_connect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", metavar="NETWORK")
    parser.add_argument("container", metavar="ns:PATH", help="a network namespace by its path")
    add = parser.add_argument
    add("-p", "--publish", action="append", default=[], metavar="[IP:]HOST:CONTAINER[/PROTO]", help="publish a port")
    add("--ip", default="", metavar="ADDRESS", help="this address instead of the next free one")
    add("--mac-address", default="", metavar="MAC")
    add("--ifname", default="", metavar="NAME", help="default: the first free of eth0, eth1, …")
    add("--id", default="", metavar="ID", help="container id for the lease; default: from the path")
    add("--json", action="store_true", help="print the CNI result")


def add_disconnect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", metavar="NETWORK")
    parser.add_argument("container", metavar="ns:PATH", help="a network namespace by its path")
    parser.add_argument("--ifname", default="", metavar="NAME", help="only this interface")
