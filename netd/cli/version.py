"""What this is, and which releases it stands for."""

from __future__ import annotations

from netd import VERSION
from pycni.settings import REFERENCE_VERSION
from pycni.spec.version import CURRENT


def version_text() -> str:
    return f"pynet {VERSION} (CNI {CURRENT}, plugins as of {REFERENCE_VERSION})"
