"""Certificates as no CA should write them, in signatures that hold: a reason, never a traceback."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bank.odd import ODD_CERTIFICATES, SIGNER, fields, issued, sign
from tests.pki import NOW, authority, pem, receipt_for
from tests.transaction.strategies import TRANSFER
from ushield.bank import RejectionReason, TransactionRejected, TrustStore, verify_transaction
from ushield.cms import signed_attributes
from ushield.errors import CertificateInvalid
from ushield.transaction import write_message

MESSAGE = write_message(TRANSFER)
RECEIPT = receipt_for(MESSAGE)
TRUST = TrustStore.load(pem(authority()))


def _signature_with(certificate: bytes) -> bytes:
    """What the holder of the key signs as the subject of ``certificate``."""
    attributes = signed_attributes(MESSAGE, certificate, RECEIPT, SIGNER.algorithm.hash)
    return SIGNER.assemble(MESSAGE, attributes, sign(SIGNER.key, attributes), certificate)


def test_a_certificate_put_together_again_is_accepted() -> None:
    signature = _signature_with(issued(fields()))
    assert verify_transaction(signature, TRUST, NOW).signer == "CN=李四"


@pytest.mark.parametrize("certificate", ODD_CERTIFICATES.values(), ids=ODD_CERTIFICATES)
def test_an_odd_certificate_is_refused_for_a_reason(certificate: bytes) -> None:
    with pytest.raises(TransactionRejected) as caught:
        verify_transaction(_signature_with(certificate), TRUST, NOW)
    assert caught.value.reason in (
        RejectionReason.CERTIFICATE_INVALID,
        RejectionReason.PATH_INVALID,
    )


@given(st.data())
@settings(max_examples=150)
def test_any_change_before_it_was_signed_gives_a_verdict(data: st.DataObject) -> None:
    parts = fields()
    place = data.draw(st.integers(1, len(parts) - 1))
    field = bytearray(parts[place])
    for _ in range(data.draw(st.integers(1, 3))):
        field[data.draw(st.integers(0, len(field) - 1))] = data.draw(st.integers(0, 255))
    parts[place] = bytes(field)
    # `CertificateInvalid` comes of what leaves no issuer and serial number to name the signer by.
    with suppress(CertificateInvalid, TransactionRejected):
        verify_transaction(_signature_with(issued(parts)), TRUST, NOW)
