"""Tokens and sessions that sign what their screen shows."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ushield.drivers.base import Capability, KeyUsage, TokenDriver
from ushield.errors import (
    BlindSigningRefused,
    ObjectNotFound,
    SeveralObjects,
    TransportError,
    UShieldError,
)
from ushield.keystore.objects import Certificate, PrivateKey
from ushield.keystore.request import CertificateRequest, assemble_request, encode_subject
from ushield.keystore.session import Session
from ushield.keystore.token import Token
from ushield.shield.requests import Begun, Signed
from ushield.signing.pending import Pending
from ushield.signing.signature import SigningRequest, TransactionSignature
from ushield.transaction import Transaction, compose_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography import x509

    from ushield.pin import Pin
    from ushield.signing.blind import BlindSignature
    from ushield.signing.progress import Progress

__all__ = ["PendingRequest", "PendingSignature", "SigningSession", "SigningToken"]

T = TypeVar("T")

PendingSignature: TypeAlias = Pending[TransactionSignature]
PendingRequest: TypeAlias = Pending[CertificateRequest]


class SigningSession(Session):
    """A `Session` that puts transactions and certificate requests on the token's screen."""

    def __init__(self, token: Token) -> None:
        super().__init__(token)
        self._pending: Pending[Any] | None = None

    def sign(
        self,
        transaction: Transaction,
        *,
        pin: str | Pin | None = None,
        key: PrivateKey | None = None,
        allow_last_try: bool = False,
    ) -> PendingSignature:
        """Put a transaction on the screen. What comes back is to be waited for.

        Without ``key`` the token's only display key with a certificate signs. Where the profile
        wants a PIN for each signature, that of the login serves the first; the next ones want
        ``pin``, or raise `LoginRequired`. It is verified right before.

        `DisplayRefused` if the screen cannot show all of it; `BlindSigningRefused` if there is no
        screen; `KeyHeld`; `ScreenBusy`;
        `PinChangeRequired`; `ObjectNotFound` or `SeveralObjects` for the key; what
        `Session.login` raises for the ``pin``.
        """
        message = compose_message(transaction)
        data = message.encoded
        self.want_screen()
        key, certificates = self.signing_key(key)
        request = SigningRequest(message, key, certificates, self.token.info)
        reference = key.info.reference
        return self._put_on_screen(
            lambda driver: driver.begin(reference, data),
            request.complete,
            pin,
            allow_last_try=allow_last_try,
        )

    def request_certificate(
        self,
        key: PrivateKey,
        subject: str | x509.Name,
        *,
        pin: str | Pin | None = None,
        allow_last_try: bool = False,
    ) -> PendingRequest:
        """Put a PKCS #10 request for ``key`` on the screen: the subject, and the key's fingerprint.

        ``subject`` is RFC 4514 text (``CN=张三,O=Example Ltd,C=CN``) or a name. `SubjectInvalid`
        for another; otherwise as `sign`.
        """
        name = encode_subject(subject)
        reference = key.info.reference
        return self._put_on_screen(
            lambda driver: driver.begin_certification_request(reference, name),
            lambda _, signed: assemble_request(key, name, signed),
            pin,
            allow_last_try=allow_last_try,
        )

    def sign_without_display(
        self,
        transaction: Transaction,
        *,
        pin: str | Pin | None = None,
        key: PrivateKey | None = None,
        allow_last_try: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> BlindSignature:
        """Have a transaction signed by a token that **cannot show it**.

        The person at the token sees nothing of what is signed: whatever runs on this machine
        chooses it. The signature says so, and a bank refuses it unless it accepts such ones.

        The one key with a certificate signs, or ``key``; a key that wants the PIN each time wants
        ``pin``. This waits for a touch where the key wants one; ``progress`` is called with
        `TouchDue` right before. `Rejected` or `TimedOut` for a touch that did not come;
        `KeyUsageRefused` on a token with a screen: use `sign` there. Otherwise as `sign`.
        """
        from ushield.signing.blind import sign_blindly

        return sign_blindly(
            self, transaction, key, pin, allow_last_try=allow_last_try, progress=progress
        )

    def request_certificate_without_display(
        self,
        key: PrivateKey,
        subject: str | x509.Name,
        *,
        pin: str | Pin | None = None,
        allow_last_try: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> CertificateRequest:
        """A PKCS #10 request signed by a key of a token that cannot show it.

        Arguments and errors as in `sign_without_display`; `SubjectInvalid`.
        """
        from ushield.signing.blind import request_blindly

        return request_blindly(
            self, key, subject, pin, allow_last_try=allow_last_try, progress=progress
        )

    def close(self) -> None:
        """Take what this session has on the screen off it, then end the session."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None
        super().close()

    def want_screen(self) -> None:
        """`BlindSigningRefused` unless the token can show what it signs."""
        if Capability.DISPLAY_SIGNING not in self.token.info.capabilities:
            raise BlindSigningRefused(
                "this token has no screen to show the transaction on",
                capability=Capability.DISPLAY_SIGNING.value,
            )

    def signing_key(
        self, key: PrivateKey | None, usage: KeyUsage = KeyUsage.DISPLAY
    ) -> tuple[PrivateKey, list[Certificate]]:
        """The key to sign transactions with, and its certificates.

        `ObjectNotFound` or `SeveralObjects` if it is not ``key`` and there is not just one.
        """
        certificates = self.certificates()
        if key is None:
            keys = self.private_keys(usage=usage)
            certified = {one.key_id for one in certificates}
            usable = [one for one in keys if one.key_id in certified]
            if len(usable) > 1:
                raise SeveralObjects(f"{len(usable)} keys can sign transactions, name one")
            # With none, the query says it of the keys, or the list below of their certificates.
            key = usable[0] if usable else keys.one()
        found = [one for one in certificates if one.key_id == key.key_id]
        if not found:
            raise ObjectNotFound(
                f"key {key.label!r} has no certificate",
                remedy="Import its certificate first: `ushield cert import`.",
            )
        return key, found

    def _put_on_screen(
        self,
        begin: Callable[[TokenDriver], Begun],
        complete: Callable[[bytes, Signed], T],
        pin: str | Pin | None,
        *,
        allow_last_try: bool,
    ) -> Pending[T]:
        # Held, so that no other thread's request uses up the verification.
        with self._reach() as driver, driver.connection.hold():
            if pin is not None:
                self.token.log_in(driver, pin, allow_last_try=allow_last_try)
            try:
                begun = begin(driver)
                pending = Pending(
                    self.token.reach,
                    begun,
                    partial(complete, begun.request_id),
                    has_panel=Capability.PANEL_EVENTS in self.token.info.capabilities,
                )
                self._pending = pending
            except BaseException as error:
                if isinstance(error, TransportError) or not isinstance(error, UShieldError):
                    # No refusal, so it may be on the screen, under an id that never arrived:
                    # logging out ends it.
                    with suppress(UShieldError):
                        self.token.log_out(driver)
                raise
            return pending


class SigningToken(Token):
    """A `Token` whose sessions are `SigningSession`."""

    def session(
        self, pin: str | Pin | None = None, *, allow_last_try: bool = False
    ) -> SigningSession:
        """Open a session; with a ``pin``, log in as `Session.login` does."""
        return self._enrol(SigningSession(self), pin, allow_last_try=allow_last_try)
