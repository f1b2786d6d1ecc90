"""Enrolling customers' tokens: from a registration code to a certificate in use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection, select

from ushield.bank.attestation import EnrolledAttestation
from ushield.bank.authorities.errors import (
    CaAnswerInvalid,
    CaOutcomeUnknown,
    CaRefused,
    CaUnavailable,
)
from ushield.bank.judgement import AcceptedTransaction
from ushield.bank.lifecycle import issuing, registering, renewing
from ushield.bank.lifecycle.codes import RegistrationCode
from ushield.bank.lifecycle.key_request import examine
from ushield.bank.lifecycle.policy import EnrolmentPolicy
from ushield.bank.lifecycle.records import Enrolment, EnrolmentState, find_enrolment
from ushield.bank.lifecycle.refusals import EnrolmentRefused
from ushield.bank.lifecycle.renewing import Renewal
from ushield.bank.moments import Clock, microseconds, system_clock
from ushield.bank.policy.keys import key_digest
from ushield.bank.store.store import Store
from ushield.bank.store.tables import enrolment
from ushield.errors import AuthorityError, InputInvalid, UShieldError

if TYPE_CHECKING:
    from ushield.bank.authorities.protocol import CertificateAuthority

__all__ = ["Enrolments", "Registration"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Registration:
    """An enrolment that waits for its customer. ``code`` is told once; the bank keeps a hash."""

    id: str
    customer_id: str
    expires_at: datetime
    code: RegistrationCode = field(repr=False)


class Enrolments:
    """Enrols tokens as ``policy`` wants it, with certificates by ``authority``.

    Threads and processes may share the work. A process that is killed, or a CA that is away,
    leaves an enrolment where it stood: `enrol` with the same key, or `resume`, goes on from there.
    """

    def __init__(
        self,
        store: Store,
        policy: EnrolmentPolicy,
        authority: CertificateAuthority,
        *,
        clock: Clock = system_clock,
    ) -> None:
        self._store = store
        self._policy = policy
        self._authority = authority
        self._clock = clock

    def register(
        self, customer: str, *, token: str | None = None, replaces: str | None = None
    ) -> Registration:
        """Let a customer enrol a token by a code, which is to reach nobody else.

        ``token`` is the serial number of the one that was handed out, if that is known;
        ``replaces`` that of the one it takes the place of. `CustomerUnknown`, `TokenUnknown`,
        `InputInvalid`, `StoreError`.
        """
        code = RegistrationCode.generate()
        salt = RegistrationCode.new_salt()
        digest = code.digest(salt)
        found = self._write(
            lambda connection, at: registering.register(
                connection,
                customer,
                code,
                self._policy,
                at,
                salt=salt,
                digest=digest,
                serial=token,
                replaces=replaces,
            )
        )
        return Registration(found.id, customer, found.expires_at, code)

    def withdraw(self, identifier: str) -> Enrolment:
        """Take a registration back; `EnrolmentUnknown`, `EnrolmentSettled` if it was used."""
        return self._write(lambda connection, at: registering.withdraw(connection, identifier, at))

    def enrol(
        self, code: RegistrationCode | str, request: bytes, attestation: EnrolledAttestation
    ) -> Enrolment:
        """Have the key of ``request`` (PKCS #10, DER) certified for whoever was told ``code``.

        Repeated for the same key, it goes on, and gives the same certificate.

        `CertificateRequestInvalid` and `EnrolmentRefused` leave the code as it was;
        `RegistrationCodeRefused` for a wrong one costs a try. `CaRefused`, and
        `InputInvalid` by the CA, end the enrolment; any other `AuthorityError`, and `StoreError`,
        leave it to be repeated.
        """
        if isinstance(code, str):
            code = RegistrationCode.parse(code)
        shown = code
        asked = examine(request, attestation, self._policy)
        # It takes long, so no transaction waits for it.
        salt = self._store.read(
            lambda connection: registering.registered_salt(connection, shown.locator)
        )
        digest = shown.digest(salt)
        found = self._settle(
            lambda connection, at: registering.record_request(
                connection, shown, asked, self._policy, at, digest=digest
            )
        )
        return self._issue(found)

    def resume(self, identifier: str, *, anew: bool = False) -> Enrolment:
        """Ask the CA again for what an enrolment waits for; as it stands if it waits for nothing.

        ``anew`` orders by a new transaction: for a CA that lost its own answer, and whose
        certificate of it nobody confirmed. `EnrolmentUnknown`, `EnrolmentSettled`,
        `AuthorityError`, `StoreError`.
        """
        if anew:
            self._write(lambda connection, at: issuing.renew_order(connection, identifier, at))
        return self._issue(self.find(identifier))

    def resume_all(self) -> list[Enrolment]:
        """`resume` each that waits: one that the CA cannot do keeps no other from being asked for.

        What went wrong first is raised once all were tried; a CA that is away ends it at once.
        """
        found: list[Enrolment] = []
        problem: AuthorityError | InputInvalid | None = None
        for identifier in self.waiting():
            try:
                found.append(self.resume(identifier))
            except (AuthorityError, InputInvalid) as error:
                problem = problem or error
                if isinstance(error, CaUnavailable) and not isinstance(error, CaOutcomeUnknown):
                    break
        if problem is not None:
            raise problem
        return found

    def begin_renewal(
        self,
        certificate_sha256: bytes,
        request: bytes,
        attestation: EnrolledAttestation,
        *,
        lifetime: timedelta = timedelta(minutes=30),
    ) -> Renewal:
        """Have a certificate followed by a new one, for the key of ``request`` on the same token.

        The customer has to sign the challenge that comes back, with the key of the old certificate:
        `Bank.accept` takes it as any other, then `finish_renewal` goes on. `CertificateUnknown`,
        `CertificateRequestInvalid`, `EnrolmentRefused`, `StoreError`.
        """
        asked = examine(request, attestation, self._policy)
        outcome = self._store.write(
            lambda connection: renewing.begin_renewal(
                connection,
                certificate_sha256,
                asked,
                self._policy,
                now=self._clock(),
                lifetime=lifetime,
            )
        )
        if isinstance(outcome, EnrolmentRefused):
            raise outcome
        return outcome

    def finish_renewal(self, identifier: str) -> Enrolment:
        """Have the new certificate issued, once the challenge was accepted; repeated, the same.

        Both certificates are good until `confirm`. `EnrolmentRefused` if the old key has not
        signed; `EnrolmentUnknown`, `EnrolmentSettled`, `AuthorityError`, `StoreError`.
        """
        return self._issue(
            self._settle(
                lambda connection, at: renewing.authorise_renewal(connection, identifier, at)
            )
        )

    def waiting(self) -> list[str]:
        """The ids of enrolments that wait for the CA: somebody should `resume` them."""
        return self._store.read(
            lambda connection: list(
                connection.execute(
                    select(enrolment.c.id)
                    .where(enrolment.c.state == EnrolmentState.REQUESTED.value)
                    .order_by(enrolment.c.changed_at, enrolment.c.id)
                ).scalars()
            )
        )

    def confirm(self, identifier: str, proof: AcceptedTransaction | bytes) -> Enrolment:
        """Note that the certificate is on the token, and in use.

        The proof is the first transaction that was accepted by it, or the SHA-256 of the
        certificate as the customer's side read it back from the token. What the enrolment renews or
        replaces is revoked from now on. `EnrolmentUnknown`, `EnrolmentSettled`; `InputInvalid` if
        it is another certificate.
        """
        if isinstance(proof, AcceptedTransaction):
            proof = sha256(proof.verified.certificate).digest()
        digest = proof
        return self._write(
            lambda connection, at: issuing.confirm(connection, identifier, digest, at)
        )

    def find(self, identifier: str) -> Enrolment:
        """How an enrolment stands; `EnrolmentUnknown`."""
        return self._store.read(
            lambda connection: find_enrolment(connection, identifier, self._now())
        )

    def _issue(self, found: Enrolment) -> Enrolment:
        order = self._store.read(lambda connection: issuing.read_order(connection, found.id))
        if order is None:
            return self.find(found.id)
        try:
            der = order.place(self._authority)
        except (CaRefused, InputInvalid) as refused:
            reason = refused.code
            self._write(
                lambda connection, at: issuing.record_refused(connection, found.id, reason, at)
            )
            raise
        if key_digest(der) != order.key_digest:
            raise CaAnswerInvalid("the CA certified another key", fault="key")
        chain = _pem(self._authority.chain)
        return self._settle(
            lambda connection, at: issuing.record_issued(connection, found.id, der, chain, at)
        )

    def _settle(self, work: Callable[[Connection, int], Enrolment | UShieldError]) -> Enrolment:
        outcome = self._write(work)
        if isinstance(outcome, UShieldError):
            raise outcome
        return outcome

    def _write(self, work: Callable[[Connection, int], T]) -> T:
        # The clock is read when the transaction has begun: waiting for it may have taken a while.
        return self._store.write(lambda connection: work(connection, self._now()))

    def _now(self) -> int:
        return microseconds(self._clock())


def _pem(chain: tuple[bytes, ...]) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    loaded = (x509.load_der_x509_certificate(each) for each in chain)
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in loaded)
