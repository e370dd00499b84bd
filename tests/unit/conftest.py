"""Settings for hypothesis: a machine that others use, too, may keep any example waiting, so none has a deadline."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")
