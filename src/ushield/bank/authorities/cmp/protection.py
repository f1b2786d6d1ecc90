"""Protecting messages (RFC 9810, 5.1.3): by a secret that is shared with the CA, or by a key."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import TypeAlias

from asn1crypto.core import Null
from asn1crypto.x509 import Name
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from ushield.bank.authorities.certificates import AuthorityPrivateKey
from ushield.bank.authorities.cmp.message import UNREADABLE, Message
from ushield.bank.authorities.cmp.structures import PBMParameter, ProtectionAlgorithm
from ushield.bank.authorities.errors import CaAnswerInvalid
from ushield.errors import InputInvalid

__all__ = ["MacProtection", "Protection", "SignatureProtection"]

_PBM = "1.2.840.113533.7.66.13"
_SHA256, _HMAC_SHA256 = "2.16.840.1.101.3.4.2.1", "1.2.840.113549.2.9"
_HASHES = {
    "1.3.14.3.2.26": "sha1",
    _SHA256: "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
# What is left of SHA-1 here, OpenSSL's own default among it, is its one-wayness and its HMAC.
_MACS = {
    "1.3.6.1.5.5.8.1.2": "sha1",
    "1.2.840.113549.2.7": "sha1",
    _HMAC_SHA256: "sha256",
    "1.2.840.113549.2.10": "sha384",
    "1.2.840.113549.2.11": "sha512",
}
_ITERATIONS = 10_000
# Whoever answers chooses the work that it takes to find the answer wrong.
_FEWEST, _MOST = 100, 100_000
_SALT = 16
_SHORTEST_SECRET = 16
_RSA_SHA256, _ECDSA_SHA256 = "1.2.840.113549.1.1.11", "1.2.840.10045.4.3.2"
_RSA: dict[str, hashes.HashAlgorithm] = {
    _RSA_SHA256: hashes.SHA256(),
    "1.2.840.113549.1.1.12": hashes.SHA384(),
    "1.2.840.113549.1.1.13": hashes.SHA512(),
}
_ECDSA: dict[str, hashes.HashAlgorithm] = {
    _ECDSA_SHA256: hashes.SHA256(),
    "1.2.840.10045.4.3.3": hashes.SHA384(),
    "1.2.840.10045.4.3.4": hashes.SHA512(),
}


@dataclass(frozen=True, slots=True)
class MacProtection:
    """By a secret (5.1.3.1, id-PasswordBasedMac), known to the CA by ``reference``.

    The secret must not be guessable, as whoever sees one message may try guesses at leisure:
    `InputInvalid` for less than 16 bytes.
    """

    secret: bytes = field(repr=False)
    reference: str

    def __post_init__(self) -> None:
        if len(self.secret) < _SHORTEST_SECRET:
            raise InputInvalid(
                f"the secret of the CA has {_SHORTEST_SECRET} bytes or more",
                remedy="Agree on a random one with the CA: openssl rand -hex 32",
            )

    @property
    def sender(self) -> bytes:
        """The reference as a name."""
        name: bytes = Name.build({"common_name": self.reference}).dump()
        return name

    @property
    def sender_kid(self) -> bytes | None:
        """The reference."""
        return self.reference.encode()

    @property
    def algorithm(self) -> ProtectionAlgorithm:
        """With a salt of its own each time."""
        parameters = PBMParameter(
            {
                "salt": secrets.token_bytes(_SALT),
                "owf": {"algorithm": _SHA256, "parameters": Null()},
                "iteration_count": _ITERATIONS,
                "mac": {"algorithm": _HMAC_SHA256, "parameters": Null()},
            }
        )
        return ProtectionAlgorithm({"algorithm": _PBM, "parameters": parameters})

    @property
    def extra_certs(self) -> tuple[bytes, ...]:
        """None."""
        return ()

    def protect(self, part: bytes, algorithm: ProtectionAlgorithm) -> bytes:
        """See `Protector.protect`."""
        parameters = algorithm["parameters"].parse(PBMParameter)
        owf = _HASHES[parameters["owf"]["algorithm"].dotted]
        mac = _MACS[parameters["mac"]["algorithm"].dotted]
        iterations = parameters["iteration_count"].native
        if not _FEWEST <= iterations <= _MOST:
            raise ValueError("a number of iterations that is not allowed")
        key = self.secret + parameters["salt"].native
        for _ in range(iterations):
            key = hashlib.new(owf, key).digest()
        return hmac.digest(key, part, mac)

    def verify(self, message: Message) -> None:
        """`CaAnswerInvalid` unless whoever knows the secret protected the message."""
        algorithm = _protected(message, _PBM)
        try:
            expected = self.protect(message.part, algorithm)
        except UNREADABLE as error:
            raise _invalid("by a MAC that is not known") from error
        if not hmac.compare_digest(expected, message.protection or b""):
            raise _invalid("by another secret, or it was changed on its way")


@dataclass(frozen=True, slots=True)
class SignatureProtection:
    """By the key of a registration authority (5.1.3.3), whose certificates are sent along.

    Answers are signed by one of ``responders``, and nobody else: not by whoever has some
    certificate of the same CA, as each customer has.
    """

    private_key: AuthorityPrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...]
    responders: tuple[x509.Certificate, ...]

    def __post_init__(self) -> None:
        if not self.chain or self.chain[0].public_key() != self.private_key.public_key():
            raise InputInvalid("the RA's certificate is of another key")

    @property
    def sender(self) -> bytes:
        """The subject of the RA's certificate."""
        return self.chain[0].subject.public_bytes()

    @property
    def sender_kid(self) -> bytes | None:
        """Its key's identifier."""
        try:
            found = self.chain[0].extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        except (ValueError, x509.ExtensionNotFound):
            return None
        return found.value.digest

    @property
    def algorithm(self) -> ProtectionAlgorithm:
        """By SHA-256."""
        if isinstance(self.private_key, rsa.RSAPrivateKey):
            return ProtectionAlgorithm({"algorithm": _RSA_SHA256, "parameters": Null()})
        return ProtectionAlgorithm({"algorithm": _ECDSA_SHA256})

    @property
    def extra_certs(self) -> tuple[bytes, ...]:
        """The RA's certificate, and those above it."""
        return tuple(each.public_bytes(Encoding.DER) for each in self.chain)

    def protect(self, part: bytes, algorithm: ProtectionAlgorithm) -> bytes:
        """See `Protector.protect`."""
        if isinstance(self.private_key, rsa.RSAPrivateKey):
            return self.private_key.sign(part, padding.PKCS1v15(), hashes.SHA256())
        return self.private_key.sign(part, ec.ECDSA(hashes.SHA256()))

    def verify(self, message: Message) -> None:
        """`CaAnswerInvalid` unless one of the responders signed the message."""
        algorithm = _protected(message, *_RSA, *_ECDSA)["algorithm"].dotted
        if not any(_signed_by(message, each, algorithm) for each in self.responders):
            raise _invalid("by nobody who may answer for the CA, or it was changed on its way")


Protection: TypeAlias = MacProtection | SignatureProtection


def _protected(message: Message, *algorithms: str) -> ProtectionAlgorithm:
    if message.algorithm is None or message.protection is None:
        raise _invalid("by nothing")
    found: str = message.algorithm["algorithm"].dotted
    if found not in algorithms:
        raise _invalid(f"by another algorithm than it should be, {found}")
    return message.algorithm


def _signed_by(message: Message, certificate: x509.Certificate, algorithm: str) -> bool:
    key, signature = certificate.public_key(), message.protection or b""
    try:
        if isinstance(key, rsa.RSAPublicKey) and algorithm in _RSA:
            key.verify(signature, message.part, padding.PKCS1v15(), _RSA[algorithm])
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm in _ECDSA:
            key.verify(signature, message.part, ec.ECDSA(_ECDSA[algorithm]))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _invalid(how: str) -> CaAnswerInvalid:
    return CaAnswerInvalid(f"the answer is protected {how}", fault="protection")
