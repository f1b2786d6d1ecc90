"""Opening the token that the options name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from ushield.cli.invocation import Invocation
from ushield.cli.secrets import SecretSource

if TYPE_CHECKING:
    from ushield.drivers.trust import DeviceTrust
    from ushield.signing import SigningSession, SigningToken
    from ushield.transport.connection import CardConnection
    from ushield.virtual.token import VirtualToken

__all__ = ["device_trust", "open_connection", "open_session", "open_token", "open_virtual"]

_VIRTUAL = "virtual:"
_MAX_CERTIFICATES = 1 << 20


@contextmanager
def open_connection(invocation: Invocation) -> Iterator[CardConnection]:
    """The card of ``--token``, without any driver; what goes over it is recorded if asked for."""
    from ushield.transport.registry import open_spec

    with closing(open_spec(invocation.spec)) as connection:
        if invocation.trace is None:
            yield connection
        else:
            from ushield.iso7816.trace import TraceHeader
            from ushield.iso7816.traffic import RecordingConnection, TrafficLog

            invocation.trace.begin(
                TraceHeader(connection.atr, connection.limits, connection.has_panel)
            )
            yield RecordingConnection(
                connection, TrafficLog(invocation.trace.write), ciphertext=invocation.ciphertext
            )


@contextmanager
def open_token(invocation: Invocation) -> Iterator[SigningToken]:
    """The token of ``--token``, for as long as the block lasts."""
    from ushield.signing.opening import token_behind

    trust = device_trust(invocation)
    with (
        open_connection(invocation) as connection,
        token_behind(connection, invocation.driver, trust) as token,
    ):
        yield token


def device_trust(invocation: Invocation) -> DeviceTrust | None:
    """Which devices ``--device-ca`` trusts; ``None`` for any."""
    if invocation.device_ca is None:
        return None
    from ushield.cli.files import read_file
    from ushield.drivers.trust import DeviceTrust

    return DeviceTrust.from_pem(read_file(invocation.device_ca, at_most=_MAX_CERTIFICATES))


@contextmanager
def open_session(invocation: Invocation, pin: SecretSource) -> Iterator[SigningSession]:
    """A session with the token of ``--token``, logged in by ``pin``.

    Where no option says where the PIN is, and the reader has keys for it, it is entered there.
    """
    from ushield.transport.pin_pad import PinSupport

    allow = invocation.allow_last_try
    with open_token(invocation) as token:
        if not pin.given and token.pin_pad & PinSupport.VERIFICATION:
            with token.session() as session:
                invocation.output.say("Enter the PIN on the reader.")
                session.login(allow_last_try=allow)
                yield session
        else:
            with pin.read() as secret, token.session(secret, allow_last_try=allow) as session:
                yield session


@contextmanager
def open_virtual(invocation: Invocation) -> Iterator[VirtualToken | None]:
    """The virtual token that ``--token`` names, plugged in in this process; ``None`` for others.

    Inside, `open_token` connects to this very token.
    """
    spec = invocation.spec
    if spec is None or not spec.startswith(_VIRTUAL):
        yield None
        return
    from ushield.virtual.token import VirtualToken

    with VirtualToken.open(spec.removeprefix(_VIRTUAL)) as token:
        yield token
