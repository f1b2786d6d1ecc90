"""What a bank is sent: signatures, receipts and attestations, and what it makes of them.

The first byte names the reader. A signature that parses has one encoding; one that verifies is, but
for that encoding, one that was made here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Final

from tests.fuzz.target import Target
from tests.pki import NOW, Signer, authority, pem, receipt_for
from tests.transaction.strategies import EXAMPLES
from ushield.algorithms import KeyAlgorithm
from ushield.bank import TransactionRejected, TrustStore, verify_transaction
from ushield.cms import Receipt, ReceiptInvalid, SignedDataInvalid, assemble, parse_signed_data
from ushield.cms.attestation import Attestation, AttestationInvalid
from ushield.cms.parsing import MAX_SIGNED_DATA
from ushield.transaction import write_message

__all__ = ["TARGET"]

_SIGNATURE, _RECEIPT, _ATTESTATION, _VERIFY = range(4)
_ALGORITHMS: Final = (KeyAlgorithm.P256, KeyAlgorithm.RSA_2048, KeyAlgorithm.P384)


@cache
def _signatures() -> tuple[bytes, ...]:
    messages = map(write_message, EXAMPLES)
    signers = [Signer.issued(algorithm) for algorithm in _ALGORITHMS]
    return tuple(signer.sign(message) for message in messages for signer in signers)


@cache
def _trust() -> TrustStore:
    return TrustStore.load(pem(authority()))


def _run(data: bytes) -> None:
    if data:
        (_parse, _receipt, _attestation, _verify)[data[0] % 4](data[1:])


def _parse(data: bytes) -> None:
    try:
        parsed = parse_signed_data(data)
    except SignedDataInvalid:
        return
    assert data == assemble(
        message=parsed.message,
        certificate=parsed.certificate,
        signed_attributes=parsed.signed_attributes,
        signature=parsed.signature,
        is_rsa=parsed.is_rsa,
        hash_algorithm=parsed.hash_algorithm,
    )


def _receipt(data: bytes) -> None:
    with suppress(ReceiptInvalid):
        assert Receipt.decode(data).encode() == data


def _attestation(data: bytes) -> None:
    with suppress(AttestationInvalid):
        assert Attestation.decode(data).encode() == data


def _verify(data: bytes) -> None:
    with suppress(TransactionRejected):
        verify_transaction(data, _trust(), NOW)
        assert data in _signatures()


def _seeds() -> Iterator[bytes]:
    for signature in _signatures():
        yield bytes((_SIGNATURE,)) + signature
        yield bytes((_VERIFY,)) + signature
    for transaction in EXAMPLES:
        yield bytes((_RECEIPT,)) + receipt_for(write_message(transaction)).encode()
    attestation = Attestation("V1", "model", "1.0.0", usage=1, generated=True, virtual=True)
    yield bytes((_ATTESTATION,)) + attestation.encode()


TARGET = Target(_run, _seeds, max_length=MAX_SIGNED_DATA + 16)
