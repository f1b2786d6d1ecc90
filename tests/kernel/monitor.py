"""QEMU's monitor: devices are put into the running machine, and pulled out of it."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

__all__ = ["Monitor"]

_SECONDS: Final = 30.0


class Monitor:
    """The machine whose monitor listens at ``path``; the protocol is QMP."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_SECONDS)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rb")
        self._events: list[dict[str, Any]] = []
        self._lines.readline()
        self._order("qmp_capabilities")

    def add(self, driver: str, name: str, **properties: str | int) -> None:
        """Put a device in; ``RuntimeError`` if QEMU has none of this kind."""
        self._order("device_add", driver=driver, id=name, **properties)

    def delete(self, name: str) -> None:
        """Pull a device out, and wait until it is."""
        self._order("device_del", id=name)
        while not any(self._deleted(event, name) for event in self._events):
            self._take(json.loads(self._lines.readline()))
        self._events.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lines.close()
        self._socket.close()

    @staticmethod
    def _deleted(event: dict[str, Any], name: str) -> bool:
        deleted: str | None = event["data"].get("device")
        return event["event"] == "DEVICE_DELETED" and deleted == name

    def _take(self, message: dict[str, Any]) -> None:
        if "event" in message:
            self._events.append(message)

    def _order(self, command: str, **arguments: Any) -> None:
        order = json.dumps({"execute": command, "arguments": arguments})
        self._socket.sendall(order.encode() + b"\n")
        while True:
            answer = json.loads(self._lines.readline())
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return
            self._take(answer)
