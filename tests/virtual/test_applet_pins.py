"""PIN and PUK on the applet: what spends a try, what does not, and remote unblock by the bank."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.virtual.host import OK, OTHER_PIN, PIN, PUK, Host
from ushield.iso7816.status import StatusWord
from ushield.pin import PinReference
from ushield.shield.application import decode_pin_states
from ushield.shield.commands import DataObject, Feature, Instruction, ShieldStatus
from ushield.shield.requests import UnblockChallenge, UnblockResponse

BLOCKED = int(StatusWord.AUTHENTICATION_BLOCKED)
WRONG_DATA = int(StatusWord.WRONG_DATA)
BANK = ec.generate_private_key(ec.SECP256R1())
BANK_KEY = BANK.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
NOT_DIGITS = ("13579x", "135 790", "1357\x00\x00", "１３５７９０")
BAD_LENGTHS = ("1", "13579", "1357902468135")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with Host.create(tmp_path, unblock_key=BANK_KEY) as host:
        yield host


def lock_pin(host: Host) -> None:
    while host.tries_left()[0]:
        host.verify(OTHER_PIN)


def test_a_right_pin_is_verified_until_logout(host: Host) -> None:
    assert host.ask() == 0x63C6
    assert host.verify() == OK
    assert host.ask() == OK
    assert host.logout() == OK
    assert host.ask() == 0x63C6


def test_a_wrong_pin_spends_a_try_and_ends_the_verification(host: Host) -> None:
    host.verify()
    assert host.verify(OTHER_PIN) == 0x63C5
    assert host.ask() == 0x63C5
    assert host.tries_left() == (5, 10)


def test_a_right_pin_gives_the_tries_back(host: Host) -> None:
    host.verify(OTHER_PIN)
    assert host.verify() == OK
    assert host.tries_left() == (6, 10)


def test_the_right_pin_is_refused_once_no_try_is_left(host: Host) -> None:
    answers = [host.verify(OTHER_PIN) for _ in range(7)]
    assert answers == [0x63C5, 0x63C4, 0x63C3, 0x63C2, 0x63C1, 0x63C0, BLOCKED]
    assert host.verify() == BLOCKED
    assert host.ask() == BLOCKED
    assert host.change(PIN, OTHER_PIN) == BLOCKED


@pytest.mark.parametrize("pin", [*BAD_LENGTHS, *NOT_DIGITS])
def test_what_cannot_be_a_pin_spends_no_try_and_keeps_the_verification(
    host: Host, pin: str
) -> None:
    host.verify()
    assert host.verify(pin) == WRONG_DATA
    assert host.change(PIN, pin) == WRONG_DATA
    assert host.change(pin, OTHER_PIN) == WRONG_DATA
    assert host.reset_retry_counter(PUK, pin) == WRONG_DATA
    assert host.reset_retry_counter(pin, OTHER_PIN) == WRONG_DATA
    assert host.tries_left() == (6, 10)
    assert host.ask() == OK


@pytest.mark.parametrize("pin", ["111111", "123456", "987654", "000000000000"])
def test_a_weak_new_pin_spends_no_try_even_with_a_wrong_old_one(host: Host, pin: str) -> None:
    assert host.change(PIN, pin) == ShieldStatus.PIN_WEAK
    assert host.change(OTHER_PIN, pin) == ShieldStatus.PIN_WEAK
    assert host.reset_retry_counter(PUK, pin) == ShieldStatus.PIN_WEAK
    assert host.tries_left() == (6, 10)


def test_the_old_pin_is_no_new_pin(host: Host) -> None:
    assert host.change(PIN, PIN) == ShieldStatus.PIN_WEAK
    assert host.tries_left() == (6, 10)


def test_a_changed_pin_replaces_the_old_one(host: Host) -> None:
    assert host.change(PIN, OTHER_PIN) == OK
    assert host.verify(PIN) == 0x63C5
    assert host.verify(OTHER_PIN) == OK


def test_a_wrong_old_pin_changes_nothing_and_spends_a_try(host: Host) -> None:
    host.verify()
    assert host.change(OTHER_PIN, "246813") == 0x63C5
    assert host.ask() == 0x63C5
    assert host.verify() == OK


def test_the_puk_changes_by_its_own_reference(host: Host) -> None:
    host.verify()
    assert host.change(OTHER_PIN, "11223344", 0x83) == 0x63C9
    assert host.ask() == OK, "the PIN has nothing to do with it"
    assert host.change(PUK, "11223344", 0x83) == OK
    assert host.reset_retry_counter(PUK, OTHER_PIN) == 0x63C9
    assert host.reset_retry_counter("11223344", OTHER_PIN) == OK


def test_the_puk_unblocks_a_locked_pin(host: Host) -> None:
    lock_pin(host)
    assert host.reset_retry_counter(PUK, OTHER_PIN) == OK
    assert host.tries_left() == (6, 10)
    assert host.verify(OTHER_PIN) == OK


def test_a_locked_puk_unblocks_nothing(host: Host) -> None:
    lock_pin(host)
    answers = [host.reset_retry_counter("13572468", OTHER_PIN) for _ in range(10)]
    assert answers[-1] == 0x63C0
    assert host.reset_retry_counter(PUK, OTHER_PIN) == BLOCKED
    assert host.verify() == BLOCKED


def test_a_verification_does_not_outlive_a_reset(host: Host) -> None:
    host.verify()
    host.start()
    assert host.ask() == 0x63C6


def test_the_factory_pin_is_marked_until_it_is_changed(tmp_path: Path) -> None:
    with Host.create(tmp_path, pin="123456", default_pin=True) as host:
        assert decode_pin_states(host.get(DataObject.PIN_STATES).data)[0].must_change
        assert host.change("123456", PIN) == OK
        assert not decode_pin_states(host.get(DataObject.PIN_STATES).data)[0].must_change


def test_pin_states_tell_whether_a_signature_could_begin(host: Host) -> None:
    def verified() -> bool:
        states = decode_pin_states(host.get(DataObject.PIN_STATES).data)
        assert [state.reference for state in states] == list(PinReference)
        assert not states[1].verified
        return states[0].verified

    key = host.signing_key()
    assert verified()
    host.begin(key)
    assert not verified()


@pytest.mark.parametrize(
    ("ins", "p1p2"),
    [
        (Instruction.VERIFY, 0x83),
        (Instruction.VERIFY, 0x0181),
        (Instruction.CHANGE_REFERENCE_DATA, 0x82),
        (Instruction.CHANGE_REFERENCE_DATA, 0x0181),
        (Instruction.RESET_RETRY_COUNTER, 0x83),
        (Instruction.RESET_RETRY_COUNTER, 0x0181),
    ],
)
def test_other_references_than_the_protocol_names_are_refused(
    host: Host, ins: int, p1p2: int
) -> None:
    assert host.send(0, ins, p1p2, PIN.encode()).sw == StatusWord.WRONG_PARAMETERS


def test_logging_out_takes_no_data(host: Host) -> None:
    host.verify()
    answer = host.send(0, Instruction.VERIFY, 0xFF81, PIN.encode())
    assert answer.sw == StatusWord.WRONG_LENGTH


@pytest.mark.parametrize("data", [b"", PIN.encode(), b"\x80\x06" + PIN.encode(), b"\x80\xff"])
@pytest.mark.parametrize(
    "ins", [Instruction.CHANGE_REFERENCE_DATA, Instruction.RESET_RETRY_COUNTER]
)
def test_a_malformed_change_spends_no_try(host: Host, ins: int, data: bytes) -> None:
    assert host.send(0, ins, 0x81, data).sw == WRONG_DATA
    assert host.tries_left() == (6, 10)


# Remote unblock.


def challenge(host: Host) -> bytes:
    answer = host.send(0x80, Instruction.UNBLOCK_CHALLENGE)
    assert answer.ok
    return answer.data


def unblock(
    host: Host, data: bytes, new: str = OTHER_PIN, key: ec.EllipticCurvePrivateKey = BANK
) -> int:
    signature = key.sign(data, ec.ECDSA(hashes.SHA256()))
    response = UnblockResponse(signature, new.encode()).encode()
    return host.send(0x80, Instruction.UNBLOCK, data=response, ne=0).sw


def test_the_bank_unblocks_this_token_by_signing_its_challenge(host: Host) -> None:
    lock_pin(host)
    data = challenge(host)
    told = UnblockChallenge.decode(data)
    assert (told.serial, told.counter) == (host.token.serial, 0)
    assert unblock(host, data) == OK
    assert host.verify(OTHER_PIN) == OK
    assert host.counters().unblocks == 1
    assert UnblockChallenge.decode(challenge(host)).counter == 1


def test_a_challenge_serves_once(host: Host) -> None:
    data = challenge(host)
    assert unblock(host, data) == OK
    assert unblock(host, data, PIN) == StatusWord.CONDITIONS_NOT_SATISFIED
    assert host.verify(OTHER_PIN) == OK


def test_a_new_challenge_makes_the_one_before_it_void(host: Host) -> None:
    old = challenge(host)
    new = challenge(host)
    assert old != new
    assert unblock(host, old) == WRONG_DATA
    assert unblock(host, new) == StatusWord.CONDITIONS_NOT_SATISFIED


def test_a_signature_of_anybody_else_unblocks_nothing_and_spends_the_challenge(host: Host) -> None:
    data = challenge(host)
    stranger = ec.generate_private_key(ec.SECP256R1())
    assert unblock(host, data, key=stranger) == WRONG_DATA
    assert unblock(host, data) == StatusWord.CONDITIONS_NOT_SATISFIED
    assert host.verify() == OK


def test_a_weak_new_pin_leaves_the_challenge_as_it_was(host: Host) -> None:
    data = challenge(host)
    assert unblock(host, data, "123456") == ShieldStatus.PIN_WEAK
    assert unblock(host, data, "12") == WRONG_DATA
    assert unblock(host, data) == OK


def test_a_challenge_does_not_outlive_a_reset(host: Host) -> None:
    data = challenge(host)
    host.start()
    assert unblock(host, data) == StatusWord.CONDITIONS_NOT_SATISFIED


def test_the_challenge_takes_no_data(host: Host) -> None:
    answer = host.send(0x80, Instruction.UNBLOCK_CHALLENGE, data=b"\x00")
    assert answer.sw == StatusWord.WRONG_LENGTH


def test_a_token_without_the_banks_key_says_so(tmp_path: Path, host: Host) -> None:
    assert host.info().features & Feature.REMOTE_UNBLOCK
    assert host.get(DataObject.UNBLOCK_KEY).data == BANK_KEY
    folder = tmp_path / "other"
    folder.mkdir()
    with Host.create(folder) as other:
        assert not other.info().features & Feature.REMOTE_UNBLOCK
        missing = StatusWord.REFERENCE_DATA_NOT_USABLE
        assert other.send(0x80, Instruction.UNBLOCK_CHALLENGE).sw == missing
        assert unblock(other, b"anything") == missing
        assert other.get(DataObject.UNBLOCK_KEY).sw == StatusWord.REFERENCED_DATA_NOT_FOUND
