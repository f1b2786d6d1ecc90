"""A session with a token: objects, login, and what needs the PIN."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.drivers.base import USUAL, KeyOptions, KeyUsage, TokenDriver
from ushield.errors import UShieldError
from ushield.keystore.attributes import Template
from ushield.keystore.objects import Certificate, PrivateKey, PublicKey, StoredObject
from ushield.keystore.query import Query

if TYPE_CHECKING:
    from ushield.keystore.health import Finding
    from ushield.keystore.token import Token
    from ushield.pin import KnownManagementKey, ManagementKey, Pin
    from ushield.shield.requests import Voucher

__all__ = ["Session", "SessionClosed"]


class SessionClosed(UShieldError):
    """A session, or its token, was used after it was closed."""

    code = "session-closed"
    default_remedy = "Open the token and a session again."


class Session:
    """One use of a token, opened by `Token.session`; a context manager.

    The sessions of one `Token` share its login: PIN given to one serves all, and `logout` ends it
    for all. It is lost when the last of them closes, and when the token is reset or removed;
    removal closes the sessions too. Every method raises `SessionClosed` after that, or
    `TokenRemoved`.
    """

    def __init__(self, token: Token) -> None:
        self._token = token
        self._closed = False

    @property
    def token(self) -> Token:
        """The token of this session."""
        return self._token

    @property
    def closed(self) -> bool:
        """Whether `close` was called, or the token is gone."""
        return self._closed

    @property
    def logged_in(self) -> bool:
        """Whether the user's PIN was verified for this token's sessions.

        Where the profile wants a PIN for each signature, the token may want it again nonetheless:
        ``token.pin.state.verified`` tells.
        """
        return not self._closed and self._token.logged_in

    def login(self, pin: str | Pin | None = None, *, allow_last_try: bool = False) -> None:
        """Verify the user's PIN, for all sessions of the token.

        Without a ``pin`` it is entered on the reader's keys and never in this machine:
        `CapabilityMissing` if the reader has none, `PinEntryCancelled`, `PinEntryTimedOut`.
        `PinIncorrect` (with ``tries_left``), `PinLocked`, `PinInvalid`; `LastTryRefused` where a
        wrong one would lock it, unless ``allow_last_try``.
        """
        with self._reach() as driver:
            self._token.log_in(driver, pin, allow_last_try=allow_last_try)

    def logout(self) -> None:
        """Make the token forget the PIN; ends a request that is on its screen."""
        with self._reach() as driver:
            self._token.log_out(driver)

    def find(self, template: Template | None = None) -> Query[StoredObject]:
        """The objects that have all of these attributes; every object without a template."""
        self._check_open()
        return self._token.catalogue.find(template or {})

    def certificates(
        self, *, label: str | None = None, key_id: bytes | None = None
    ) -> Query[Certificate]:
        """Certificates, of users and of authorities, by label and ``CKA_ID``."""
        self._check_open()
        return self._token.catalogue.certificates(label, key_id)

    def private_keys(
        self,
        *,
        label: str | None = None,
        key_id: bytes | None = None,
        usage: KeyUsage | None = None,
    ) -> Query[PrivateKey]:
        """Private keys by label, ``CKA_ID`` and usage."""
        self._check_open()
        return self._token.catalogue.private_keys(label, key_id, usage)

    def public_keys(
        self, *, label: str | None = None, key_id: bytes | None = None
    ) -> Query[PublicKey]:
        """Public keys by label and ``CKA_ID``."""
        self._check_open()
        return self._token.catalogue.public_keys(label, key_id)

    def key_of(self, certificate: Certificate) -> PrivateKey:
        """The private key of a certificate. `ObjectNotFound` for one of the chain."""
        return self.private_keys(key_id=certificate.key_id).one()

    def certificate_of(self, key: PrivateKey | PublicKey) -> Certificate:
        """The certificate of a key. `ObjectNotFound` where there is none yet."""
        return self.certificates(key_id=key.key_id).one()

    def prove_management_key(self, key: ManagementKey | KnownManagementKey) -> None:
        """Prove the key that a token with ``Capability.MANAGEMENT_KEY`` wants for its key pairs and
        certificates, instead of the PIN. It lasts until `logout`, for all sessions.

        `ManagementKeyIncorrect`; `LoginRequired` for one behind the PIN; `Rejected` or `TimedOut`
        where it wants a touch; `CapabilityMissing` on other tokens. A key that everybody knows is
        used only if it is asked for: `KnownManagementKey.DEFAULT`.
        """
        with self._reach() as driver:
            driver.prove_management_key(key)

    def generate_key(
        self,
        algorithm: KeyAlgorithm,
        usage: KeyUsage,
        *,
        label: str = "",
        options: KeyOptions = USUAL,
    ) -> PrivateKey:
        """Make a key pair on the token. `LoginRequired`, `TokenFull`, `SlotOccupied`."""
        with self._changing() as driver:
            info = driver.generate_key(algorithm, usage, label, options)
        return next(key for key in self.private_keys(key_id=info.key_id) if key.info == info)

    def introduce_key(self, place: str, public_key: bytes) -> PrivateKey:
        """Say which key pair is in ``place``, on a token that does not tell and has no certificate
        for it yet. ``public_key`` is SubjectPublicKeyInfo in DER.

        `InputInvalid` where the token tells another key; `CapabilityMissing` where it tells all.
        """
        with self._changing() as driver:
            info = driver.introduce_key(place, public_key)
        return next(key for key in self.private_keys(key_id=info.key_id) if key.info == info)

    def delete_key(self, key: PrivateKey | PublicKey) -> None:
        """Delete a key pair from the token, and its certificate with it: there is no way back.

        `LoginRequired`, `ObjectNotFound`; `ScreenBusy` while a request with this key can still be
        signed.
        """
        with self._changing() as driver:
            driver.delete_key(key.info.reference)

    def import_certificates(self, data: bytes, *, label: str = "") -> tuple[Certificate, ...]:
        """Store a certificate with its chain, or a chain alone, from PEM or DER in any order.

        The leaf comes first in the answer; without ``label`` it has its key's. All of it is
        stored or none. `CertificateInvalid`, `CertificateKeyMissing`, `TokenFull`,
        `LoginRequired`.
        """
        from ushield.keystore.importing import import_bundle

        with self._reach() as driver, driver.connection.hold():
            with self._changing():
                slots = import_bundle(driver, self.certificates(), data, label)
            by_slot = {one.slot: one for one in self.certificates()}
        return tuple(by_slot[slot] for slot in slots)

    def export_chain(self, certificate: Certificate) -> str:
        """A certificate and the authorities above it that are on the token, in PEM, leaf first."""
        from cryptography.hazmat.primitives.serialization import Encoding

        from ushield.keystore.importing import issuers

        leaf = certificate.parsed()
        above = issuers(leaf, [one.parsed() for one in self.certificates()])
        return "".join(one.public_bytes(Encoding.PEM).decode("ascii") for one in (leaf, *above))

    def delete_certificate(self, certificate: Certificate) -> None:
        """Delete one from the token. `LoginRequired`."""
        with self._changing() as driver:
            driver.delete_certificate(certificate.slot)

    def health(
        self, certificate: Certificate, *, at: datetime | None = None
    ) -> tuple[Finding, ...]:
        """What is wrong with a certificate at the (aware) time ``at``, now by default."""
        from ushield.keystore.health import check_health

        return check_health(
            certificate,
            [key.info for key in self.public_keys()],
            self.certificates(),
            at=at or datetime.now(UTC),
        )

    def sign_digest(self, key: PrivateKey, digest: bytes, algorithm: HashAlgorithm) -> bytes:
        """Sign a digest with an authentication key: PKCS #1 v1.5, or ECDSA in DER.

        A display key refuses: it signs what its screen showed, by `SigningSession.sign`.
        """
        with self._reach() as driver:
            return driver.sign_digest(key.info.reference, algorithm, digest)

    def sign_challenge(self, key: PrivateKey, challenge: bytes) -> bytes:
        """Sign a challenge of 16 to 255 bytes with an authentication key: proof that it is here.

        The signature is that of `sign_digest` over the challenge's hash (`KeyAlgorithm.hash`),
        which the token computes.
        """
        with self._reach() as driver:
            return driver.sign_challenge(key.info.reference, challenge)

    def set_label(self, label: str) -> None:
        """Name the token. `LoginRequired`; `InputInvalid` for what it does not take as a label."""
        with self._reach() as driver:
            driver.set_label(label)

    def vouchers(self) -> Iterator[Voucher]:
        """The token's own log of signatures, newest first. `LoginRequired`."""
        with self._reach() as driver:
            yield from driver.vouchers()

    def close(self) -> None:
        """End this session; with the last one ends the login. Harmless to repeat."""
        if not self._closed:
            self._closed = True
            self._token.forget(self)

    def lose(self) -> None:
        """Mark the session closed because its token is gone; nothing is sent."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            self._token.check_open()
            raise SessionClosed("this session is closed")

    def _reach(self) -> AbstractContextManager[TokenDriver]:
        self._check_open()
        return self._token.reach()

    def _changing(self) -> AbstractContextManager[TokenDriver]:
        self._check_open()
        return self._token.catalogue.changing()
