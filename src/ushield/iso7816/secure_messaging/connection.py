"""A card behind a secure channel: plain commands in, and nothing plain on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import monotonic

from cryptography.hazmat.primitives.asymmetric import ec

from ushield.ccid.messages import MAX_EXTENDED_COMMAND, MAX_EXTENDED_RESPONSE
from ushield.errors import ApduInvalid, ChannelBroken
from ushield.iso7816.apdu import CHAINING, MAX_SHORT_NE, SELECT, CommandApdu
from ushield.iso7816.channel import ApduChannel
from ushield.iso7816.layer import ConnectionLayer
from ushield.iso7816.secure_messaging.commands import (
    CLA_GLOBAL_PLATFORM,
    INTERNAL_AUTHENTICATE,
    KEY_IDENTIFIER,
    KEY_VERSION,
)
from ushield.iso7816.secure_messaging.scp03 import HostMessages
from ushield.iso7816.secure_messaging.scp11 import HostAgreement
from ushield.iso7816.status import describe
from ushield.transport.connection import ApduLimits, CardConnection
from ushield.transport.pin_pad import PinBlock, PinPad, PinSupport, pin_pad_of

__all__ = ["SecureConnection"]

_ANY_LENGTH = ApduLimits(MAX_EXTENDED_COMMAND, MAX_EXTENDED_RESPONSE, extended=True)


class SecureConnection(ConnectionLayer):
    """A `CardConnection` that opens a channel to the card with the key ``card_key`` when it is
    first used, and again after it broke or the card was reset.

    ``application`` is selected again before a channel is opened again. Each command that a channel
    breaks at raises what broke it: `ChannelBroken`, or a `TransportError` from below. It may or
    may not have reached the card, and is not sent again. What a PIN allowed ends with a channel.
    """

    def __init__(
        self,
        connection: CardConnection,
        card_key: ec.EllipticCurvePublicKey,
        application: bytes,
    ) -> None:
        super().__init__(connection)
        self._channel = ApduChannel(connection)
        self._card_key = card_key
        self._application = application
        self._selected = True
        self._session: HostMessages | None = None

    @property
    def limits(self) -> ApduLimits:
        """Commands and answers of any length: they are cut below, once they are secured."""
        return _ANY_LENGTH

    def transmit(self, command: bytes, *, timeout: float | None = None) -> bytes:
        """Send one plain command; its plain answer.

        ``timeout`` in seconds bounds the opening of a channel as well. `ApduInvalid` for a link of
        a command chain, since only whole commands are secured, and for one that is too long to be.
        """
        plain = CommandApdu.decode(command)
        if plain.cla & CHAINING:
            raise ApduInvalid("a link of a command chain cannot be secured")
        deadline = None if timeout is None else monotonic() + timeout
        with self._connection.hold(timeout):
            session = self._session or self._open(deadline)
            prepared, extended = self._prepare(plain)
            secured = session.wrap(prepared, extended=extended)
            # Until its answer has proven to be the card's: whatever happens meanwhile, both sides
            # may count differently from then on.
            self._session = None
            response = self._channel.send(secured, timeout=_left(deadline))
            data = session.unwrap(response.data, response.sw)
            self._session = session
        return data + response.sw.to_bytes(2, "big")

    def _prepare(self, plain: CommandApdu) -> tuple[CommandApdu, bool]:
        """The command with room for its answer, and whether it goes as an extended APDU."""
        limits = self._connection.limits
        # Every answer has a MAC, so every command asks for one.
        ne = max(plain.ne, MAX_SHORT_NE) if limits.extended else MAX_SHORT_NE
        ne = min(ne, limits.max_response - 2)
        if ne != plain.ne:
            plain = CommandApdu(plain.cla, plain.ins, plain.p1, plain.p2, plain.data, ne)
        return plain, ne > MAX_SHORT_NE

    def _open(self, deadline: float | None) -> HostMessages:
        if not self._selected:
            self._select(deadline)
        self._selected = False
        agreement = HostAgreement(self._card_key)
        authenticate = CommandApdu(
            CLA_GLOBAL_PLATFORM,
            INTERNAL_AUTHENTICATE,
            KEY_VERSION,
            KEY_IDENTIFIER,
            agreement.request,
            MAX_SHORT_NE,
        )
        return agreement.finish(self._ask(authenticate, deadline))

    def _select(self, deadline: float | None) -> None:
        self._ask(CommandApdu(0, SELECT, 4, 0, self._application, MAX_SHORT_NE), deadline)

    def _ask(self, command: CommandApdu, deadline: float | None) -> bytes:
        response = self._channel.send(command, timeout=_left(deadline))
        if not response.ok:
            raise ChannelBroken(f"the token opens no secure channel: {describe(response.sw)}")
        return response.data

    @property
    def pin_pad(self) -> PinPad | None:
        """The keys of the reader below: what is entered there goes to the card past the channel,
        which is opened again afterwards.
        """
        pad = pin_pad_of(self._connection)
        return None if pad is None else _PlainPad(pad, self._leave_channel)

    @contextmanager
    def _leave_channel(self) -> Iterator[None]:
        with self._connection.hold():
            if self._session is None and not self._selected:
                self._select(None)
            self._session, self._selected = None, False
            yield

    def reset(self) -> bytes:
        """Power the card off and on; a channel is opened again when it is next needed."""
        with self._connection.hold():
            self._session, self._selected = None, False
            return self._connection.reset()


class _PlainPad:
    """A `PinPad` whose commands a channel makes way for."""

    def __init__(
        self, pad: PinPad, leave_channel: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._pad = pad
        self._leave_channel = leave_channel

    @property
    def support(self) -> PinSupport:
        return self._pad.support

    def verify(self, block: PinBlock, *, timeout: int = 30) -> bytes:
        with self._leave_channel():
            return self._pad.verify(block, timeout=timeout)

    def change(self, block: PinBlock, *, timeout: int = 30) -> bytes:
        with self._leave_channel():
            return self._pad.change(block, timeout=timeout)


def _left(deadline: float | None) -> float | None:
    # `ApduChannel` says so itself where none is left.
    return None if deadline is None else deadline - monotonic()
