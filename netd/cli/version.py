"""What this is, and which releases it stands for."""

from __future__ import annotations

from pycni.settings import REFERENCE_VERSION

SPEC_VERSION = "1.1.0"
"""The newest CNI specification the plugins speak."""


def package_version() -> str:
    """The installed distribution's version; "unknown" in a checkout that was never installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pycni")
    except PackageNotFoundError:
        return "unknown"


def version_text() -> str:
    return f"pynet {package_version()} (CNI {SPEC_VERSION}, plugins as of {REFERENCE_VERSION})"
