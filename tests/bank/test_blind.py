"""What nobody was shown is refused, unless its signers' CA is named; then it is another type."""

from __future__ import annotations

import dataclasses

import pytest

from tests.pki import NOW, YEAR, Signer, authority, pem
from tests.transaction.strategies import TRANSFER
from ushield.bank import (
    BlindTransaction,
    RejectionReason,
    TransactionRejected,
    TrustStore,
    VerifiedTransaction,
    verify_transaction,
)
from ushield.cli.exit_codes import ExitCode, exit_code
from ushield.cms import BlindStatement
from ushield.errors import InputInvalid
from ushield.transaction import write_message

MESSAGE = write_message(TRANSFER)
STATEMENT = BlindStatement("1234", "PIV card", "piv")
DISPLAY, BLIND = (
    TrustStore.load(pem(authority(name))) for name in ("Test Bank CA", "Test Bank Blind CA")
)
TOKEN = Signer.issued()
CARD = Signer.issued(issuer="Test Bank Blind CA")
SIGNATURE = CARD.sign(MESSAGE, STATEMENT)


def test_a_blind_signature_is_refused_unless_it_is_accepted_by_name() -> None:
    for trust in (DISPLAY, BLIND):
        with pytest.raises(TransactionRejected) as caught:
            verify_transaction(SIGNATURE, trust, NOW)
        assert caught.value.reason is RejectionReason.BLIND_SIGNATURE
        assert not caught.value.reason.is_trust
        assert exit_code(caught.value) is ExitCode.POLICY_REFUSED


def test_an_accepted_one_is_no_verified_transaction() -> None:
    blind = verify_transaction(SIGNATURE, DISPLAY, NOW, accept_blind=BLIND)
    assert isinstance(blind, BlindTransaction)
    assert (blind.transaction, blind.statement) == (TRANSFER, STATEMENT)
    assert blind.path[-1] == "CN=Test Bank Blind CA"
    assert not issubclass(BlindTransaction, VerifiedTransaction)
    assert not {"pages", "receipt"} & {each.name for each in dataclasses.fields(blind)}


def test_one_by_a_virtual_token_is_refused_unless_those_are_accepted_as_well() -> None:
    statement = dataclasses.replace(STATEMENT, virtual=True)
    signature = CARD.sign(MESSAGE, statement)
    with pytest.raises(TransactionRejected) as caught:
        verify_transaction(signature, DISPLAY, NOW, accept_blind=BLIND)
    assert caught.value.reason is RejectionReason.VIRTUAL_TOKEN
    blind = verify_transaction(signature, DISPLAY, NOW, accept_blind=BLIND, accept_virtual=True)
    assert isinstance(blind, BlindTransaction)
    assert blind.statement.virtual


def test_a_shown_one_is_what_it_was_where_blind_ones_are_accepted() -> None:
    verified = verify_transaction(TOKEN.sign(MESSAGE), DISPLAY, NOW, accept_blind=BLIND)
    assert isinstance(verified, VerifiedTransaction)


def test_a_key_without_a_display_that_signs_a_receipt_is_not_trusted() -> None:
    forged = CARD.sign(MESSAGE)
    with pytest.raises(TransactionRejected) as caught:
        verify_transaction(forged, DISPLAY, NOW, accept_blind=BLIND)
    assert caught.value.reason is RejectionReason.ISSUER_UNKNOWN


def test_one_ca_for_both_is_refused() -> None:
    with pytest.raises(InputInvalid, match="one CA"):
        verify_transaction(SIGNATURE, DISPLAY, NOW, accept_blind=DISPLAY)


def test_one_ca_s_key_for_both_is_refused_under_other_certificates_too() -> None:
    renewed = authority("Test Bank Blind CA", not_after=NOW + 20 * YEAR)
    certified = authority("Test Bank Blind CA", "Test Bank CA")
    for trust in (
        TrustStore.load(pem(authority("Test Bank CA"), renewed)),
        TrustStore.load(pem(authority("Test Bank CA"), certified)),
    ):
        forged = CARD.sign(MESSAGE)
        assert isinstance(verify_transaction(forged, trust, NOW), VerifiedTransaction)
        with pytest.raises(InputInvalid, match="one CA"):
            verify_transaction(forged, trust, NOW, accept_blind=BLIND)


def test_a_broken_one_is_refused_for_what_is_broken_first() -> None:
    other = Signer.issued(issuer="Test Bank Blind CA", subject="王五")
    stolen = other.sign_attributes(MESSAGE, b"1\0")
    for accept in (None, BLIND):
        with pytest.raises(TransactionRejected) as caught:
            verify_transaction(stolen, DISPLAY, NOW, accept_blind=accept)
        assert caught.value.reason is RejectionReason.ATTRIBUTE_MISSING
