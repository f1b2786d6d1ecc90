"""A bank's desk for tokens: a CA in its database, and tokens in customers' hands."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Engine, select

from tests.bank.banking import Bench
from tests.pki import (
    Signer,
    authority,
    authority_key,
    certificate,
    der,
    name,
    receipt_for,
)
from ushield.algorithms import KeyAlgorithm
from ushield.bank import AttestationPolicy, EnrolledAttestation
from ushield.bank.authorities.embedded import EmbeddedAuthority
from ushield.bank.authorities.key import AuthorityKey
from ushield.bank.lifecycle.enrolments import Enrolments
from ushield.bank.lifecycle.policy import EnrolmentPolicy
from ushield.bank.lifecycle.records import Enrolment
from ushield.bank.store.tables import audit_entry
from ushield.cms import oids
from ushield.cms.attestation import Attestation
from ushield.shield.requests import UnblockChallenge

MAKER = "Token Maker"
MODEL = "S2"
EXTENSION = x509.ObjectIdentifier(oids.ATTESTATION)


@dataclass
class HeldToken:
    """A token with one key, in the hands of whoever tests."""

    serial: str
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    counter: Any = field(default_factory=lambda: count(1))

    def request(self, subject: str = "mallory") -> bytes:
        """A certification request, anew each time it is asked."""
        builder = x509.CertificateSigningRequestBuilder(name(subject))
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)

    def attestation(self, **changes: Any) -> EnrolledAttestation:
        """The token's word on its key, but for ``changes``."""
        true = Attestation(
            serial=self.serial, model=MODEL, firmware="1", usage=1, generated=True, virtual=False
        )
        value = dataclasses.replace(true, **changes).encode()
        attested = certificate(
            "Key 1",
            self.device,
            self.key.public_key(),
            authority_key(self.device),
            constraints=x509.BasicConstraints(ca=False, path_length=None),
            extensions=[(x509.UnrecognizedExtension(EXTENSION, value), False)],
        )
        return EnrolledAttestation(der(attested), der(authority(self.device, MAKER)))

    def challenge(self, unblocks: int = 0, **changes: Any) -> bytes:
        """What the token asks its bank to sign when its PIN is forgotten, but for ``changes``."""
        told = UnblockChallenge(self.serial, os.urandom(16), unblocks)
        device = authority_key(self.device)
        assert isinstance(device, ec.EllipticCurvePrivateKey)
        proof = device.sign(told.claim, ec.ECDSA(hashes.SHA256()))
        return dataclasses.replace(told, **{"proof": proof, **changes}).encode()

    @property
    def device(self) -> str:
        return f"Device {self.serial}"

    def renewed(self) -> HeldToken:
        """The same token with another key."""
        return HeldToken(self.serial, counter=self.counter)

    def sign(self, message: bytes, certified: bytes | None) -> bytes:
        """A signature over ``message`` by the key, with its certificate (DER)."""
        assert certified is not None
        loaded = x509.load_der_x509_certificate(certified)
        receipt = dataclasses.replace(
            receipt_for(message), serial=self.serial, counter=next(self.counter)
        )
        return Signer(KeyAlgorithm.P256, self.key, loaded).sign(message, receipt)


@dataclass
class Desk:
    """What enrols tokens at a `Bench`'s bank, whose trusted CA is in the bank's own database."""

    bench: Bench
    authority: EmbeddedAuthority
    policy: EnrolmentPolicy
    enrolments: Enrolments

    @classmethod
    def at(
        cls,
        bench: Bench,
        wrap: Callable[[EmbeddedAuthority], Any] = lambda embedded: embedded,
        **changes: Any,
    ) -> Self:
        bank = bench.bank
        ca = authority()
        key = AuthorityKey(authority_key("Test Bank CA"), (ca,))
        embedded = EmbeddedAuthority(bank.store, key, clock=bench.clock)
        attestations = AttestationPolicy(bank.attestations, (authority(MAKER),), frozenset({MODEL}))
        policy = EnrolmentPolicy(attestations=attestations, **changes)
        return cls(bench, embedded, policy, bank.enrolments(policy, wrap(embedded)))

    def enrol(self, customer: str = "alice", token: HeldToken | None = None) -> Enrolment:
        """Register a customer and enrol a token, all going well."""
        token = token or HeldToken(f"US-{customer}")
        self.bench.bank.add_customer(customer)
        code = self.enrolments.register(customer).code
        return self.enrolments.enrol(code, token.request(), token.attestation())


def events(engine: Engine) -> list[tuple[str, str | None]]:
    """What the log says was decided, with its reasons, in order."""
    with engine.connect() as connection:
        query = select(audit_entry.c.event, audit_entry.c.reason).order_by(audit_entry.c.id)
        return [(row.event, row.reason) for row in connection.execute(query)]
