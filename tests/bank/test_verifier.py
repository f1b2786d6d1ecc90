"""A verifier remembers certificates, and what it remembers never outlives what it rests on."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.pki import NOW, YEAR, Signer, authority, pem, receipt_for
from tests.transaction.strategies import TRANSFER
from ushield.algorithms import KeyAlgorithm
from ushield.bank import RejectionReason, TransactionRejected, TrustStore, Verifier
from ushield.bank.standing import Standing
from ushield.errors import InputInvalid
from ushield.transaction import write_message

MESSAGE = write_message(TRANSFER)
TRUST = TrustStore.load(pem(authority()))
SIGNER = Signer.issued()
GOOD = SIGNER.sign(MESSAGE)
SECOND = timedelta(seconds=1)


def _reason(verifier: Verifier, data: bytes, at: datetime | None = NOW) -> RejectionReason:
    with pytest.raises(TransactionRejected) as caught:
        verifier.verify(data, at)
    return caught.value.reason


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The certificates whose standing was looked for."""
    found: list[bytes] = []
    find = Standing.find

    def counted(certificate: bytes, *arguments: Any, **settings: Any) -> Standing:
        found.append(certificate)
        return find(certificate, *arguments, **settings)

    monkeypatch.setattr(Standing, "find", counted)
    return found


def test_a_certificate_is_looked_into_once(searches: list[bytes]) -> None:
    verifier = Verifier(TRUST)
    first = verifier.verify(GOOD, NOW)
    assert verifier.verify(GOOD, NOW) == first
    assert verifier.verify(SIGNER.sign(MESSAGE), NOW).path == ("CN=李四", "CN=Test Bank CA")
    assert searches == [SIGNER.der]


def test_a_refused_certificate_is_not_remembered(searches: list[bytes]) -> None:
    verifier = Verifier(TRUST)
    stranger = Signer.issued(issuer="Another CA")
    for _ in range(2):
        assert _reason(verifier, stranger.sign(MESSAGE)) is RejectionReason.ISSUER_UNKNOWN
    assert len(searches) == 2


def test_the_least_used_certificates_are_forgotten(searches: list[bytes]) -> None:
    verifier = Verifier(TRUST, remembered=2)
    signatures = [Signer.issued().sign(MESSAGE) for _ in range(4)]
    for signature in signatures * 2:
        verifier.verify(signature, NOW)
    assert len(searches) == 8


def test_what_is_remembered_does_not_outlive_the_certificate() -> None:
    short = Signer.issued(not_before=NOW, not_after=NOW + 10 * SECOND).sign(MESSAGE)
    verifier = Verifier(TRUST)
    verifier.verify(short, NOW)
    verifier.verify(short, NOW + 10 * SECOND)
    expired = RejectionReason.CERTIFICATE_EXPIRED
    assert _reason(verifier, short, NOW + 11 * SECOND) is expired
    early = RejectionReason.CERTIFICATE_NOT_YET_VALID
    assert _reason(verifier, short, NOW - SECOND) is early
    verifier.verify(short, NOW)


def test_what_is_remembered_does_not_outlive_an_issuer() -> None:
    lower = authority("Lower", "Test Bank CA", not_after=NOW + 10 * SECOND)
    verifier = Verifier(TrustStore.load(pem(authority(), lower)))
    signature = Signer.issued(issuer="Lower").sign(MESSAGE)
    verifier.verify(signature, NOW)
    assert _reason(verifier, signature, NOW + 11 * SECOND) is RejectionReason.PATH_INVALID


def test_another_path_serves_when_the_remembered_one_has_ended() -> None:
    first = authority("Lower", "Test Bank CA", not_after=NOW + 10 * SECOND)
    renewed = authority("Lower", "Test Bank CA")
    verifier = Verifier(TrustStore.load(pem(authority(), first, renewed)))
    signature = Signer.issued(issuer="Lower").sign(MESSAGE)
    verifier.verify(signature, NOW)
    verifier.verify(signature, NOW + 11 * SECOND)


def test_trust_that_is_replaced_is_gone_at_once() -> None:
    verifier = Verifier(TRUST)
    verifier.verify(GOOD, NOW)
    verifier.replace_trust(TrustStore.load(pem(authority("Another CA"))))
    assert _reason(verifier, GOOD) is RejectionReason.ISSUER_UNKNOWN


def test_a_remembered_certificate_excuses_no_signature() -> None:
    verifier = Verifier(TRUST)
    verifier.verify(GOOD, NOW)
    changed = GOOD[:-1] + bytes((GOOD[-1] ^ 1,))
    assert _reason(verifier, changed) in (
        RejectionReason.SIGNATURE_INVALID,
        RejectionReason.NOT_CANONICAL,
    )
    for place in range(len(GOOD)):
        data = bytearray(GOOD)
        data[place] ^= 0x01
        with pytest.raises(TransactionRejected):
            verifier.verify(bytes(data), NOW)
    verifier.verify(GOOD, NOW)


def test_the_clock_tells_the_time_where_none_is_given() -> None:
    moments = iter([NOW, NOW + 2 * YEAR])
    verifier = Verifier(TRUST, clock=lambda: next(moments))
    verifier.verify(GOOD)
    assert _reason(verifier, GOOD, None) is RejectionReason.CERTIFICATE_EXPIRED


@pytest.mark.parametrize("at", [datetime(2026, 6, 1), "2026-06-01", 1e9])
def test_a_time_without_a_zone_is_refused(at: Any) -> None:
    with pytest.raises(InputInvalid):
        Verifier(TRUST).verify(GOOD, at)


def test_a_virtual_token_is_refused_unless_virtual_tokens_are_accepted() -> None:
    signature = SIGNER.sign(MESSAGE, dataclasses.replace(receipt_for(MESSAGE), virtual=True))
    assert _reason(Verifier(TRUST), signature) is RejectionReason.VIRTUAL_TOKEN
    assert Verifier(TRUST, accept_virtual=True).verify(signature, NOW).receipt.virtual


class Lost:
    """A bank's list of lost tokens."""

    def __init__(self) -> None:
        self.since: dict[str, datetime] = {}

    def lost_since(self, token: str) -> datetime | None:
        return self.since.get(token)


def test_a_token_reported_lost_is_refused_from_then_on_and_not_before() -> None:
    register = Lost()
    verifier = Verifier(TRUST, losses=register)
    verifier.verify(GOOD, NOW)
    register.since["US00000001"] = NOW
    assert _reason(verifier, GOOD) is RejectionReason.TOKEN_LOST
    verifier.verify(GOOD, NOW - SECOND)
    register.since = {"US00000002": NOW}
    verifier.verify(GOOD, NOW)


@pytest.mark.parametrize("kind", [KeyAlgorithm.RSA_2048, KeyAlgorithm.P384])
def test_every_kind_of_key_is_remembered(kind: KeyAlgorithm) -> None:
    verifier = Verifier(TRUST)
    signature = Signer.issued(kind).sign(MESSAGE)
    assert verifier.verify(signature, NOW) == verifier.verify(signature, NOW)


def test_now_is_now() -> None:
    now = datetime.now(UTC)
    signer = Signer.issued(not_before=now - YEAR, not_after=now + YEAR)
    Verifier(TRUST).verify(signer.sign(MESSAGE))
