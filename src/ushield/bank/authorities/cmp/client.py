"""A CA elsewhere, asked by CMP (RFC 9810), the bank being its registration authority."""

from __future__ import annotations

import hashlib
import time

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ushield.bank.authorities.cmp.acceptance import (
    certificate_digest,
    check_certificate,
    key_of,
)
from ushield.bank.authorities.cmp.bodies import (
    Status,
    Template,
    certificate_confirmation,
    certificate_request,
    pkcs10_request,
    poll_request,
    read_certificate,
    read_poll,
    read_revocation,
    revocation_request,
)
from ushield.bank.authorities.cmp.exchange import Exchange, refusal
from ushield.bank.authorities.cmp.http import CmpEndpoint
from ushield.bank.authorities.cmp.journal import Journal, Step, Transaction
from ushield.bank.authorities.cmp.message import Message
from ushield.bank.authorities.cmp.protection import Protection
from ushield.bank.authorities.cmp.structures import PKIBody
from ushield.bank.authorities.errors import (
    CaAnswerInvalid,
    CaOutcomeUnknown,
    CaPending,
    CaRefused,
)
from ushield.bank.authorities.order import order_digest
from ushield.bank.authorities.protocol import (
    CertificateProfile,
    RevocationReason,
    check_transaction_id,
)
from ushield.bank.authorities.request import read_request
from ushield.bank.errors import CertificateUnknown
from ushield.bank.moments import Clock, system_clock
from ushield.bank.store.store import Store
from ushield.bank.trust import TrustStore
from ushield.errors import InputInvalid

__all__ = ["CmpAuthority"]

_ANSWERS = ("ip", "cp", "kup")
# CRLReason as asn1crypto names it (RFC 5280, 5.3.1).
_REASONS = {
    RevocationReason.UNSPECIFIED: "unspecified",
    RevocationReason.KEY_COMPROMISE: "key_compromise",
    RevocationReason.AFFILIATION_CHANGED: "affiliation_changed",
    RevocationReason.SUPERSEDED: "superseded",
    RevocationReason.CESSATION_OF_OPERATION: "cessation_of_operation",
    RevocationReason.CERTIFICATE_HOLD: "certificate_hold",
    RevocationReason.PRIVILEGE_WITHDRAWN: "privilege_withdrawn",
}
_RELEASED = "remove_from_crl"


class CmpAuthority:
    """A `CertificateAuthority` behind ``endpoint``; threads may share one.

    ``chain`` is the certificate of the CA that issues, then those above it up to a self-signed
    one. Each method ends within about ``timeout`` seconds; looking up a host's name, which the
    system does, may take longer. What a CA decides of a certificate besides key and subject
    (its validity, say) is the CA's own; a request whose subject is the profile's goes to it as it
    came (p10cr), any other as a template (cr, kur) whose proof of possession the bank has verified.
    """

    def __init__(
        self,
        store: Store,
        endpoint: CmpEndpoint,
        protection: Protection,
        chain: tuple[x509.Certificate, ...],
        *,
        timeout: float = 30.0,
        clock: Clock = system_clock,
    ) -> None:
        if not chain:
            raise InputInvalid("a CA has a certificate")
        if not timeout > 0:
            raise InputInvalid("a timeout above zero seconds")
        self._endpoint = endpoint
        self._protection = protection
        self._chain = chain
        self._trust = TrustStore(chain[-1:], chain[:-1])
        self._timeout = timeout
        self._clock = clock
        self._journal = Journal(store, clock)

    @property
    def chain(self) -> tuple[bytes, ...]:
        """See `CertificateAuthority.chain`."""
        return tuple(each.public_bytes(Encoding.DER) for each in self._chain)

    def issue(self, request: bytes, profile: CertificateProfile, *, transaction_id: bytes) -> bytes:
        """See `CertificateAuthority.issue`."""
        asked = read_request(request)
        if asked.subject == profile.subject:
            body = pkcs10_request(request)
        else:
            body = certificate_request(self._template(asked, profile))
        return self._certificate(body, asked, profile, None, transaction_id)

    def renew(
        self,
        request: bytes,
        profile: CertificateProfile,
        *,
        certificate: bytes,
        transaction_id: bytes,
    ) -> bytes:
        """See `CertificateAuthority.renew`."""
        asked = read_request(request)
        try:
            old = x509.load_der_x509_certificate(certificate)
            if old.issuer != self._chain[0].subject:
                raise CertificateUnknown("the old certificate is another CA's")
        except ValueError as error:
            raise CertificateUnknown("the old certificate cannot be read") from error
        known_by = old.issuer.public_bytes(), old.serial_number
        body = certificate_request(self._template(asked, profile, known_by))
        return self._certificate(body, asked, profile, certificate, transaction_id)

    def revoke(
        self, serial_number: int, reason: RevocationReason, *, transaction_id: bytes
    ) -> None:
        """See `CertificateAuthority.revoke`; the date and the reason that stay are the CA's."""
        self._revoke(serial_number, _REASONS[reason], transaction_id)

    def release(self, serial_number: int, *, transaction_id: bytes) -> None:
        """See `CertificateAuthority.release`."""
        self._revoke(serial_number, _RELEASED, transaction_id)

    def _template(
        self,
        asked: x509.CertificateSigningRequest,
        profile: CertificateProfile,
        old: tuple[bytes, int] | None = None,
    ) -> Template:
        return Template(
            subject=profile.subject.public_bytes(),
            public_key=key_of(asked),
            not_after=self._clock() + profile.validity,
            old=old,
        )

    def _exchange(self, transaction_id: bytes, nonce: bytes | None = None) -> Exchange:
        return Exchange(
            self._endpoint,
            self._protection,
            self._chain[0].subject.public_bytes(),
            transaction_id,
            time.monotonic() + self._timeout,
            self._clock,
            nonce,
        )

    def _certificate(
        self,
        body: PKIBody,
        asked: x509.CertificateSigningRequest,
        profile: CertificateProfile,
        old: bytes | None,
        transaction_id: bytes,
    ) -> bytes:
        known_by = check_transaction_id(transaction_id)
        digest = order_digest(asked.public_bytes(Encoding.DER), profile, old)
        order = self._journal.begin(known_by, digest)
        exchange = self._exchange(transaction_id, order.nonce)
        if order.step in (Step.SENT, Step.WAITING):
            order = self._obtain(exchange, body, asked, profile, order)
        if not order.certificate:
            raise CertificateUnknown("the certificate was erased with its customer")
        if order.step is not Step.DONE:
            self._confirm(exchange, order.certificate, order.cert_req_id or 0)
            self._journal.finish(known_by)
        return order.certificate

    def _obtain(
        self,
        exchange: Exchange,
        body: PKIBody,
        asked: x509.CertificateSigningRequest,
        profile: CertificateProfile,
        order: Transaction,
    ) -> Transaction:
        """The certificate, in the journal but not confirmed."""
        if order.step is Step.WAITING and order.cert_req_id is not None:
            message = self._poll(exchange, order.id, order.cert_req_id)
        else:
            message = self._send(exchange, body, order)
        found = read_certificate(message)
        if found.status.name == "waiting":
            self._journal.wait(order.id, exchange.nonce or b"", found.cert_req_id)
            found = read_certificate(self._poll(exchange, order.id, found.cert_req_id))
        if found.certificate is None:
            self._journal.forget(order.id)
            raise refusal(found.status)
        try:
            check_certificate(
                found.certificate, key_of(asked), profile.subject, self._trust, self._clock()
            )
        except CaAnswerInvalid:
            self._reject(exchange, found.certificate, found.cert_req_id)
            self._journal.forget(order.id)
            raise
        nonce = exchange.nonce or b""
        if not self._journal.receive(order.id, nonce, found.cert_req_id, found.certificate):
            raise CaOutcomeUnknown("another process is at the same transaction")
        return Transaction(
            id=order.id,
            step=Step.RECEIVED,
            is_repeated=order.is_repeated,
            nonce=nonce,
            cert_req_id=found.cert_req_id,
            certificate=found.certificate,
        )

    def _send(self, exchange: Exchange, body: PKIBody, order: Transaction) -> Message:
        try:
            return exchange.ask(body, *_ANSWERS)
        except CaRefused as refused:
            if order.is_repeated and "transactionIdInUse" in refused.failures:
                raise CaOutcomeUnknown(
                    "the CA has this transaction already, and does not answer again",
                    remedy="Ask anew, with a new transaction. What the CA issued in this one was"
                    " never confirmed to it; have it revoked if it counts there.",
                ) from refused
            self._journal.forget(order.id)
            raise

    def _poll(self, exchange: Exchange, known_by: str, cert_req_id: int) -> Message:
        """Ask until it is decided (5.3.22), as long as there is time."""
        while True:
            message = exchange.ask(poll_request(cert_req_id), *_ANSWERS, "poll_rep")
            if message.body != "poll_rep":
                return message
            self._journal.wait(known_by, exchange.nonce or b"", cert_req_id)
            check_after = read_poll(message)
            if not exchange.pause(max(1, check_after)):
                raise CaPending("the CA has not decided yet", check_after=check_after)

    def _confirm(self, exchange: Exchange, certificate: bytes, cert_req_id: int) -> None:
        body = certificate_confirmation(
            cert_req_id, certificate_digest(certificate), rejected=False
        )
        try:
            exchange.ask(body, "pkiconf")
        except CaRefused as refused:
            # The answer to an earlier confirmation was lost, not the confirmation.
            if "certConfirmed" in refused.failures:
                return
            number = x509.load_der_x509_certificate(certificate).serial_number
            raise CaRefused(
                f"the CA does not take the confirmation of its certificate {number:x}: {refused}",
                failures=refused.failures,
                status=refused.status,
                text=refused.text,
                remedy="Have that certificate revoked if it counts at the CA, and ask for another"
                " one with a new transaction.",
            ) from refused

    def _reject(self, exchange: Exchange, certificate: bytes, cert_req_id: int) -> None:
        body = certificate_confirmation(cert_req_id, certificate_digest(certificate), rejected=True)
        try:
            exchange.ask(body, "pkiconf")
        except (CaRefused, CaOutcomeUnknown):
            # What is wrong with the certificate matters more; without a confirmation it ends, too.
            return

    def _revoke(self, serial_number: int, reason: str, transaction_id: bytes) -> None:
        known_by = check_transaction_id(transaction_id)
        digest = hashlib.sha256(f"{serial_number:x} {reason}".encode()).digest()
        order = self._journal.begin(known_by, digest)
        if order.step is Step.DONE:
            return
        issuer = self._chain[0].subject.public_bytes()
        body = revocation_request(issuer, serial_number, reason)
        try:
            status = read_revocation(self._exchange(transaction_id).ask(body, "rp"))
        except CaRefused as refused:
            status = Status(refused.status, refused.failures, refused.text)
        if status.name == "waiting":
            raise CaPending("the CA has not decided yet", check_after=60)
        if not status.granted:
            if "badCertId" in status.failures:
                self._journal.forget(known_by)
                raise CertificateUnknown(f"the CA knows no certificate {serial_number:x}")
            # It was done before, if that is what was wanted.
            if reason == _RELEASED or "certRevoked" not in status.failures:
                self._journal.forget(known_by)
                raise refusal(status)
        self._journal.finish(known_by)
