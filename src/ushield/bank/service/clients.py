"""Who may call the service: programs and clerks, by a token or a certificate, and their roles."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ushield.bank.service.errors import CallerUnknown, ServiceConfigurationInvalid

__all__ = ["Client", "Clients", "Role", "new_token", "token_digest"]

TOKEN_PREFIX = "ushield_"  # noqa: S105 - what all tokens begin with, for scanners of leaks
_NAME = re.compile(r"[0-9A-Za-z._-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TOKEN_BYTES = 32


class Role(StrEnum):
    """What a client may do; each operation names the roles that may."""

    PAYMENTS = "payments"
    REGISTRAR = "registrar"
    HOTLINE = "hotline"
    CLERK = "clerk"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A caller known by its ``name``, which the bank's log and dual control know it by.

    ``token_sha256`` is the digest of its token, ``certificate_sha256`` of its certificate (DER),
    both in hexadecimal; ``certificate_subject`` (RFC 4514) stands for any certificate of that
    subject by a CA that the service trusts for clients. One of the three at least.
    """

    name: str
    roles: frozenset[Role]
    token_sha256: str | None = None
    certificate_sha256: str | None = None
    certificate_subject: str | None = None

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise ServiceConfigurationInvalid("a client's name: 1 to 64 of A-Z a-z 0-9 . _ -")
        if not self.roles:
            raise ServiceConfigurationInvalid(f"client {self.name}: a role is due")
        for digest in (self.token_sha256, self.certificate_sha256):
            if digest is not None and _DIGEST.fullmatch(digest) is None:
                raise ServiceConfigurationInvalid(
                    f"client {self.name}: a digest is 64 hexadecimal digits, in small letters"
                )
        if not (self.certificate_subject or "").isprintable():
            raise ServiceConfigurationInvalid(f"client {self.name}: a subject is one line")
        if not any(self.proofs):
            raise ServiceConfigurationInvalid(f"client {self.name}: a token or certificate is due")

    @property
    def proofs(self) -> tuple[str | None, ...]:
        """What each of its tokens and certificates is found by."""
        return (
            self.token_sha256 and f"token:{self.token_sha256}",
            self.certificate_sha256 and f"certificate:{self.certificate_sha256}",
            self.certificate_subject and f"subject:{self.certificate_subject}",
        )


class Clients:
    """All clients, each found by its token or certificate."""

    def __init__(self, clients: Iterable[Client] = ()) -> None:
        self._by_proof: dict[str, Client] = {}
        self._by_name: dict[str, Client] = {}
        for client in clients:
            self._add(client)

    @property
    def by_name(self) -> Mapping[str, Client]:
        """The clients by their names."""
        return self._by_name

    def by_token(self, token: str) -> Client:
        """Whose token this is; `CallerUnknown`."""
        # Looked up by digest: how long that takes says nothing about the token.
        return self._find(f"token:{token_digest(token)}")

    def by_certificate(self, der: bytes) -> Client:
        """Whose certificate (DER) this is, which TLS has verified; `CallerUnknown`."""
        exact = self._by_proof.get(f"certificate:{hashlib.sha256(der).hexdigest()}")
        return exact or self._find(f"subject:{_subject(der)}")

    def _find(self, proof: str) -> Client:
        found = self._by_proof.get(proof)
        if found is None:
            raise CallerUnknown("no client has this token or certificate")
        return found

    def _add(self, client: Client) -> None:
        # Names that differ in case only would be one person to whoever reads them.
        if client.name.lower() in {name.lower() for name in self._by_name}:
            raise ServiceConfigurationInvalid(f"client {client.name}: stands there twice")
        self._by_name[client.name] = client
        for proof in client.proofs:
            if proof is None:
                continue
            other = self._by_proof.setdefault(proof, client)
            # Two names for one proof would let one person be two clerks.
            if other is not client:
                raise ServiceConfigurationInvalid(
                    f"clients {other.name} and {client.name} have one token or certificate"
                )


def new_token() -> str:
    """A new bearer token (RFC 6750): 256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)


def token_digest(token: str) -> str:
    """What is kept of a token: its SHA-256, in hexadecimal. It is too long to be guessed from."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _subject(der: bytes) -> str:
    from cryptography import x509

    try:
        return x509.load_der_x509_certificate(der).subject.rfc4514_string()
    except ValueError as error:
        raise CallerUnknown("the client's certificate cannot be read") from error
