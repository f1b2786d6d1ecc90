"""The bank that the corpus is thrown at, and how its work is counted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

from tests.bank import odd
from tests.pki import NOW, Signer, authority, pem, receipt_for
from tests.transaction.strategies import TRANSFER
from ushield.algorithms import KeyAlgorithm
from ushield.bank import RejectionReason, TransactionRejected, TrustStore, Verifier
from ushield.cms import signed_attributes
from ushield.transaction import write_message

MESSAGE = write_message(TRANSFER)
SIGNER = Signer.issued(KeyAlgorithm.P256)
RSA = Signer.issued(KeyAlgorithm.RSA_2048)
STRANGER = Signer.issued(KeyAlgorithm.P256, issuer="Another CA")
TRUST = TrustStore.load(pem(authority()))


def signature_with(certificate: bytes) -> bytes:
    """What the holder of an odd certificate's key signs as its subject."""
    attributes = signed_attributes(
        MESSAGE, certificate, receipt_for(MESSAGE), odd.SIGNER.algorithm.hash
    )
    signature = odd.sign(odd.SIGNER.key, attributes)
    return odd.SIGNER.assemble(MESSAGE, attributes, signature, certificate)


def reason(signature: bytes, trust: TrustStore = TRUST) -> RejectionReason | None:
    """Why the bank refuses it, or nothing: the same with a cold verifier and with a warm one."""
    verifier = Verifier(trust)
    found = {_verdict(verifier, signature) for _ in range(2)}
    (only,) = found
    return only


def _verdict(verifier: Verifier, signature: bytes) -> RejectionReason | None:
    try:
        verifier.verify(signature, NOW)
    except TransactionRejected as rejection:
        return rejection.reason
    return None


def refused(signature: bytes, trust: TrustStore = TRUST) -> RejectionReason:
    """Why the bank refuses it, which it must."""
    found = reason(signature, trust)
    assert found is not None
    return found


class Work(NamedTuple):
    """What came out, and how many functions were called for it, in Python or in C."""

    reason: RejectionReason
    calls: int


def counted(work: Callable[[], RejectionReason]) -> Work:
    """Calls are counted rather than seconds: they are the same on every machine."""
    calls = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        found = work()
    finally:
        sys.setprofile(before)
    return Work(found, calls)
