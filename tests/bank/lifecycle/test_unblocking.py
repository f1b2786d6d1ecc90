"""A forgotten PIN: two clerks, one token, one challenge, one answer."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from tests.bank.banking import Bench
from tests.bank.killing import MOST_STEPS, killed_at
from tests.bank.lifecycle.desk import Desk, HeldToken, events
from ushield.bank import CustomerUnknown, confirm_restored
from ushield.bank.lifecycle import (
    FileUnblockSigner,
    Unblocking,
    UnblockReason,
    UnblockRefused,
    UnblockRequest,
    UnblockSettled,
    UnblockState,
    UnblockUnknown,
)
from ushield.bank.lifecycle.refusals import UnblockChallengeInvalid
from ushield.bank.lifecycle.unblock_challenge import UnblockChallenge
from ushield.errors import InputInvalid, TlvInvalid, UShieldError
from ushield.shield.requests import UnblockChallenge as TokenChallenge
from ushield.signing import open_token
from ushield.virtual.create import create_token

KEY = ec.generate_private_key(ec.SECP256R1())
SIGNER = FileUnblockSigner(KEY)


def asked(serial: str = "US-alice", counter: int = 0) -> bytes:
    """What a token asks, with a nonce that is another each time."""
    return TokenChallenge(serial, os.urandom(16), counter).encode()


@pytest.fixture
def unblocking(bench: Bench) -> Unblocking:
    bench.customer()
    return bench.bank.unblocking(SIGNER)


def test_each_refusal_says_what_to_do() -> None:
    remedies = {each: UnblockRefused("no", reason=each).remedy for each in UnblockReason}
    assert "another clerk" in remedies[UnblockReason.SAME_CLERK]
    assert "another challenge" in remedies[UnblockReason.EXPIRED]
    assert "PUK" in remedies[UnblockReason.TOKEN_UNKNOWN]


def refusal(work: partial[UnblockRequest]) -> UnblockReason:
    with pytest.raises(UnblockRefused) as caught:
        work()
    return caught.value.reason


def test_one_clerk_asks_and_another_one_answers(unblocking: Unblocking, engine: Engine) -> None:
    challenge = asked()
    waiting = unblocking.request("alice", challenge, by="wang")
    assert (waiting.token, waiting.counter, waiting.state) == ("US-alice", 0, UnblockState.WAITING)
    assert waiting.signature is None
    approved = unblocking.approve(waiting.id, by="zhao")
    assert (approved.state, approved.decided_by) == (UnblockState.APPROVED, "zhao")
    assert approved.signature is not None
    KEY.public_key().verify(approved.signature, challenge, ec.ECDSA(SHA256()))
    with pytest.raises(InvalidSignature):
        KEY.public_key().verify(approved.signature, asked(), ec.ECDSA(SHA256()))
    assert events(engine)[-2:] == [("unblock-requested", None), ("unblock-approved", None)]


def test_nobody_decides_alone(unblocking: Unblocking, engine: Engine) -> None:
    waiting = unblocking.request("alice", asked(), by="wang")
    for name in ("wang", "WANG"):
        reason = refusal(partial(unblocking.approve, waiting.id, by=name))
        assert reason is UnblockReason.SAME_CLERK
    assert events(engine)[-1] == ("unblock-refused", "same-clerk")
    assert unblocking.find(waiting.id).state is UnblockState.WAITING
    unblocking.approve(waiting.id, by="zhao")


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "王", "wang\n", "wаng"])
def test_a_name_that_could_look_like_another_is_refused(sqlite_url: str, name: str) -> None:
    with Bench.open(sqlite_url) as bench:
        bench.customer()
        with pytest.raises(InputInvalid):
            bench.bank.unblocking(SIGNER).request("alice", asked(), by=name)


def test_asking_again_for_the_same_is_asking_once(unblocking: Unblocking) -> None:
    challenge = asked()
    waiting = unblocking.request("alice", challenge, by="wang")
    assert unblocking.request("alice", challenge, by="li") == waiting
    approved = unblocking.approve(waiting.id, by="zhao")
    assert unblocking.request("alice", challenge, by="wang") == approved
    assert unblocking.approve(waiting.id, by="zhao") == approved
    with pytest.raises(UnblockSettled) as caught:
        unblocking.approve(waiting.id, by="qian")
    assert caught.value.state == "approved"


def test_a_token_that_forgot_its_challenge_is_answered_anew(
    unblocking: Unblocking, engine: Engine
) -> None:
    lost, later = asked(counter=3), asked(counter=3)
    first = unblocking.request("alice", lost, by="wang")
    assert first.answers == 0
    assert unblocking.approve(first.id, by="zhao").answers == 1
    second = unblocking.request("alice", later, by="zhao")
    # Whoever decides sees that it was answered before.
    assert (second.answers, second.state) == (1, UnblockState.WAITING)
    assert refusal(partial(unblocking.approve, second.id, by="zhao")) is UnblockReason.SAME_CLERK
    approved = unblocking.approve(second.id, by="wang")
    assert (approved.answers, approved.state) == (2, UnblockState.APPROVED)
    assert approved.signature is not None
    KEY.public_key().verify(approved.signature, later, ec.ECDSA(SHA256()))
    assert unblocking.approve(second.id, by="wang") == approved
    superseded = unblocking.find(first.id)
    assert (superseded.state, superseded.signature) == (UnblockState.SUPERSEDED, None)
    assert (superseded.decided_by, superseded.answers) == ("zhao", 2)
    assert events(engine)[-2:] == [("unblock-superseded", None), ("unblock-approved", None)]


def test_a_token_that_lost_power_takes_the_second_answer_and_not_the_first(
    sqlite_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    create_token(
        path,
        serial="US-alice",
        pin="135790",
        unblock_key=KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )
    with Bench.open(sqlite_url) as bench:
        bench.customer()
        unblocking = bench.bank.unblocking(SIGNER)

        def answer(challenge: bytes) -> bytes:
            waiting = unblocking.request("alice", challenge, by="wang")
            signature = unblocking.approve(waiting.id, by="zhao").signature
            assert signature is not None
            return signature

        with open_token(f"virtual:{path}") as token:
            first = answer(token.pin.unblock_challenge())
        with open_token(f"virtual:{path}") as token:
            token.pin.unblock_challenge()
            with pytest.raises(UShieldError):
                token.pin.unblock_by_bank(first, "246802")
            challenge = token.pin.unblock_challenge()
            token.pin.unblock_by_bank(answer(challenge), "246802")
            with token.session("246802"):
                pass
            later = UnblockChallenge.parse(token.pin.unblock_challenge())
        assert later.counter == UnblockChallenge.parse(challenge).counter + 1


def test_a_request_alone_supersedes_nothing(unblocking: Unblocking) -> None:
    first = unblocking.request("alice", asked(counter=3), by="wang")
    approved = unblocking.approve(first.id, by="zhao")
    second = unblocking.request("alice", asked(counter=3), by="wang")
    unblocking.deny(second.id, by="zhao")
    assert unblocking.find(first.id) == approved


def test_what_was_superseded_is_not_given_out_again(unblocking: Unblocking) -> None:
    lost = asked()
    first = unblocking.request("alice", lost, by="wang")
    unblocking.approve(first.id, by="zhao")
    second = unblocking.request("alice", asked(), by="wang")
    unblocking.approve(second.id, by="zhao")
    with pytest.raises(UnblockSettled) as caught:
        unblocking.approve(first.id, by="zhao")
    assert caught.value.state == "superseded"
    again = partial(unblocking.request, "alice", lost, by="wang")
    assert refusal(again) is UnblockReason.CHALLENGE_SUPERSEDED


def test_a_counter_that_went_back_is_an_alarm(unblocking: Unblocking, bench: Bench) -> None:
    first = unblocking.request("alice", asked(counter=3), by="wang")
    unblocking.approve(first.id, by="zhao")
    back = partial(unblocking.request, "alice", asked(counter=2), by="wang")
    assert refusal(back) is UnblockReason.COUNTER_WENT_BACK
    # Only a copy of the token, or one that was set back, counts so.
    assert bench.bank.token("US-alice").alarms == 1
    later = unblocking.request("alice", asked(counter=4), by="wang")
    assert unblocking.approve(later.id, by="zhao").answers == 1


def test_a_later_challenge_takes_the_place_of_one_that_waits(unblocking: Unblocking) -> None:
    first = unblocking.request("alice", asked(), by="wang")
    second = unblocking.request("alice", asked(), by="wang")
    assert unblocking.find(first.id).state is UnblockState.VOID
    with pytest.raises(UnblockSettled):
        unblocking.approve(first.id, by="zhao")
    unblocking.approve(second.id, by="zhao")


def test_what_is_denied_stays_so(unblocking: Unblocking, engine: Engine) -> None:
    waiting = unblocking.request("alice", asked(), by="wang")
    denied = unblocking.deny(waiting.id, by="wang")
    assert (denied.state, denied.decided_by) == (UnblockState.DENIED, "wang")
    for decide in (unblocking.approve, unblocking.deny):
        with pytest.raises(UnblockSettled):
            decide(waiting.id, by="zhao")
    assert events(engine)[-1] == ("unblock-denied", None)


def test_a_request_expires(unblocking: Unblocking, bench: Bench) -> None:
    waiting = unblocking.request("alice", asked(), by="wang")
    bench.clock.at = waiting.expires_at
    assert unblocking.find(waiting.id).state is UnblockState.EXPIRED
    approve = partial(unblocking.approve, waiting.id, by="zhao")
    assert refusal(approve) is UnblockReason.EXPIRED


def test_only_the_customer_s_own_token_that_is_not_lost_is_unblocked(
    unblocking: Unblocking, bench: Bench
) -> None:
    bench.customer("bob")
    for customer, serial, reason in (
        ("alice", "US-unknown", UnblockReason.TOKEN_UNKNOWN),
        ("alice", "US-bob", UnblockReason.TOKEN_FOREIGN),
    ):
        ask = partial(unblocking.request, customer, asked(serial), by="wang")
        assert refusal(ask) is reason
    with pytest.raises(CustomerUnknown):
        unblocking.request("nobody", asked(), by="wang")
    challenge = asked()
    waiting = unblocking.request("alice", challenge, by="wang")
    bench.bank.report_loss("US-alice")
    for work in (
        partial(unblocking.approve, waiting.id, by="zhao"),
        partial(unblocking.request, "alice", challenge, by="wang"),
        partial(unblocking.request, "alice", asked(), by="wang"),
    ):
        assert refusal(work) is UnblockReason.TOKEN_LOST


def test_a_lost_token_s_answer_is_not_given_out_again(unblocking: Unblocking, bench: Bench) -> None:
    waiting = unblocking.request("alice", asked(), by="wang")
    unblocking.approve(waiting.id, by="zhao")
    bench.bank.report_loss("US-alice")
    again = partial(unblocking.approve, waiting.id, by="zhao")
    assert refusal(again) is UnblockReason.TOKEN_LOST


def test_a_request_that_is_not_there_cannot_be_decided(unblocking: Unblocking) -> None:
    for decide in (unblocking.approve, unblocking.deny):
        with pytest.raises(UnblockUnknown):
            decide("00" * 16, by="zhao")


def test_a_restored_database_has_no_request_waiting(unblocking: Unblocking, bench: Bench) -> None:
    waiting = unblocking.request("alice", asked(), by="wang")
    confirm_restored(bench.url, bench.clock())
    assert unblocking.find(waiting.id).state is UnblockState.VOID


def _approve(identifier: str, own: Bench) -> None:
    own.bank.unblocking(SIGNER).approve(identifier, by="zhao")


def test_approving_goes_on_from_wherever_it_was_killed(
    url: str, bench: Bench, unblocking: Unblocking
) -> None:
    found = []
    for step in range(MOST_STEPS):
        challenge = asked(counter=step)
        waiting = unblocking.request("alice", challenge, by="wang")
        was_killed = killed_at(step, url, bench, partial(_approve, waiting.id))
        kept = unblocking.find(waiting.id)
        found.append((kept.state, kept.signature is not None))
        approved = unblocking.approve(waiting.id, by="zhao")
        assert approved.signature is not None
        KEY.public_key().verify(approved.signature, challenge, ec.ECDSA(SHA256()))
        if not was_killed:
            break
    assert list(dict.fromkeys(found)) == [
        (UnblockState.WAITING, False),
        (UnblockState.APPROVED, False),
        (UnblockState.APPROVED, True),
    ]
    assert not was_killed


def test_a_challenge_whose_request_became_too_old_is_requested_anew(
    bench: Bench, unblocking: Unblocking
) -> None:
    challenge = asked()
    first = unblocking.request("alice", challenge, by="wang")
    bench.clock.move(hours=1)
    second = unblocking.request("alice", challenge, by="wang")
    assert (second.id == first.id, second.state) == (False, UnblockState.WAITING)
    assert unblocking.approve(second.id, by="zhao").state is UnblockState.APPROVED


def _request(challenge: bytes, own: Bench) -> None:
    own.bank.unblocking(SIGNER).request("alice", challenge, by="wang")


def test_requesting_is_done_whole_or_not_at_all(
    url: str, bench: Bench, engine: Engine, unblocking: Unblocking
) -> None:
    for step in range(MOST_STEPS):
        challenge = asked(counter=step)
        was_killed = killed_at(step, url, bench, partial(_request, challenge))
        waiting = unblocking.request("alice", challenge, by="wang")
        assert unblocking.approve(waiting.id, by="zhao").state is UnblockState.APPROVED
        if not was_killed:
            break
    assert not was_killed
    # It was killed before it was written, and after.
    told = Counter(event for event, _ in events(engine))
    assert told["unblock-requested"] == told["unblock-approved"] == step + 1 >= 10


def test_a_token_that_attested_its_key_proves_its_challenge(
    bench: Bench, engine: Engine, desk: Desk
) -> None:
    """A counter that somebody made up would leave the token's own behind for good."""
    held, other = HeldToken("US-held"), HeldToken("US-other")
    desk.enrol("held", held)
    unblocking = bench.bank.unblocking(SIGNER)
    made_up = [
        held.challenge(1000, proof=None),
        held.challenge(1000, proof=b""),
        held.challenge(1000, proof=other.challenge()[-72:]),
        held.challenge(1000, counter=1001),
        held.challenge(1000, serial="US-held", nonce=bytes(16)),
    ]
    for challenge in made_up:
        work = partial(unblocking.request, "held", challenge, by="wang")
        assert refusal(work) is UnblockReason.CHALLENGE_UNPROVED
    assert ("unblock-refused", "challenge-unproved") in events(engine)
    assert bench.bank.token("US-held").alarms == 0
    challenge = held.challenge(7)
    waiting = unblocking.request("held", challenge, by="wang")
    signature = unblocking.approve(waiting.id, by="zhao").signature
    assert signature is not None
    KEY.public_key().verify(signature, challenge, ec.ECDSA(SHA256()))


def test_a_proof_is_no_certificate_and_none_is_a_proof() -> None:
    claim = TokenChallenge("US-held", bytes(16), 0).claim
    # A certificate is signed over a SEQUENCE.
    assert claim[0] != 0x30
    read = UnblockChallenge.parse(HeldToken("US-held").challenge())
    assert not read.is_proved_by(b"no certificate")


SERIALS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=31)


@given(
    SERIALS,
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**32 - 1),
    st.none() | st.binary(max_size=80),
)
def test_what_a_token_asks_is_read_as_it_meant_it(
    serial: str, nonce: bytes, counter: int, proof: bytes | None
) -> None:
    told = TokenChallenge(serial, nonce, counter, proof)
    read = UnblockChallenge.parse(told.encode())
    assert (read.serial, read.nonce, read.counter) == (serial, nonce, counter)
    assert (read.encoded, read.claim, read.proof) == (told.encode(), told.claim, proof)


@given(st.binary(max_size=80) | st.binary(max_size=8).map(lambda tail: asked() + tail))
def test_nothing_is_read_that_a_token_would_not_write(data: bytes) -> None:
    try:
        read = UnblockChallenge.parse(data)
    except UnblockChallengeInvalid:
        return
    assert TokenChallenge.decode(data).encode() == data == read.encoded


@given(st.data())
def test_a_challenge_with_a_byte_changed_is_another_one_or_none(data: st.DataObject) -> None:
    original = bytearray(asked())
    place = data.draw(st.integers(0, len(original) - 1))
    original[place] ^= data.draw(st.integers(1, 255))
    try:
        theirs: bytes | None = TokenChallenge.decode(bytes(original)).encode()
    except TlvInvalid:
        theirs = None
    try:
        ours: bytes | None = UnblockChallenge.parse(bytes(original)).encoded
    except UnblockChallengeInvalid:
        ours = None
    assert ours in (None, theirs)


def test_the_key_s_file_is_its_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / "unblock-key.pem"
    made = FileUnblockSigner.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = FileUnblockSigner.load(path)
    made.public_key.verify(loaded.sign(b"challenge"), b"challenge", ec.ECDSA(SHA256()))
    assert b"PRIVATE" not in loaded.public_pem
    with pytest.raises(InputInvalid):
        FileUnblockSigner.create(path)
    path.chmod(0o644)
    with pytest.raises(InputInvalid) as caught:
        FileUnblockSigner.load(path)
    assert "chmod" in caught.value.remedy
    path.write_bytes(b"no key")
    path.chmod(0o600)
    with pytest.raises(InputInvalid):
        FileUnblockSigner.load(path)
