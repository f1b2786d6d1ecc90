"""``service.toml`` in a bank's folder: the service's clients and its limits."""

from __future__ import annotations

import json
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ushield.bank.service.clients import Client, Clients, Role
from ushield.bank.service.errors import ServiceConfigurationInvalid

__all__ = ["FILE_NAME", "ClientFile", "Limits", "ServiceConfiguration", "client_table"]

FILE_NAME = "service.toml"
_LONGEST = 1 << 20
_PROOFS = ("token_sha256", "certificate_sha256", "certificate_subject")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the service takes on.

    ``per_client``, ``together`` (all clients) and ``strangers`` (all whom nobody knows, and again
    all who claim to be known) are requests a second, twice as many at once after a pause.
    ``workers`` of the bank's calls run at a time, ``waiting`` more may wait. A request may take
    ``seconds`` to arrive, and as many to be answered; ``connections`` is how many there may be.
    """

    per_client: int = 100
    together: int = 400
    strangers: int = 20
    workers: int = 8
    waiting: int = 64
    seconds: int = 10
    connections: int = 512

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if type(value) is not int or not 1 <= value <= 100_000:
                raise ServiceConfigurationInvalid(f"limits: {each.name}: a number from 1 is due")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfiguration:
    """What ``service.toml`` says."""

    clients: Clients = field(default_factory=Clients)
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def parse(cls, text: str) -> ServiceConfiguration:
        """Read the file's text; `ServiceConfigurationInvalid`."""
        try:
            found = tomllib.loads(text)
        except ValueError as error:
            raise ServiceConfigurationInvalid(f"not TOML: {error}") from error
        _check_names("", found, ("client", "limits"))
        limits = _table("limits", found.get("limits", {}))
        _check_names("limits: ", limits, tuple(each.name for each in fields(Limits)))
        tables = _table("client", found.get("client", {}))
        return cls(
            clients=Clients(_client(name, table) for name, table in tables.items()),
            limits=Limits(**limits),
        )

    @classmethod
    def load(cls, folder: str | Path) -> ServiceConfiguration:
        """Read the file in the bank's ``folder``; without one, there are no clients."""
        path = Path(folder) / FILE_NAME
        try:
            with path.open("rb") as stream:
                mode = os.fstat(stream.fileno()).st_mode
                data = stream.read(_LONGEST + 1)
            text = data.decode()
        except FileNotFoundError:
            return cls()
        except (OSError, UnicodeDecodeError) as error:
            raise ServiceConfigurationInvalid(f"{path}: cannot be read") from error
        if len(data) > _LONGEST:
            raise ServiceConfigurationInvalid(f"{path}: longer than {_LONGEST} bytes")
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ServiceConfigurationInvalid(
                f"{path}: other users may change it", remedy=f"chmod go-w {path}"
            )
        try:
            return cls.parse(text)
        except ServiceConfigurationInvalid as error:
            raise ServiceConfigurationInvalid(f"{path}: {error}") from error


class ClientFile:
    """The clients of a bank's folder as the file has them now: who was taken out is out at once."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._seen: tuple[int, ...] | None = None
        self._clients = Clients()

    def now(self) -> Clients:
        """The clients; `ServiceConfigurationInvalid` while the file says something else."""
        seen = self._look()
        if seen != self._seen:
            self._clients = ServiceConfiguration.load(self._folder).clients
            self._seen = seen
        return self._clients

    def _look(self) -> tuple[int, ...]:
        try:
            found = os.stat(self._folder / FILE_NAME)
        except OSError:
            return ()
        return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)


def client_table(client: Client) -> str:
    """The client as it stands in the file."""
    lines = [f"[client.{json.dumps(client.name)}]"]
    lines.append(f"roles = {json.dumps(sorted(client.roles))}")
    for name in _PROOFS:
        value = getattr(client, name)
        if value is not None:
            # TOML's basic strings take JSON's escapes, but for halves of a character.
            lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def _client(name: str, table: object) -> Client:
    members = _table(f"client {name}", table)
    _check_names(f"client {name}: ", members, ("roles", *_PROOFS))
    roles = members.get("roles")
    if not isinstance(roles, list) or not all(each in list(Role) for each in roles):
        raise ServiceConfigurationInvalid(f"client {name}: roles: of {', '.join(Role)}")
    proofs = {each: members.get(each) for each in _PROOFS}
    if not all(value is None or isinstance(value, str) for value in proofs.values()):
        raise ServiceConfigurationInvalid(f"client {name}: a text is due")
    return Client(name=name, roles=frozenset(map(Role, roles)), **proofs)


def _table(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ServiceConfigurationInvalid(f"{name}: a table is due")
    return value


def _check_names(prefix: str, found: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in found:
        if name not in known:
            raise ServiceConfigurationInvalid(
                f"{prefix}{name}: unknown; there are {', '.join(known)}"
            )
