"""What a CA has taken back is refused from then on, and what is out of date proves nothing."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from types import FrameType
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from tests.bank.revocations import DAY, HOUR, crl, entry, many, signed
from tests.pki import NOW, YEAR, Signer, authority, authority_key, key_usage, pem
from tests.transaction.strategies import TRANSFER
from ushield.bank import RejectionReason, TransactionRejected, TrustStore, Verifier
from ushield.bank.revocation import RevocationIndex, RevocationInvalid
from ushield.iso7816.tlv import parse_one
from ushield.transaction import write_message

MESSAGE = write_message(TRANSFER)
ROOT = authority()
LOWER = authority("Lower", "Test Bank CA")
TRUST = TrustStore.load(pem(ROOT, LOWER))
SIGNER = Signer.issued()
BELOW = Signer.issued(issuer="Lower")
GOOD, DEEP = SIGNER.sign(MESSAGE), BELOW.sign(MESSAGE)
SECOND = timedelta(seconds=1)


def _index(*lists: bytes, now: datetime = NOW) -> RevocationIndex:
    index = RevocationIndex((ROOT, LOWER))
    for each in lists:
        index.add_crl(each, now)
    return index


def _verifier(*lists: bytes, now: datetime = NOW) -> Verifier:
    return Verifier(TRUST, revocation=_index(*lists, now=now))


def _reason(verifier: Verifier, data: bytes, at: datetime = NOW) -> RejectionReason:
    with pytest.raises(TransactionRejected) as caught:
        verifier.verify(data, at)
    assert caught.value.remedy
    return caught.value.reason


def test_a_signer_that_no_list_names_is_accepted() -> None:
    verifier = _verifier(crl(entry(5), entry(6)))
    for _ in range(2):
        assert verifier.verify(GOOD, NOW).signer == "CN=李四"


def test_without_a_list_nothing_is_known_and_nothing_is_accepted() -> None:
    assert _reason(_verifier(), GOOD) is RejectionReason.REVOCATION_UNKNOWN
    assert _reason(_verifier(crl()), DEEP) is RejectionReason.REVOCATION_UNKNOWN


@pytest.mark.parametrize(
    ("since", "accepted"), [(NOW - SECOND, False), (NOW, False), (NOW + SECOND, True)]
)
def test_a_revoked_signer_is_refused_from_that_second_on(since: datetime, accepted: bool) -> None:
    verifier = _verifier(crl(entry(SIGNER.certificate.serial_number, since)))
    if accepted:
        verifier.verify(GOOD, NOW)
    else:
        assert _reason(verifier, GOOD) is RejectionReason.CERTIFICATE_REVOKED


@pytest.mark.parametrize(
    ("since", "accepted"), [(NOW - SECOND, False), (NOW, False), (NOW + SECOND, True)]
)
def test_a_revoked_intermediate_is_refused_from_that_second_on(
    since: datetime, accepted: bool
) -> None:
    verifier = _verifier(crl(entry(LOWER.serial_number, since)), crl(issuer="Lower"))
    if accepted:
        verifier.verify(DEEP, NOW)
    else:
        assert _reason(verifier, DEEP) is RejectionReason.ISSUER_REVOKED


def test_both_lists_of_a_path_are_needed() -> None:
    _verifier(crl(), crl(issuer="Lower")).verify(DEEP, NOW)
    for only in (crl(), crl(issuer="Lower")):
        assert _reason(_verifier(only), DEEP) is RejectionReason.REVOCATION_UNKNOWN


def test_a_list_proves_nothing_from_its_next_update_on() -> None:
    verifier = _verifier(crl())
    verifier.verify(GOOD, NOW + DAY - SECOND)
    for late in (NOW + DAY, NOW + 2 * DAY):
        assert _reason(verifier, GOOD, late) is RejectionReason.REVOCATION_STALE
    verifier.verify(GOOD, NOW)


def test_an_old_list_still_refuses_what_it_names() -> None:
    verifier = _verifier(crl(SIGNER.certificate))
    assert _reason(verifier, GOOD, NOW + 2 * DAY) is RejectionReason.CERTIFICATE_REVOKED


def test_a_new_list_counts_at_once_though_the_certificate_is_remembered() -> None:
    index = _index(crl())
    verifier = Verifier(TRUST, revocation=index)
    verifier.verify(GOOD, NOW)
    index.add_crl(crl(SIGNER.certificate, this_update=NOW), NOW)
    assert _reason(verifier, GOOD) is RejectionReason.CERTIFICATE_REVOKED


def test_an_older_list_handed_in_later_hides_nothing() -> None:
    newer = crl(SIGNER.certificate, this_update=NOW - HOUR)
    older = crl(this_update=NOW - 2 * HOUR)
    assert _reason(_verifier(newer, older), GOOD) is RejectionReason.CERTIFICATE_REVOKED


def test_what_was_revoked_stays_so_if_a_newer_list_leaves_it_out() -> None:
    verifier = _verifier(crl(SIGNER.certificate, this_update=NOW - 2 * HOUR), crl())
    assert _reason(verifier, GOOD) is RejectionReason.CERTIFICATE_REVOKED


def test_a_hold_ends_with_the_list_that_no_longer_has_it() -> None:
    serial = SIGNER.certificate.serial_number
    hold = entry(serial, NOW - 3 * HOUR, reason=x509.ReasonFlags.certificate_hold)
    held = crl(hold, this_update=NOW - 2 * HOUR)
    assert _reason(_verifier(held), GOOD) is RejectionReason.CERTIFICATE_REVOKED
    verifier = _verifier(held, crl())
    verifier.verify(GOOD, NOW)
    at = NOW - 90 * timedelta(minutes=1)
    # The newer list tells of that time, too, and does not know of the hold any more.
    verifier.verify(GOOD, at)


def test_an_archive_is_verified_with_the_data_of_its_time() -> None:
    then = NOW - YEAR / 2
    stolen = entry(SIGNER.certificate.serial_number, then + DAY)
    of_then = crl(this_update=then - HOUR, next_update=then + DAY)
    verifier = _verifier(of_then, crl(stolen))
    verifier.verify(GOOD, then)
    assert _reason(verifier, GOOD, then + DAY) is RejectionReason.CERTIFICATE_REVOKED
    assert _reason(verifier, GOOD) is RejectionReason.CERTIFICATE_REVOKED
    _verifier(of_then).verify(GOOD, then)
    assert _reason(_verifier(of_then), GOOD) is RejectionReason.REVOCATION_STALE


def test_a_list_from_after_a_certificate_expired_proves_nothing_about_it() -> None:
    expired = Signer.issued(not_after=NOW - DAY).sign(MESSAGE)
    at = NOW - 2 * DAY
    assert _reason(_verifier(crl()), expired, at) is RejectionReason.REVOCATION_UNKNOWN
    _verifier(crl(this_update=NOW - 3 * DAY, next_update=NOW - DAY)).verify(expired, at)


def test_the_time_of_the_theft_counts_though_it_was_noticed_later() -> None:
    stolen = entry(
        SIGNER.certificate.serial_number,
        NOW + HOUR,
        extensions=[(x509.InvalidityDate(NOW.replace(tzinfo=None) - DAY), False)],
    )
    verifier = _verifier(crl(stolen))
    assert _reason(verifier, GOOD) is RejectionReason.CERTIFICATE_REVOKED
    assert _reason(verifier, GOOD, NOW - DAY) is RejectionReason.CERTIFICATE_REVOKED


def test_the_serial_number_of_another_issuers_certificate_is_another_certificate() -> None:
    serial = BELOW.certificate.serial_number
    _verifier(crl(entry(serial)), crl(issuer="Lower")).verify(DEEP, NOW)


def test_lists_for_customers_and_for_cas_complete_each_other() -> None:
    def scoped(*, users: bool) -> list[tuple[x509.ExtensionType, bool]]:
        point = x509.IssuingDistributionPoint(None, None, users, not users, None, False, False)
        return [(point, True)]

    lower = crl(issuer="Lower")
    users, authorities = crl(extensions=scoped(users=True)), crl(extensions=scoped(users=False))
    _verifier(users).verify(GOOD, NOW)
    assert _reason(_verifier(authorities), GOOD) is RejectionReason.REVOCATION_UNKNOWN
    assert _reason(_verifier(users, lower), DEEP) is RejectionReason.REVOCATION_UNKNOWN
    verifier = _verifier(users, authorities, lower)
    verifier.verify(GOOD, NOW)
    verifier.verify(DEEP, NOW)


UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


def _point(**flags: Any) -> x509.IssuingDistributionPoint:
    members: dict[str, Any] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**(members | flags))


REASONS = frozenset((x509.ReasonFlags.key_compromise,))
REFUSED = {
    "empty": (b"", "can be read"),
    "garbage": (b"\x30\x03\x02\x01\x01", "can be read"),
    "too long": (bytes((1 << 26) + 1), "at most"),
    "cut short": (crl()[:-1], "can be read"),
    "a byte more": (crl() + b"\0", "can be read"),
    "another issuer": (crl(issuer="Another CA"), "no trusted CA"),
    "another key": (crl(key=authority_key("Another CA")), "not signed by"),
    "changed": (
        crl(entry(0x1111)).replace(b"\x02\x02\x11\x11", b"\x02\x02\x11\x12"),
        "not signed by",
    ),
    "from the future": (crl(this_update=NOW + HOUR), "from the future"),
    "delta": (crl(extensions=[(x509.DeltaCRLIndicator(1), True)]), "delta"),
    "indirect": (crl(extensions=[(_point(indirect_crl=True), True)]), "indirect"),
    "some reasons": (crl(extensions=[(_point(only_some_reasons=REASONS), True)]), "some"),
    "attribute certificates": (
        crl(extensions=[(_point(only_contains_attribute_certs=True), True)]),
        "some",
    ),
    "unknown critical extension": (crl(extensions=[(UNKNOWN, True)]), "1.2.3.4"),
    "unknown critical entry extension": (
        crl(entry(5, extensions=[(UNKNOWN, True)])),
        "1.2.3.4",
    ),
    "SHA-224": (crl(hash_algorithm=hashes.SHA224()), "weak"),
}


@pytest.mark.parametrize(("data", "problem"), REFUSED.values(), ids=REFUSED.keys())
def test_a_list_that_cannot_be_believed_changes_nothing(data: bytes, problem: str) -> None:
    index = _index(crl())
    before = index.view
    with pytest.raises(RevocationInvalid, match=problem):
        index.add_crl(data, NOW)
    assert index.view is before


def test_a_list_without_an_end_is_refused() -> None:
    body = parse_one(x509.load_der_x509_crl(crl()).tbs_certlist_bytes).value
    # The second of its two UTCTimes.
    next_update = body.index(b"\x17\x0d", body.index(b"\x17\x0d") + 1)
    endless = signed(body[:next_update] + body[next_update + 15 :])
    with pytest.raises(RevocationInvalid, match="when the next one comes"):
        _index().add_crl(endless, NOW)


def test_a_ca_that_may_not_sign_lists_is_not_believed() -> None:
    root = authority(usage=key_usage("key_cert_sign"))
    with pytest.raises(RevocationInvalid, match="may not sign CRLs"):
        RevocationIndex((root,)).add_crl(crl(), NOW)


def test_pem_is_read_too() -> None:
    encoded = x509.load_der_x509_crl(crl()).public_bytes(Encoding.PEM)
    _index(encoded).view.clear((SIGNER.certificate, ROOT), NOW)


def test_only_so_much_history_is_kept() -> None:
    index = RevocationIndex((ROOT,), history=2)
    for days in range(5, 0, -1):
        index.add_crl(crl(this_update=NOW - days * DAY, next_update=NOW - (days - 1) * DAY), NOW)
    (kept,) = index.view.lists.values()
    assert [each.this_update for each in kept] == [NOW - DAY, NOW - 2 * DAY]


def test_a_long_list_is_indexed_once_and_looked_up_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verifier = _verifier(many(range(1, 20_001)))
    verifier.verify(GOOD, NOW)

    def refuse(*_: object) -> None:
        raise AssertionError("looked into again")

    monkeypatch.setattr("ushield.bank.revocation.index.RevocationView.clear", refuse)
    verifier.verify(GOOD, NOW)
    verifier.verify(SIGNER.sign(MESSAGE), NOW + HOUR)


def test_a_verification_does_as_much_by_a_list_of_a_hundred_thousand_as_by_one_of_ten() -> None:
    index = RevocationIndex((ROOT, LOWER))
    index.add_crl(many(range(1, 100_001)), NOW)
    long, short = Verifier(TRUST, revocation=index), _verifier(many(range(1, 11)))
    for warm in (False, True):
        calls = [_calls(partial(verifier.verify, GOOD, NOW)) for verifier in (long, short)]
        assert calls[0] == calls[1], f"warm: {warm}"


def _calls(work: Callable[[], object]) -> Counter[str]:
    """Every function that was called, of Python or of C, and how often."""
    found: Counter[str] = Counter()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            found[frame.f_code.co_qualname] += 1
        elif event == "c_call":
            found[argument.__qualname__] += 1

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found
