"""The standing of a certificate: all that a verifier remembers of one that may sign."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from ushield.bank.attestation import AttestationPolicy
from ushield.bank.rejection import RejectionReason, TransactionRejected
from ushield.bank.revocation.index import Clearance, RevocationIndex
from ushield.bank.signature_check import SignatureCheck, signature_check
from ushield.bank.trust import TrustStore
from ushield.cms.attestation import Attestation
from ushield.cms.recognition import ReadCertificate, SignerIdentity, read_certificate

__all__ = ["Standing"]


@dataclass(slots=True)
class Standing:
    """A certificate that leads to a trusted CA by ``path``, all of which is valid between
    ``valid_from`` and ``valid_until``, both included. ``subjects`` are the path's (RFC 4514).
    ``clearance`` is the last word on its revocation, replaced when that is out of date.
    """

    identity: SignerIdentity
    check_signature: SignatureCheck
    serial_number: int
    path: tuple[x509.Certificate, ...]
    subjects: tuple[str, ...]
    valid_from: datetime
    valid_until: datetime
    attestation: Attestation | None
    clearance: Clearance | None = None

    def check_revocation(self, index: RevocationIndex, at: datetime) -> None:
        """`TransactionRejected` unless ``index`` tells that nothing on the path was revoked."""
        view, clearance = index.view, self.clearance
        if (
            clearance is None
            or clearance.view is not view
            or not clearance.start <= at < clearance.end
        ):
            self.clearance = view.clear(self.path, at)

    @classmethod
    def find(
        cls,
        certificate: bytes,
        trust: TrustStore,
        attestations: AttestationPolicy | None,
        at: datetime,
        *,
        read: ReadCertificate | None = None,
    ) -> Standing:
        """The standing of ``certificate`` (DER) at a time; `TransactionRejected` if it has none.

        ``read`` is the certificate if it was read already.
        """
        try:
            identity, loaded = read_certificate(certificate) if read is None else read
        except ValueError as error:
            raise TransactionRejected(
                "the signer's certificate cannot be read",
                reason=RejectionReason.CERTIFICATE_INVALID,
            ) from error
        path = trust.check(loaded, at)
        key = loaded.public_key()
        return cls(
            identity=identity,
            check_signature=signature_check(key),
            serial_number=loaded.serial_number,
            path=path,
            subjects=tuple(each.subject.rfc4514_string() for each in path),
            valid_from=max(each.not_valid_before_utc for each in path),
            valid_until=min(each.not_valid_after_utc for each in path),
            attestation=attestations.check(identity.sha256, key) if attestations else None,
        )
