"""PIN and PUK through PIV: the token's own, with the counters of both applications."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.virtual.host import Host
from tests.virtual.piv_host import (
    CONDITIONS,
    NOT_SATISFIED,
    OK,
    OTHER_PIN,
    PIN,
    PUK,
    PivHost,
    padded,
)
from ushield.iso7816.status import StatusWord
from ushield.piv.commands import Instruction
from ushield.shield.commands import AID as SHIELD_AID
from ushield.shield.commands import ShieldStatus

BLOCKED = StatusWord.AUTHENTICATION_BLOCKED
WRONG_DATA = StatusWord.WRONG_DATA
WRONG = "90214311"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[PivHost]:
    with PivHost.create(tmp_path) as host:
        yield host


def test_a_pin_is_verified_until_it_is_forgotten(host: PivHost) -> None:
    assert host.ask() == 0x63C6
    assert host.verify() == OK
    assert host.ask() == OK
    assert host.send(Instruction.VERIFY, 0xFF, 0x80).ok
    assert host.ask() == 0x63C6


def test_a_wrong_pin_spends_a_try_of_the_token(host: PivHost) -> None:
    host.verify()
    assert host.verify(WRONG) == 0x63C5
    assert host.ask() == 0x63C5
    host.select(SHIELD_AID)
    assert Host(host.token).tries_left() == (5, 10)


def test_the_right_pin_gives_all_tries_back(host: PivHost) -> None:
    host.verify(WRONG)
    assert host.verify() == OK
    assert host.tries_left() == (6, 10)


@pytest.mark.parametrize(
    "data", [b"1", PIN.encode(), padded("13579A"), padded("12345"), padded(PIN) + b"\xff", bytes(8)]
)
def test_what_can_be_no_pin_spends_no_try(host: PivHost, data: bytes) -> None:
    assert host.send(Instruction.VERIFY, 0, 0x80, data).sw == WRONG_DATA
    assert host.tries_left() == (6, 10)


def test_nothing_but_filling_is_a_wrong_pin_so_that_tools_can_block_it(host: PivHost) -> None:
    host.verify()
    assert host.verify("") == 0x63C5
    assert host.ask() == 0x63C5
    assert host.change("", OTHER_PIN) == 0x63C4
    assert host.unblock("", "") == 0x63C9
    assert host.change("", PUK, 0x81) == 0x63C8
    host.block()
    assert host.tries_left() == (0, 0)
    assert host.verify() == BLOCKED
    assert host.ask() == BLOCKED
    assert host.unblock(PUK, OTHER_PIN) == BLOCKED


def test_the_pin_is_changed_for_both_applications(host: PivHost) -> None:
    assert host.change(PIN, OTHER_PIN) == OK
    assert host.verify(PIN) == 0x63C5
    assert host.verify(OTHER_PIN) == OK
    assert Host(host.token).verify(OTHER_PIN) == OK


def test_the_puk_unblocks_the_pin_and_can_be_changed(host: PivHost) -> None:
    assert host.change(PUK, "24682468", 0x81) == OK
    while host.verify(WRONG) != BLOCKED:
        pass
    assert host.unblock(PUK, OTHER_PIN) == 0x63C9
    assert host.unblock("24682468", OTHER_PIN) == OK
    assert host.verify(OTHER_PIN) == OK


@pytest.mark.parametrize("new", ["111111", "123456", "1234", PIN])
def test_a_new_pin_that_breaks_the_rules_spends_no_try(host: PivHost, new: str) -> None:
    assert host.change(PIN, new) == WRONG_DATA
    assert host.change(WRONG, new if new != PIN else WRONG) == WRONG_DATA
    assert host.tries_left() == (6, 10)


@pytest.mark.parametrize("reference", [0x00, 0x81, 0x96, 0x98])
def test_there_is_no_other_secret_to_verify(host: PivHost, reference: int) -> None:
    answer = host.send(Instruction.VERIFY, 0, reference, padded(PIN))
    assert answer.sw == StatusWord.REFERENCED_DATA_NOT_FOUND


def test_each_application_wants_the_pin_for_itself(host: PivHost) -> None:
    host.verify()
    host.key()
    shield = Host(host.token)
    assert shield.ask() == 0x63C6
    assert shield.verify() == OK
    host.select()
    assert host.ask() == 0x63C6
    assert host.sign().sw == NOT_SATISFIED


def test_a_wrong_pin_here_ends_the_verification_there(host: PivHost) -> None:
    shield = Host(host.token)
    shield.verify()
    host.select()
    host.verify(WRONG)
    shield.select()
    assert shield.ask() == 0x63C5


def test_selecting_it_again_changes_nothing_but_power_does(host: PivHost) -> None:
    host.verify()
    host.authenticate()
    assert host.select().ok
    assert host.ask() == OK
    assert host.generate() == OK
    host.token.card.power_on()
    host.select()
    assert host.ask() == 0x63C6
    assert host.generate() == NOT_SATISFIED


def test_limits_of_tries_want_both_secrets_and_leave_them_as_they_are(host: PivHost) -> None:
    assert host.send(Instruction.SET_RETRIES, 3, 4).sw == NOT_SATISFIED
    host.authenticate()
    assert host.send(Instruction.SET_RETRIES, 3, 4).sw == NOT_SATISFIED
    host.verify()
    for p1, p2 in ((0, 4), (3, 0), (16, 3)):
        assert host.send(Instruction.SET_RETRIES, p1, p2).sw == WRONG_DATA
    assert host.send(Instruction.SET_RETRIES, 3, 4).ok
    assert host.metadata(0x80)[6] == bytes((3, 3))
    assert host.metadata(0x81)[6] == bytes((4, 4))
    assert host.verify(PIN) == OK
    assert host.unblock(PUK, OTHER_PIN) == OK


def test_no_limit_gives_tries_of_the_puk_back(host: PivHost) -> None:
    host.authenticate()
    for _ in range(8):
        host.unblock(WRONG, OTHER_PIN)
    host.verify()
    assert host.send(Instruction.SET_RETRIES, 15, 15).ok
    assert host.tries_left() == (15, 2)


def test_a_reset_wants_both_secrets_blocked(host: PivHost) -> None:
    assert host.send(Instruction.RESET).sw == CONDITIONS
    host.block()
    host.unblock("", "")
    assert host.send(Instruction.RESET).ok


def test_a_reset_makes_the_application_as_new(host: PivHost) -> None:
    host.key()
    host.put(0x5FC105, b"x")
    assert host.send(Instruction.SET_MANAGEMENT_KEY, 0xFF, 0xFF, b"\x08\x9b\x10" + bytes(16)).ok
    host.block()
    assert host.send(Instruction.RESET).ok
    assert host.send(Instruction.GET_METADATA, 0, 0x9A).sw == StatusWord.REFERENCED_DATA_NOT_FOUND
    assert host.get(0x5FC105).sw == StatusWord.FILE_NOT_FOUND
    assert host.generate() == NOT_SATISFIED
    assert host.authenticate() == OK
    assert host.tries_left() == (6, 10)
    assert host.metadata(0x80)[5] == b"\x01"
    assert host.verify("123456") == OK


def test_after_a_reset_nothing_is_signed_until_pin_and_puk_are_their_owner_s(
    host: PivHost,
) -> None:
    host.block()
    assert host.send(Instruction.RESET).ok
    host.key()
    host.verify("123456")
    assert host.sign().sw == CONDITIONS
    assert host.change("123456", OTHER_PIN) == OK
    assert host.sign().sw == CONDITIONS, "whoever knows the PUK could set the PIN"
    shield = Host(host.token)
    shield.verify(OTHER_PIN)
    assert shield.send(0, 0x47, 0, bytes.fromhex("AC09800111810101820161")).sw == (
        ShieldStatus.PIN_MUST_CHANGE
    )
    host.select()
    assert host.change("12345678", PUK, 0x81) == OK
    host.verify(OTHER_PIN)
    assert host.sign().ok


def test_a_reset_would_hand_keys_of_the_shield_to_whoever_knows_the_first_pin(
    tmp_path: Path,
) -> None:
    with Host.create(tmp_path) as shield:
        shield.signing_key()
        host = PivHost(shield.token)
        host.block()
        assert host.send(Instruction.RESET).sw == CONDITIONS
        assert host.tries_left() == (0, 0)


def test_a_pin_that_came_with_the_token_signs_nothing(tmp_path: Path) -> None:
    with PivHost.create(tmp_path, default_pin=True) as host:
        host.key()
        host.verify()
        assert host.sign().sw == CONDITIONS
        assert host.change(PIN, OTHER_PIN) == OK
        assert host.sign().ok
