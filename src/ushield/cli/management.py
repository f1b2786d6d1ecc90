"""Who may make keys and write certificates: by the PIN or, on some cards, a management key."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ushield.cli.access import open_token
from ushield.cli.invocation import Invocation
from ushield.cli.secrets import SecretSource, secret_options
from ushield.cli.terminal import has_terminal
from ushield.pin import KnownManagementKey, ManagementKey

if TYPE_CHECKING:
    from ushield.signing import SigningSession

__all__ = ["Management", "authorise", "management_options", "open_administered"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Management:
    """Where the management key comes from: a secret, or one that is known by its name."""

    secret: SecretSource
    known: KnownManagementKey | None

    @property
    def given(self) -> bool:
        """Whether an option says where it is; if not, a person is asked."""
        return self.known is not None or self.secret.given


def management_options(function: F) -> F:
    """``--management-key`` and ``--management-key-file`` as ``management``."""

    @functools.wraps(function)
    def with_management(*args: Any, **values: Any) -> Any:
        secret, known = values.pop("management_key"), values.pop("known_key")
        if known is not None and secret.given:
            raise click.UsageError("--management-key-file or --management-key, not both")
        management = Management(secret, known and KnownManagementKey(known))
        return function(*args, management=management, **values)

    decorated: Any = secret_options("management key", "management_key", "--management-key")(
        with_management
    )
    result: F = click.option(
        "--management-key",
        "known_key",
        type=click.Choice([known.value for known in KnownManagementKey]),
        help="The one that every PIV card comes with, or the one that is kept behind its PIN.",
    )(decorated)
    return result


def authorise(
    invocation: Invocation, session: SigningSession, pin: SecretSource, management: Management
) -> None:
    """Prove to the token what it wants for keys and certificates: management key, or PIN."""
    from ushield.drivers.base import Capability, Demand

    if Capability.MANAGEMENT_KEY not in session.token.info.capabilities:
        if management.given:
            raise click.UsageError("this token has no management key: it wants the PIN")
        with pin.read() as secret:
            session.login(secret, allow_last_try=invocation.allow_last_try)
        return
    if management.known is KnownManagementKey.BEHIND_PIN:
        with pin.read() as secret:
            session.login(secret, allow_last_try=invocation.allow_last_try)
    if session.token.management_touch is Demand.ALWAYS:
        invocation.output.say("Touch the token when its light blinks: its management key wants it.")
    if management.known is not None:
        session.prove_management_key(management.known)
        return
    if not management.given and not has_terminal():
        raise click.UsageError(
            "no terminal to ask for the management key on: give --management-key or"
            " --management-key-file"
        )
    with management.secret.read() as digits, ManagementKey.from_hex(digits.reveal()) as key:
        session.prove_management_key(key)


@contextmanager
def open_administered(
    invocation: Invocation, pin: SecretSource, management: Management
) -> Iterator[SigningSession]:
    """A session with the token of ``--token`` that may make keys and write certificates."""
    with open_token(invocation) as token, token.session() as session:
        authorise(invocation, session, pin, management)
        yield session
