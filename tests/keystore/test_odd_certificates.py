"""Certificates as no CA should write them, on a token or in a bundle: told as unreadable."""

from __future__ import annotations

import pytest

from tests.bank.odd import ODD_CERTIFICATES
from tests.pki import NOW
from ushield.errors import CertificateInvalid
from ushield.keystore.bundle import authority_problem, read_bundle
from ushield.keystore.health import FindingKind, check_health
from ushield.keystore.objects import Certificate


@pytest.mark.parametrize("certificate", ODD_CERTIFICATES.values(), ids=ODD_CERTIFICATES)
def test_something_is_found_wrong_with_it(certificate: bytes) -> None:
    stored = Certificate(1, b"id", "label", certificate)
    assert check_health(stored, [], [], at=NOW)


@pytest.mark.parametrize("name", ["not-before-year-0", "not-after-year-0"])
def test_a_time_that_no_calendar_has_makes_it_unreadable(name: str) -> None:
    with pytest.raises(CertificateInvalid):
        read_bundle(ODD_CERTIFICATES[name])
    stored = Certificate(1, b"id", "label", ODD_CERTIFICATES[name])
    (finding,) = check_health(stored, [], [], at=NOW)
    assert finding.kind is FindingKind.UNREADABLE


def test_an_extension_with_a_number_that_has_no_name_is_a_problem() -> None:
    (certificate,) = read_bundle(ODD_CERTIFICATES["unnamed-tls-feature"])
    assert "extensions" in (authority_problem(certificate) or "")
