"""An open token: what it is, its PIN, its sessions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self, TypeVar

from ushield.drivers.base import Demand, TokenDriver, TokenInfo
from ushield.drivers.pad import PadDriver
from ushield.errors import PinIncorrect, PinLocked, TokenRemoved, TransportError
from ushield.keystore.catalogue import Catalogue
from ushield.keystore.flags import SlotFlag, TokenFlag, token_flags
from ushield.keystore.objects import PrivateKey, PublicKey
from ushield.keystore.pins import TokenPin, verify_guarded
from ushield.keystore.session import Session, SessionClosed
from ushield.keystore.slots import Slot
from ushield.pin import Pin
from ushield.shield.application import Counters
from ushield.transport.pin_pad import PinSupport

__all__ = ["Token"]

S = TypeVar("S", bound=Session)


class Token:
    """A token behind a driver; a context manager that closes it.

    Safe from several threads. Once the token was found to be removed, everything raises
    `TokenRemoved`: open it again after it was plugged in.
    """

    def __init__(self, driver: TokenDriver) -> None:
        self._driver = driver
        self._lock = threading.Lock()
        self._sessions: list[Session] = []
        self._logged_in = False
        self._removed = False
        self._closed = False
        self._pin = TokenPin(self.reach)
        self._catalogue = Catalogue(self.reach)

    @property
    def info(self) -> TokenInfo:
        """What the token told when it was opened, or last renamed or reset."""
        return self._driver.info

    @property
    def slot(self) -> Slot:
        """Where it is."""
        flags = SlotFlag.REMOVABLE_DEVICE
        if not self.info.virtual:
            flags |= SlotFlag.HW_SLOT
        if not self._removed:
            flags |= SlotFlag.TOKEN_PRESENT
        return Slot(self._driver.connection.device, flags)

    @property
    def flags(self) -> TokenFlag:
        """The token's PKCS #11 flags; the PIN counters in them are those of this moment."""
        with self.reach() as driver:
            flags = token_flags(driver.pin_states())
        if self.pin_pad & PinSupport.VERIFICATION:
            flags |= TokenFlag.PROTECTED_AUTHENTICATION_PATH
        return flags

    @property
    def pin_pad(self) -> PinSupport:
        """What of PINs can be entered on the keys of the reader that the token is in."""
        with self.reach() as driver:
            return driver.pad_support if isinstance(driver, PadDriver) else PinSupport(0)

    @property
    def counters(self) -> Counters:
        """Signatures, unblocks by the bank and power-ups that the token counted up to now."""
        with self.reach() as driver:
            return driver.counters()

    @property
    def pin(self) -> TokenPin:
        """The user's PIN and the PUK: counters, change, unblock."""
        return self._pin

    @property
    def management_touch(self) -> Demand:
        """Whether proving the management key wants a touch."""
        with self.reach() as driver:
            return driver.management_touch

    @property
    def catalogue(self) -> Catalogue:
        """The objects on the token; sessions search here."""
        return self._catalogue

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The sessions that are open."""
        return tuple(self._sessions)

    @property
    def logged_in(self) -> bool:
        """Whether a session of this token has logged in."""
        return self._logged_in

    @property
    def removed(self) -> bool:
        """Whether the token was found to be gone."""
        return self._removed

    def session(self, pin: str | Pin | None = None, *, allow_last_try: bool = False) -> Session:
        """Open a session; with a ``pin``, log in as `Session.login` does."""
        return self._enrol(Session(self), pin, allow_last_try=allow_last_try)

    def attest(self, key: PrivateKey | PublicKey) -> bytes:
        """A certificate (DER) by the device key: this key was made on this token."""
        with self.reach() as driver:
            return driver.attest(key.info.reference)

    def device_certificate(self) -> bytes:
        """The certificate (DER) of the device key."""
        with self.reach() as driver:
            return driver.device_certificate()

    def reset(self) -> None:
        """Power the token off and on. Sessions stay open; login and any request are lost."""
        with self.reach() as driver:
            self._logged_in = False
            driver.reset()

    def close(self) -> None:
        """Close all sessions, then the token. Harmless to repeat.

        A token that cannot be logged out is closed all the same, which takes its power.
        """
        if self._closed:
            return
        try:
            for session in self.sessions:
                with suppress(TransportError):
                    session.close()
        finally:
            self._closed = True
            self._driver.close()

    def check_open(self) -> None:
        """Raise `TokenRemoved` or `SessionClosed` unless the token can be used."""
        if self._removed:
            raise TokenRemoved(f"token {self.info.serial} was removed")
        if self._closed:
            raise SessionClosed(f"token {self.info.serial} was closed")

    @contextmanager
    def reach(self) -> Iterator[TokenDriver]:
        """The driver for some commands; notices if they find the token gone."""
        self.check_open()
        try:
            yield self._driver
        except TokenRemoved:
            self._lose()
            raise

    def log_in(self, driver: TokenDriver, pin: str | Pin | None, *, allow_last_try: bool) -> None:
        """Verify the PIN for all sessions, ``None`` entered on the reader; they call this."""
        try:
            verify_guarded(driver, pin, allow_last_try=allow_last_try)
        except (PinIncorrect, PinLocked):
            # A wrong PIN ends what an earlier, right one allowed (ISO/IEC 7816-4, 11.5.6).
            self._logged_in = False
            raise
        self._logged_in = True

    def log_out(self, driver: TokenDriver) -> None:
        """End the login of all sessions; they call this."""
        self._logged_in = False
        driver.logout()

    def forget(self, session: Session) -> None:
        """A session closes; it calls this. The last one ends the login."""
        with self._lock:
            if session in self._sessions:
                self._sessions.remove(session)
            last = not self._sessions and self._logged_in
        if last:
            with suppress(TokenRemoved), self.reach() as driver:
                self.log_out(driver)

    def _enrol(self, session: S, pin: str | Pin | None, *, allow_last_try: bool) -> S:
        self.check_open()
        with self._lock:
            self._sessions.append(session)
        if pin is None:
            return session
        try:
            session.login(pin, allow_last_try=allow_last_try)
        except BaseException:
            session.close()
            raise
        return session

    def _lose(self) -> None:
        with self._lock:
            self._removed = True
            self._logged_in = False
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.lose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
