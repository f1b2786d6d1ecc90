"""Signatures of the past are judged by the lists and responses of their time."""

from __future__ import annotations

import pickle
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bank.revocations import DAY, HOUR, crl, entry, ocsp_response
from tests.pki import NOW, YEAR, Signer, authority, authority_key, certificate, key_usage, pem
from tests.transaction.strategies import TRANSFER
from ushield.bank import RejectionReason, TransactionRejected, TrustStore, Verifier
from ushield.bank.revocation import (
    Knowledge,
    RevocationCatalogue,
    RevocationUnavailable,
    historic_index,
)
from ushield.errors import InputInvalid
from ushield.transaction import write_message

ROOT = authority()
LOWER = authority("Lower", "Test Bank CA")
TRUST = TrustStore.load(pem(ROOT, LOWER))
SIGNER = Signer.issued(not_before=NOW - YEAR, not_after=NOW + 30 * DAY)
BELOW = Signer.issued(issuer="Lower")
GOOD, DEEP = (each.sign(write_message(TRANSFER)) for each in (SIGNER, BELOW))
SERIAL = SIGNER.certificate.serial_number
LATER = NOW + 2 * YEAR
HOLDS = "holds"


def daily(day: int, *revoked: x509.RevokedCertificate, hours: int = 24, **changes: str) -> bytes:
    """The list of one day after `NOW`."""
    this_update = NOW + day * DAY
    next_update = this_update + hours * HOUR
    return crl(*revoked, this_update=this_update, next_update=next_update, **changes)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "lists"


def catalogue(folder: Path, *files: bytes) -> RevocationCatalogue:
    folder.mkdir(exist_ok=True)
    for number, data in enumerate(files):
        (folder / f"{number:03}").write_bytes(data)
    return RevocationCatalogue.scan(folder, (ROOT, LOWER), LATER)


def verifier(
    found: RevocationCatalogue, knowledge: Knowledge = Knowledge.THEN, most_entries: int = 1 << 20
) -> Verifier:
    index = historic_index(found, (ROOT, LOWER), knowledge=knowledge, most_entries=most_entries)
    return Verifier(TRUST, revocation=index)


def outcome(verifier: Verifier, at: datetime, data: bytes = GOOD) -> str:
    try:
        verifier.verify(data, at)
    except TransactionRejected as rejected:
        return rejected.reason.value
    return HOLDS


def test_the_list_that_was_in_force_decides(folder: Path) -> None:
    lists = [daily(0), daily(1, entry(SERIAL, NOW + DAY)), daily(2, entry(SERIAL, NOW + DAY))]
    judge = verifier(catalogue(folder, *lists))
    # Again, in another order: what is remembered of a certificate is for its time only.
    for hours in (1, 23, 25, 49, 30, 2):
        expected = HOLDS if hours < 24 else "certificate-revoked"
        assert outcome(judge, NOW + hours * HOUR) == expected, hours


def test_where_no_list_was_in_force_nothing_holds(folder: Path) -> None:
    judge = verifier(catalogue(folder, daily(0), daily(2)))
    assert outcome(judge, NOW + 30 * HOUR) == "revocation-gap"
    assert outcome(judge, NOW - HOUR) == "revocation-gap"
    assert outcome(judge, NOW + 72 * HOUR) == "revocation-gap"
    assert outcome(judge, NOW + 48 * HOUR) == HOLDS


def test_an_issuer_without_any_list_is_not_the_same_as_a_gap(folder: Path) -> None:
    judge = verifier(catalogue(folder, daily(0, issuer="Lower")))
    assert outcome(judge, NOW) == "revocation-unknown"
    assert outcome(judge, NOW, DEEP) == "revocation-unknown"


def test_the_ca_between_needs_a_list_of_that_time_too(folder: Path) -> None:
    lists = [daily(0), daily(0, issuer="Lower"), daily(1, issuer="Lower")]
    judge = verifier(catalogue(folder, *lists))
    assert outcome(judge, NOW + HOUR, DEEP) == HOLDS
    assert outcome(judge, NOW + 25 * HOUR, DEEP) == "revocation-gap"
    revoked = daily(1, entry(LOWER.serial_number, NOW + DAY))
    judge = verifier(catalogue(folder, *lists, revoked))
    assert outcome(judge, NOW + 25 * HOUR, DEEP) == "issuer-revoked"
    assert outcome(judge, NOW + HOUR, DEEP) == HOLDS


def test_the_newest_of_several_in_force_decides(folder: Path) -> None:
    lists = [daily(0, hours=96), daily(1, entry(SERIAL, NOW + DAY), hours=24)]
    judge = verifier(catalogue(folder, *lists))
    assert outcome(judge, NOW + 12 * HOUR) == HOLDS
    assert outcome(judge, NOW + 25 * HOUR) == "certificate-revoked"
    # The older one still was, when the newer one had ended.
    assert outcome(judge, NOW + 50 * HOUR) == HOLDS


def stolen(before: timedelta) -> bytes:
    """A list that tells, a month later, that the key had been stolen by then."""
    invalid = x509.InvalidityDate((NOW - before).replace(tzinfo=None))
    revoked = entry(
        SERIAL,
        NOW + 20 * DAY,
        reason=x509.ReasonFlags.key_compromise,
        extensions=[(invalid, False)],
    )
    return daily(20, revoked)


def test_what_became_known_later_counts_only_if_it_is_asked_for(folder: Path) -> None:
    found = catalogue(folder, daily(0), stolen(HOUR))
    assert outcome(verifier(found), NOW + HOUR) == HOLDS
    assert outcome(verifier(found, Knowledge.NOW), NOW + HOUR) == "certificate-revoked"
    found = catalogue(folder, daily(0), stolen(-2 * HOUR))
    judge = verifier(found, Knowledge.NOW)
    assert outcome(judge, NOW + HOUR) == HOLDS
    assert outcome(judge, NOW + 3 * HOUR) == "certificate-revoked"
    assert outcome(judge, NOW + HOUR) == HOLDS


def test_a_list_after_the_certificate_s_end_says_nothing_of_it(folder: Path) -> None:
    found = catalogue(folder, daily(0), stolen(HOUR), daily(40))
    assert outcome(verifier(found, Knowledge.NOW), NOW + HOUR) == "certificate-revoked"


def test_a_later_list_fills_a_gap_only_by_what_is_known_now(folder: Path) -> None:
    found = catalogue(folder, daily(5))
    assert outcome(verifier(found), NOW + HOUR) == "revocation-gap"
    assert outcome(verifier(found, Knowledge.NOW), NOW + HOUR) == HOLDS
    late = catalogue(folder, daily(40))
    assert outcome(verifier(late, Knowledge.NOW), NOW + HOUR) == "revocation-gap"


def test_a_hold_counts_for_the_time_of_the_list_that_has_it(folder: Path) -> None:
    held = entry(SERIAL, NOW + DAY, reason=x509.ReasonFlags.certificate_hold)
    found = catalogue(folder, daily(0), daily(1, held), daily(2))
    hours = {1: HOLDS, 25: "certificate-revoked", 49: HOLDS}
    judge = verifier(found)
    assert {each: outcome(judge, NOW + each * HOUR) for each in hours} == hours


def test_responses_count_for_their_time_beside_lists(folder: Path) -> None:
    good = ocsp_response(SIGNER.certificate)
    bad = ocsp_response(
        SIGNER.certificate,
        status=ocsp.OCSPCertStatus.REVOKED,
        since=NOW + DAY,
        this_update=NOW + DAY,
        next_update=NOW + DAY + HOUR,
    )
    found = catalogue(folder, good, bad, daily(1))
    assert len(found.statements) == 2
    judge = verifier(found)
    assert outcome(judge, NOW) == HOLDS
    assert outcome(judge, NOW + 2 * HOUR) == "revocation-gap"
    assert outcome(judge, NOW + DAY + HOUR / 2) == "certificate-revoked"
    # The response has ended, and the list of the day says otherwise.
    assert outcome(judge, NOW + DAY + 2 * HOUR) == HOLDS
    assert outcome(verifier(found, Knowledge.NOW), NOW + DAY + 2 * HOUR) == "certificate-revoked"


def test_a_responder_whose_certificate_has_expired_since_is_still_believed(folder: Path) -> None:
    key = authority_key("Responder")
    responder = certificate(
        "Responder",
        "Test Bank CA",
        key.public_key(),
        authority_key("Test Bank CA"),
        usage=key_usage("digital_signature"),
        extensions=[
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False),
            (x509.OCSPNoCheck(), False),
        ],
        not_before=NOW - YEAR,
        # Responses of the tests are made by the clock of the machine.
        not_after=LATER - DAY,
    )
    data = ocsp_response(SIGNER.certificate, responder=responder, key=key)
    assert outcome(verifier(catalogue(folder, data)), NOW) == HOLDS


def test_what_cannot_be_believed_is_told_and_left_out(folder: Path) -> None:
    forged = crl(key=authority_key("Stranger"))
    found = catalogue(folder, daily(0), forged, b"a note", b"\x30\x03\x0a\x01\x06")
    assert len(found.lists) == 1
    assert [Path(each.path).name for each in found.ignored] == ["001", "002", "003"]
    assert all(each.problem for each in found.ignored)
    assert outcome(verifier(found), NOW) == HOLDS


def test_a_list_that_is_changed_after_it_was_looked_at_is_an_error_and_no_outcome(
    folder: Path,
) -> None:
    found = catalogue(folder, daily(0, entry(SERIAL)))
    (folder / "000").write_bytes(daily(0))
    with pytest.raises(RevocationUnavailable):
        verifier(found).verify(GOOD, NOW)
    (folder / "000").unlink()
    with pytest.raises(RevocationUnavailable):
        verifier(found).verify(GOOD, NOW)


def test_a_catalogue_pickles_and_is_known_by_its_contents(folder: Path, tmp_path: Path) -> None:
    lists = [daily(0), daily(1), ocsp_response(SIGNER.certificate)]
    found = catalogue(folder, *lists)
    assert pickle.loads(pickle.dumps(found)) == found
    moved = catalogue(tmp_path / "elsewhere", *reversed(lists))
    assert moved.digest == found.digest
    assert catalogue(folder, daily(2)).digest != found.digest


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid):
        RevocationCatalogue.scan(tmp_path / "nowhere", (ROOT,))


def test_few_lists_are_kept_in_memory_and_read_again(folder: Path) -> None:
    lists = [daily(day, *(entry(number) for number in range(1, 9))) for day in range(4)]
    judge = verifier(catalogue(folder, *lists), most_entries=16)
    for day in (0, 1, 2, 3, 0, 2):
        assert outcome(judge, NOW + day * DAY) == HOLDS


@given(
    lists=st.lists(
        st.tuples(st.integers(0, 12), st.integers(1, 8), st.booleans()), min_size=1, max_size=6
    ),
    times=st.lists(st.integers(-1, 20), min_size=1, max_size=8),
)
@settings(max_examples=40, deadline=None)
def test_any_history_is_judged_as_a_plain_search_through_it_would(
    tmp_path_factory: pytest.TempPathFactory,
    lists: list[tuple[int, int, bool]],
    times: list[int],
) -> None:
    files = [
        crl(
            *([entry(SERIAL, NOW + start * HOUR)] if revoked else []),
            this_update=NOW + start * HOUR,
            next_update=NOW + (start + length) * HOUR,
        )
        for start, length, revoked in lists
    ]
    judge = verifier(catalogue(tmp_path_factory.mktemp("lists"), *files))
    for time in times:
        in_force = [each for each in lists if each[0] <= time < each[0] + each[1]]
        newest = max((start for start, _, _ in in_force), default=None)
        if newest is None:
            expected = RejectionReason.REVOCATION_GAP.value
        elif any(revoked for start, _, revoked in in_force if start == newest):
            expected = RejectionReason.CERTIFICATE_REVOKED.value
        else:
            expected = HOLDS
        assert outcome(judge, NOW + time * HOUR) == expected
