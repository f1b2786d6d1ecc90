"""Real virtual tokens for the key store's tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from ushield.testing.token import VirtualTokenUnderTest

MakeToken: TypeAlias = Callable[..., VirtualTokenUnderTest]


@pytest.fixture
def bare(virtual_token_factory: MakeToken) -> VirtualTokenUnderTest:
    """A token without keys."""
    return virtual_token_factory(algorithm=None)
