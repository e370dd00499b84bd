"""`pynetd`: which of its processes to be.  Each is imported only where it runs: the name server is to stay small."""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> int:
    """The process's exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["dns"]:
        from netd.dns.main import main as dns

        return dns(given[1:])
    from netd.main import main as engine

    return engine(given)


if __name__ == "__main__":
    sys.exit(main())
