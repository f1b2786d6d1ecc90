"""The management key: proven in one direction or both, replaced, and never answered for others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.virtual.piv_host import CONDITIONS, NOT_SATISFIED, OK, PivHost, cipher
from ushield.iso7816.status import StatusWord
from ushield.piv.commands import DEFAULT_MANAGEMENT_KEY, Instruction, ManagementAlgorithm

TRIPLE_DES = ManagementAlgorithm.TRIPLE_DES
WRONG_DATA = StatusWord.WRONG_DATA


@pytest.fixture
def host(tmp_path: Path) -> Iterator[PivHost]:
    with PivHost.create(tmp_path) as host:
        yield host


def set_key(host: PivHost, algorithm: int, key: bytes, p2: int = 0xFF) -> int:
    data = bytes((algorithm, 0x9B, len(key))) + key
    return host.send(Instruction.SET_MANAGEMENT_KEY, 0xFF, p2, data).sw


def test_both_sides_prove_it(host: PivHost) -> None:
    assert host.authenticate() == OK
    assert host.put(0x5FC105, b"x") == OK


def test_the_host_alone_proves_it(host: PivHost) -> None:
    challenge = host.taken(host.dynamic(TRIPLE_DES, 0x9B, (0x81, b"")), 0x81)
    response = cipher(TRIPLE_DES, DEFAULT_MANAGEMENT_KEY).encryptor().update(challenge)
    assert host.dynamic(TRIPLE_DES, 0x9B, (0x82, response)).ok
    assert host.put(0x5FC105, b"x") == OK


def test_another_key_proves_nothing_and_ends_what_the_right_one_began(host: PivHost) -> None:
    host.authenticate()
    assert host.authenticate(bytes(range(24))) == NOT_SATISFIED
    assert host.put(0x5FC105, b"x") == NOT_SATISFIED


@pytest.mark.parametrize("algorithm", ManagementAlgorithm)
def test_it_is_replaced_by_any_kind(host: PivHost, algorithm: ManagementAlgorithm) -> None:
    key = os.urandom(algorithm.key_size)
    assert set_key(host, algorithm, key) == NOT_SATISFIED
    assert host.metadata(0x9B)[5] == b"\x01"
    host.authenticate()
    assert set_key(host, algorithm, key) == OK
    assert host.metadata(0x9B)[1] == bytes((algorithm,))
    assert host.metadata(0x9B)[5] == b"\x00"
    host.token.card.power_on()
    host.select()
    assert host.authenticate() != OK
    assert host.authenticate(key, algorithm) == OK


def test_what_is_no_key_is_not_set(host: PivHost) -> None:
    host.authenticate()
    assert set_key(host, 0x03, bytes(16)) == WRONG_DATA
    assert set_key(host, 0x08, bytes(24)) == WRONG_DATA
    assert set_key(host, 0x07, bytes(24)) == WRONG_DATA
    assert set_key(host, 0x0A, bytes(24), 0x00) == StatusWord.WRONG_PARAMETERS
    send = host.send
    assert send(Instruction.SET_MANAGEMENT_KEY, 0xFF, 0xFF, b"\x03\x9b").sw == WRONG_DATA
    wrong_length = b"\x0a\x9b\x17" + bytes(24)
    assert send(Instruction.SET_MANAGEMENT_KEY, 0xFF, 0xFF, wrong_length).sw == WRONG_DATA
    assert host.authenticate() == OK


def test_a_challenge_is_good_for_one_answer(host: PivHost) -> None:
    challenge = host.taken(host.dynamic(TRIPLE_DES, 0x9B, (0x81, b"")), 0x81)
    response = cipher(TRIPLE_DES, DEFAULT_MANAGEMENT_KEY).encryptor().update(challenge)
    assert host.dynamic(TRIPLE_DES, 0x9B, (0x82, bytes(8))).sw == NOT_SATISFIED
    assert host.dynamic(TRIPLE_DES, 0x9B, (0x82, response)).sw == CONDITIONS


def test_a_witness_is_no_challenge_and_a_challenge_no_witness(host: PivHost) -> None:
    challenge = host.taken(host.dynamic(TRIPLE_DES, 0x9B, (0x81, b"")), 0x81)
    answer = host.dynamic(TRIPLE_DES, 0x9B, (0x80, challenge), (0x81, bytes(8)))
    assert answer.sw == CONDITIONS
    witness = host.taken(host.dynamic(TRIPLE_DES, 0x9B, (0x80, b"")), 0x80)
    assert host.dynamic(TRIPLE_DES, 0x9B, (0x82, witness)).sw == CONDITIONS


@pytest.mark.parametrize("empty", [(), ((0x82, b""),)])
def test_the_card_encrypts_nothing_for_a_host_that_proved_nothing(
    host: PivHost, empty: tuple[tuple[int, bytes], ...]
) -> None:
    challenge = host.taken(host.dynamic(TRIPLE_DES, 0x9B, (0x81, b"")), 0x81)
    answer = host.dynamic(TRIPLE_DES, 0x9B, *empty, (0x81, challenge))
    assert answer.sw == WRONG_DATA
    assert answer.data == b""


def test_numbers_by_chance_are_to_be_had_by_algorithm_0(host: PivHost) -> None:
    first = host.taken(host.dynamic(0, 0x9B, (0x81, b"")), 0x81)
    assert len(first) == 8
    assert host.taken(host.dynamic(0, 0x9B, (0x81, b"")), 0x81) != first


def test_another_algorithm_than_the_key_s_is_refused(host: PivHost) -> None:
    assert host.dynamic(0x0A, 0x9B, (0x80, b"")).sw == StatusWord.WRONG_PARAMETERS
