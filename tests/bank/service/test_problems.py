"""Every error of the bank has a status that somebody chose."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module

import ushield.bank
from ushield.bank.service.errors import ServiceError, Unexpected
from ushield.bank.service.problems import statuses
from ushield.errors import UShieldError

ELSEWHERE = ("ushield.bank.archive", "ushield.bank.batch", "ushield.bank.revocation")
"""What works beside the service, and is never asked by it."""


def kinds(kind: type[UShieldError] = UShieldError) -> Iterator[type[UShieldError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from kinds(each)


def test_no_error_of_the_bank_is_told_as_a_mistake_of_the_service() -> None:
    for module in pkgutil.walk_packages(ushield.bank.__path__, "ushield.bank."):
        if ".migrations" not in module.name:
            import_module(module.name)
    mistakes = {
        kind
        for kind in kinds()
        if kind.__module__.startswith("ushield.bank")
        and not kind.__module__.startswith(ELSEWHERE)
        and 500 in statuses(kind)
    }
    assert mistakes == {ServiceError, Unexpected}
