"""For all tests: hypothesis does not take a busy machine for a slow program.  Tests of how long
something takes measure it themselves."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("busy", deadline=None)
settings.load_profile("busy")
