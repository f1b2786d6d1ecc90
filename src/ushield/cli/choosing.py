"""Which key, and which certificates of a token the options name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ushield.keystore import Certificate, PrivateKey, Query, Session

__all__ = ["CertificateChoice", "certificate_options", "choose_key"]

F = TypeVar("F", bound=Callable[..., Any])


def choose_key(session: Session, name: str) -> PrivateKey:
    """The one private key with this label, or with this id in hex: labels need not differ."""
    for key in session.private_keys():
        if key.key_id.hex() == name.lower():
            return key
    return session.private_keys(label=name).one()


@dataclass(frozen=True, slots=True)
class CertificateChoice:
    """What the options say of the certificates that are meant; ``None`` where they say nothing."""

    label: str | None
    key_id: bytes | None
    slot: int | None

    def some(self, session: Session) -> Query[Certificate]:
        """All that are meant: every one if no option is given, else at least one."""
        found = self._find(session)
        return found if self._open else found.some()

    def one(self, session: Session) -> Certificate:
        """The one that is meant; `click.UsageError` if no option is given."""
        if self._open:
            raise click.UsageError("say which certificate: --label, --id or --slot")
        return self._find(session).one()

    @property
    def _open(self) -> bool:
        return self.label is None and self.key_id is None and self.slot is None

    def _find(self, session: Session) -> Query[Certificate]:
        from ushield.keystore import Query

        found = session.certificates(label=self.label, key_id=self.key_id)
        if self.slot is None:
            return found
        wanted = f"such certificate in slot {self.slot}"
        return Query((one for one in found if one.slot == self.slot), wanted)


def _key_id(context: click.Context, parameter: click.Parameter, value: str | None) -> bytes | None:
    try:
        return None if value is None else bytes.fromhex(value)
    except ValueError:
        raise click.BadParameter("an id is written in hex digits") from None


def certificate_options(function: F) -> F:
    """``--label``, ``--id`` and ``--slot`` as ``choice``."""

    @functools.wraps(function)
    def with_choice(*args: Any, **values: Any) -> Any:
        parts = (values.pop(name) for name in ("label", "key_id", "slot"))
        return function(*args, choice=CertificateChoice(*parts), **values)

    decorated: Any = with_choice
    for option in (
        click.option("--slot", metavar="N", type=int, help="Which, by its place on the token."),
        click.option(
            "--id", "key_id", metavar="HEX", callback=_key_id, help="Which, by its key's id."
        ),
        click.option("--label", metavar="LABEL", help="Which, by its label."),
    ):
        decorated = option(decorated)
    result: F = decorated
    return result
