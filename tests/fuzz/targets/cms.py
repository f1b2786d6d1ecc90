"""What a bank is sent: signatures, receipts and attestations, and what it makes of them.

The first byte names the reader. A signature that parses has one encoding, and its two readers agree
on it; one that verifies was made here.
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
from ushield.bank import TransactionRejected, TrustStore, Verifier
from ushield.cms import Receipt, ReceiptInvalid, SignedDataInvalid, assemble
from ushield.cms.attestation import Attestation, AttestationInvalid
from ushield.cms.blind import BlindStatement, BlindStatementInvalid
from ushield.cms.parsing import MAX_SIGNED_DATA, examine
from ushield.cms.recognition import read_identity, recognise
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
def _verifier() -> Verifier:
    # One for all inputs: what it remembers of an earlier one must serve no later one.
    return Verifier(TrustStore.load(pem(authority())), remembered=64)


def _run(data: bytes) -> None:
    if data:
        (_parse, _receipt, _attestation, _verify)[data[0] % 4](data[1:])


def _parse(data: bytes) -> None:
    try:
        examined = examine(data)
    except SignedDataInvalid:
        examined = None
    recognised = recognise(data, read_identity)
    if recognised is not None:
        assert recognised == examined
    elif examined is not None and isinstance(examined.display, Receipt):
        # asn1crypto may take what cryptography cannot read as a certificate; trust refuses that.
        with suppress(ValueError):
            read_identity(examined.certificate)
            raise AssertionError("a signature in its one encoding was not recognised")
    if examined is not None:
        again = assemble(
            message=examined.message,
            certificate=examined.certificate,
            signed_attributes=examined.signed_attributes,
            signature=examined.signature,
            is_rsa=examined.is_rsa,
            hash_algorithm=examined.hash_algorithm,
        )
        assert data == again


def _receipt(data: bytes) -> None:
    with suppress(ReceiptInvalid):
        assert Receipt.decode(data).encode() == data


def _attestation(data: bytes) -> None:
    with suppress(AttestationInvalid):
        assert Attestation.decode(data).encode() == data
    with suppress(BlindStatementInvalid):
        assert BlindStatement.decode(data).encode() == data


def _verify(data: bytes) -> None:
    with suppress(TransactionRejected):
        _verifier().verify(data, NOW)
        assert data in _signatures()


def _seeds() -> Iterator[bytes]:
    for signature in _signatures():
        yield bytes((_SIGNATURE,)) + signature
        yield bytes((_VERIFY,)) + signature
    for transaction in EXAMPLES:
        yield bytes((_RECEIPT,)) + receipt_for(write_message(transaction)).encode()
    attestation = Attestation("V1", "model", "1.0.0", usage=1, generated=True, virtual=True)
    yield bytes((_ATTESTATION,)) + attestation.encode()
    yield bytes((_ATTESTATION,)) + BlindStatement("1", "YubiKey", "piv").encode()


TARGET = Target(_run, _seeds, max_length=MAX_SIGNED_DATA + 16)
