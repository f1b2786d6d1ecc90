"""What a person types, as the token's keys: Enter is OK, Esc is C, arrows and page keys page."""

from __future__ import annotations

from ushield.shield.events import PanelKey

__all__ = ["KeyDecoder"]

_ESCAPE = 0x1B
_PLAIN = {0x0D: PanelKey.OK, 0x0A: PanelKey.OK}
# Sequences of ECMA-48 terminals: cursor keys in normal and application mode, page keys.
_SEQUENCES = {
    b"[A": PanelKey.UP,
    b"OA": PanelKey.UP,
    b"[5~": PanelKey.UP,
    b"[B": PanelKey.DOWN,
    b"OB": PanelKey.DOWN,
    b"[6~": PanelKey.DOWN,
}


class KeyDecoder:
    """Bytes from a terminal to keys of the token; anything else typed is ignored.

    Esc alone and the start of a sequence look the same: while `undecided`, the caller waits a
    moment for more bytes and then calls `settle`.
    """

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending: bytearray | None = None

    @property
    def undecided(self) -> bool:
        """Whether an Esc waits for what follows it."""
        return self._pending is not None

    def feed(self, data: bytes) -> list[PanelKey]:
        """The keys that ``data`` completes."""
        keys: list[PanelKey] = []
        for byte in data:
            if self._pending is not None:
                keys += self._continue(self._pending, byte)
            elif byte == _ESCAPE:
                self._pending = bytearray()
            elif byte in _PLAIN:
                keys.append(_PLAIN[byte])
        return keys

    def settle(self) -> list[PanelKey]:
        """No more bytes came: an Esc alone was the Esc key."""
        alone = self._pending is not None and not self._pending
        self._pending = None
        return [PanelKey.CANCEL] if alone else []

    def _continue(self, pending: bytearray, byte: int) -> list[PanelKey]:
        if not pending and byte not in b"[O":
            # Esc, and then another key: two keys typed quickly.
            self._pending = None
            return [PanelKey.CANCEL, *self.feed(bytes((byte,)))]
        pending.append(byte)
        ends = len(pending) > 1 and 0x40 <= byte <= 0x7E
        if not ends:
            return []
        key = _SEQUENCES.get(bytes(pending))
        self._pending = None
        return [] if key is None else [key]
