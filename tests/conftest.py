"""What the whole suite shares."""

from __future__ import annotations

from hypothesis import settings

pytest_plugins = ["pytester"]

# A loaded machine is slow, not wrong: no test of a property is a test of time.
settings.register_profile("ushield", deadline=None)
settings.load_profile("ushield")
