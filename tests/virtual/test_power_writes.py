"""Power cut before and after every single NVRAM write of every operation that has any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.virtual.memory import (
    MAX_TRIES,
    NEW_PIN,
    NEW_PUK,
    PIN,
    PUK,
    PUK_MAX_TRIES,
    RULES,
    contents,
    make_memory,
)
from tests.virtual.operations import OPERATIONS, Operation, furnish
from ushield.errors import TokenRemoved
from ushield.pin import PinReference
from ushield.virtual.keys import encode_public_key, load_private_key
from ushield.virtual.nvram import CutPower, Nvram, PowerCut
from ushield.virtual.pins import PinStore

USER, PUK_REFERENCE = PinReference.USER, PinReference.PUK
SECRETS = {USER: (PIN, NEW_PIN), PUK_REFERENCE: (PUK, NEW_PUK)}
MAX = {USER: MAX_TRIES, PUK_REFERENCE: PUK_MAX_TRIES}
MOST_WRITES = 20


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a token in use, switched off properly."""
    path = make_memory(tmp_path_factory.mktemp("furnished") / "token", profile="lenient")
    with Nvram.open(path) as nvram:
        furnish(nvram)
    return path.read_bytes()


def restore(path: Path, image: bytes) -> Path:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(image)
    return path


def cuts(path: Path, image: bytes, operation: Operation) -> Iterator[CutPower]:
    """Run ``operation`` anew with each power cut there is in it; the file is left as it is then."""
    for number in range(1, MOST_WRITES):
        for before in (True, False):
            cut = CutPower(number, before)
            nvram = Nvram.open(restore(path, image), faults=cut)
            try:
                operation.run(nvram)
            except PowerCut:
                with pytest.raises(PowerCut):
                    nvram.count_power_up()
                yield cut
            else:
                nvram.close()
                return
    pytest.fail("the operation writes without end")


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_after_any_power_cut(tmp_path: Path, furnished: bytes, operation: Operation) -> None:
    path = tmp_path / "token"
    with Nvram.open(restore(path, furnished)) as nvram:
        before = contents(nvram)
        tries_before = {each: nvram.reference(each).tries_left for each in PinReference}
        operation.run(nvram)
        after = contents(nvram)
    count = 0
    for count, _cut in enumerate(cuts(path, furnished, operation), start=1):  # noqa: B007
        with Nvram.open(path) as nvram:
            tries_never_rise_without_the_right_secret(nvram, operation, tries_before)
            one_secret_works_as_long_as_tries_are_left(nvram, operation)
            keys_are_whole(nvram)
            assert _but_secrets(contents(nvram)) in (_but_secrets(before), _but_secrets(after))
    assert count >= 2


def _but_secrets(memory: tuple[object, ...]) -> tuple[object, ...]:
    """All but the PIN and PUK; of a key that is made anew each time, only that it is there."""
    identity, _, keys, *rest = memory
    assert isinstance(keys, tuple)
    return identity, [key.reference for key in keys], *rest


def tries_never_rise_without_the_right_secret(
    nvram: Nvram, operation: Operation, tries_before: dict[PinReference, int]
) -> None:
    for reference in PinReference:
        tries = nvram.reference(reference).tries_left
        if tries > tries_before[reference]:
            assert reference in operation.proves
            assert tries == MAX[reference]


def one_secret_works_as_long_as_tries_are_left(nvram: Nvram, operation: Operation) -> None:
    pins = PinStore(nvram, RULES)
    for reference in PinReference:
        assert nvram.reference(reference).tries_left > 0
        stored = nvram.reference(reference).secret
        right = [secret for secret in SECRETS[reference] if stored.matches(secret)]
        assert len(right) == 1
        if reference not in operation.sets:
            assert right == [SECRETS[reference][0]]
        pins.verify(reference, right[0])
        assert nvram.reference(reference).tries_left == MAX[reference]


def keys_are_whole(nvram: Nvram) -> None:
    for key in nvram.keys()[2:]:
        private_key = load_private_key(key.private_key)
        assert encode_public_key(private_key.public_key()) == key.public_key


def test_wrong_pins_with_a_cut_at_every_place_lock_the_token_in_the_end(
    tmp_path: Path, furnished: bytes
) -> None:
    operation = next(each for each in OPERATIONS if each.name == "verify-wrong")
    for number, before in ((1, True), (1, False), (2, True), (2, False)):
        path = restore(tmp_path / "token", furnished)
        tries = MAX_TRIES - 1
        for _ in range(tries):
            nvram = Nvram.open(path, faults=CutPower(number, before))
            with pytest.raises(PowerCut):
                operation.run(nvram)
            with Nvram.open(path) as again:
                left = again.reference(USER).tries_left
            committed = (number, before) == (2, False)
            assert left == tries - committed
            tries = left


def test_power_cut_is_a_removal_for_whoever_does_not_know_it() -> None:
    assert issubclass(PowerCut, TokenRemoved)
