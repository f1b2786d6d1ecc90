"""The keys of the shield applet are out of PIV's reach, whatever a host sends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.virtual.host import Host
from tests.virtual.piv_host import OK, PIN, PUK, PivHost, padded
from ushield.algorithms import KeyAlgorithm
from ushield.iso7816.tlv import encode
from ushield.piv.commands import AID, ALGORITHM_CODE, Instruction
from ushield.shield.commands import DataObject, KeyUsageCode
from ushield.shield.objects import encode_key_reference

DIGEST = bytes(32)


@pytest.fixture
def shield(tmp_path: Path) -> Iterator[Host]:
    """A token with a display key, an authentication key and certificates, and none of PIV's."""
    with Host.create(tmp_path) as shield:
        shield.signing_key()
        shield.generate(KeyUsageCode.AUTHENTICATION, KeyAlgorithm.P384)
        yield shield


def unlocked(shield: Host) -> PivHost:
    host = PivHost(shield.token)
    host.verify()
    host.authenticate()
    return host


def test_no_instruction_of_piv_uses_tells_or_changes_a_key_of_the_shield(shield: Host) -> None:
    host = unlocked(shield)
    nvram = shield.token._nvram
    before = (nvram.keys(), nvram.certificates(), nvram.identity, nvram.counters())
    keys = nvram.keys()
    secrets = [secret for key in keys for secret in (key.private_key, key.public_key)]
    references = {key.reference for key in keys}
    slots = sorted({*range(256)} - {0x80, 0x81, 0x9B, 0xF9})
    answers: list[bytes] = []
    for slot in slots:
        for code in ALGORITHM_CODE.values():
            for tag in (0x81, 0x85):
                answer = host.dynamic(code, slot, (0x82, b""), (tag, DIGEST))
                assert not answer.ok
                assert not answer.data
        for ins in (Instruction.GET_METADATA, Instruction.ATTEST):
            for p1, p2 in ((0, slot), (slot, 0)):
                answers.append(host.send(ins, p1, p2).data)
        assert not host.send(Instruction.MOVE_KEY, 0xFF, slot).ok
        for reference in references:
            assert not host.send(Instruction.MOVE_KEY, reference, slot).ok
            assert not host.send(Instruction.MOVE_KEY, slot, reference).ok
            named = encode_key_reference(reference)
            assert not host.send(Instruction.ATTEST, slot, 0, named).ok
    for reference in references:
        scalar = encode(0x06, b"\x07" * 32)
        assert not host.send(Instruction.IMPORT, 0x11, reference, scalar).ok
        assert host.generate(reference) != OK
    tags = (*DataObject, *range(0x5FC100, 0x5FC200), *range(0x5FFF00, 0x5FFF20))
    answers += [host.get(tag).data for tag in tags]
    for secret in secrets:
        assert not any(secret in answer for answer in answers)
    after = (nvram.keys(), nvram.certificates(), nvram.identity, nvram.counters())
    assert after == before


_TEMPLATES = st.sampled_from(
    [
        b"",
        AID,
        padded(PIN),
        padded(PIN) + padded("97531042"),
        padded(PUK) + padded(PIN),
        bytes.fromhex("7C028000"),
        bytes.fromhex("7C028100"),
        bytes.fromhex("7C2482008120") + DIGEST,
        bytes.fromhex("AC03800111"),
        bytes.fromhex("5C035FC105") + encode(0x53, b"x"),
        bytes.fromhex("5C017E"),
        encode(0x06, b"\x07" * 32),
        bytes.fromhex("089B10") + bytes(16),
        encode_key_reference(1),
    ]
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    commands=st.lists(
        st.tuples(
            st.one_of(st.sampled_from([int(ins) for ins in Instruction]), st.integers(0, 255)),
            st.one_of(st.sampled_from([0, 0x11, 0x3F, 0xFF, 0x9A]), st.integers(0, 255)),
            st.one_of(st.sampled_from([0, 0x80, 0x81, 0x9A, 0x9B, 0xFF]), st.integers(0, 255)),
            st.one_of(_TEMPLATES, st.binary(max_size=40)),
        ),
        max_size=12,
    )
)
def test_whatever_comes_is_answered_and_leaves_the_shield_s_keys_as_they_are(
    shield: Host, commands: list[tuple[int, int, int, bytes]]
) -> None:
    nvram = shield.token._nvram
    before = (nvram.keys(), nvram.certificates(), nvram.vouchers())
    host = unlocked(shield)
    for ins, p1, p2, data in commands:
        answer = host.send(ins, p1, p2, data)
        assert answer.sw >> 12 in (6, 9)
        assert answer.data == b"" or answer.ok or answer.sw >> 8 == 0x61
    assert (nvram.keys(), nvram.certificates(), nvram.vouchers()) == before
