"""Answering OCSP (RFC 6960) for the embedded CA, from the bank's database."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.ocsp import OCSPResponseStatus

from ushield.bank.authorities import records
from ushield.bank.authorities.key import AuthorityKey, ResponderKey
from ushield.bank.authorities.protocol import RevocationReason
from ushield.bank.moments import Clock, system_clock
from ushield.bank.revocation.ocsp import names_issuer
from ushield.bank.store.store import Store
from ushield.errors import InputInvalid, StoreError

__all__ = ["MAX_OCSP_REQUEST", "OcspResponder"]

_LOG = logging.getLogger(__name__)

MAX_OCSP_REQUEST = 1 << 12
"""Longest request that is looked at, in bytes; one has about 120."""

# RFC 9654, 2.1
_MAX_NONCE = 128
_SHORTEST, _LONGEST = timedelta(minutes=1), timedelta(days=7)


class OcspResponder:
    """Answers requests about certificates of an embedded CA; threads may share one.

    It signs as the CA itself, or with the key of a responder that the CA certified: then this
    process needs no key of the CA. ``lifetime`` is the time until an answer's nextUpdate.
    """

    def __init__(
        self,
        store: Store,
        signer: AuthorityKey | ResponderKey,
        *,
        lifetime: timedelta = timedelta(hours=1),
        clock: Clock = system_clock,
    ) -> None:
        if not _SHORTEST <= lifetime <= _LONGEST:
            raise InputInvalid("an OCSP response lives for a minute to seven days")
        self._store = store
        self._signer = signer
        self._lifetime = lifetime
        self._clock = clock

    def answer(self, request: bytes) -> bytes:
        """The response (DER) to a request (DER); bad ones have responses of their own (2.3).

        ``malformedRequest`` for what cannot be read; ``unauthorized`` for certificates of another
        CA, and for several at once; ``tryLater`` if the database fails. A certificate that was
        never issued is ``unknown``. A nonce comes back.
        """
        if len(request) > MAX_OCSP_REQUEST:
            return _failure(OCSPResponseStatus.MALFORMED_REQUEST)
        try:
            asked = ocsp.load_der_ocsp_request(request)
            nonce = _nonce(asked)
        except NotImplementedError:
            return _failure(OCSPResponseStatus.UNAUTHORIZED)
        except (ValueError, x509.DuplicateExtension):
            return _failure(OCSPResponseStatus.MALFORMED_REQUEST)
        # No certificate has such a number.
        if asked.serial_number < 0:
            return _failure(OCSPResponseStatus.MALFORMED_REQUEST)
        try:
            if not names_issuer(asked, self._signer.issuer):
                return _failure(OCSPResponseStatus.UNAUTHORIZED)
        except UnsupportedAlgorithm:
            return _failure(OCSPResponseStatus.UNAUTHORIZED)
        try:
            return self._tell(asked, nonce, self._clock().replace(microsecond=0))
        except StoreError as error:
            _LOG.warning("an OCSP request was put off: %s", error)
            return _failure(OCSPResponseStatus.TRY_LATER)

    def _tell(self, asked: ocsp.OCSPRequest, nonce: x509.OCSPNonce | None, now: datetime) -> bytes:
        identity, number = self._signer.identity, asked.serial_number
        found = self._store.read(
            lambda connection: records.find_certificate(connection, identity, number)
        )
        status, since, reason = ocsp.OCSPCertStatus.GOOD, None, None
        if found is None:
            status = ocsp.OCSPCertStatus.UNKNOWN
        elif found.revocation is not None:
            status, since = ocsp.OCSPCertStatus.REVOKED, found.revocation.date
            if found.revocation.reason is not RevocationReason.UNSPECIFIED:
                reason = x509.ReasonFlags(found.revocation.reason.value)
        certificate = self._signer.certificate
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response_by_hash(
                asked.issuer_name_hash,
                asked.issuer_key_hash,
                number,
                asked.hash_algorithm,
                status,
                now,
                now + self._lifetime,
                since,
                reason,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, certificate)
        )
        if certificate != self._signer.issuer:
            builder = builder.certificates([certificate])
        if nonce is not None:
            builder = builder.add_extension(nonce, critical=False)
        return builder.sign(self._signer.private_key, SHA256()).public_bytes(Encoding.DER)


def _nonce(asked: ocsp.OCSPRequest) -> x509.OCSPNonce | None:
    """The request's nonce; `ValueError` for one that is too long, and for what must be known."""
    found = None
    for extension in asked.extensions:
        if isinstance(extension.value, x509.OCSPNonce):
            if not 1 <= len(extension.value.nonce) <= _MAX_NONCE:
                raise ValueError("a nonce of a length that is not allowed")
            found = extension.value
        elif extension.critical:
            raise ValueError("an unknown critical extension")
    return found


def _failure(status: OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)
