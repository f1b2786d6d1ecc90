"""An embedded CA on a bank's database, for tests, and requests as tokens make them."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from tests.bank.banking import MovableClock
from tests.pki import NOW, PrivateKey, name, private_key
from ushield.algorithms import KeyAlgorithm
from ushield.bank.authorities import CertificateProfile, EmbeddedAuthority, new_transaction_id
from ushield.bank.authorities.certificates import PublicationPoints, authority_name
from ushield.bank.authorities.key import AuthorityKey
from ushield.bank.store.store import Store
from ushield.bank.trust import TrustStore

AUTHORITY_KEY = AuthorityKey.create(authority_name("Test Bank"), NOW)


def request(key: PrivateKey | None = None, subject: str = "whoever") -> bytes:
    """A request (DER) by a token's key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(name(subject))
    signed = builder.sign(key or private_key(KeyAlgorithm.P256), hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def profile(subject: str = "李四") -> CertificateProfile:
    return CertificateProfile(subject=name(subject))


@dataclass
class Issuing:
    """A bank's embedded CA, and its clock."""

    url: str
    store: Store
    clock: MovableClock
    authority: EmbeddedAuthority
    key: AuthorityKey

    @classmethod
    def open(
        cls,
        url: str,
        clock: MovableClock | None = None,
        key: AuthorityKey = AUTHORITY_KEY,
        points: PublicationPoints | None = None,
    ) -> Issuing:
        clock = clock or MovableClock()
        store = Store.open(url)
        authority = EmbeddedAuthority(store, key, points=points, clock=clock)
        return cls(url, store, clock, authority, key)

    @property
    def trust(self) -> TrustStore:
        return TrustStore.load(self.key.pem)

    def certificate(self, subject: str = "李四") -> x509.Certificate:
        """A new certificate for a customer."""
        issued = self.authority.issue(
            request(), profile(subject), transaction_id=new_transaction_id()
        )
        return x509.load_der_x509_certificate(issued)
