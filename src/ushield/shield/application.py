"""What the shield applet tells of itself and of its PINs: the answer to SELECT, and two objects."""

from __future__ import annotations

from dataclasses import dataclass

from ushield.errors import TlvInvalid
from ushield.iso7816.tlv import encode, parse_one, read_template
from ushield.pin import PinRules, PinState
from ushield.shield.commands import AID, PIN_REFERENCE_CODE, Feature

__all__ = [
    "ApplicationInfo",
    "Counters",
    "ScreenInfo",
    "decode_pin_states",
    "encode_pin_state",
    "is_application",
]

_FCI = 0x6F
_FCI_AID = 0x84
_FCI_PROPRIETARY = 0xA5
_PIN_STATE = 0x81
_REFERENCE_OF_CODE = {code: reference for reference, code in PIN_REFERENCE_CODE.items()}


@dataclass(frozen=True, slots=True)
class ScreenInfo:
    """The token's screen: text lines, half-width cells a line, the glyphs it has, its banner."""

    lines: int
    columns: int
    repertoire: str
    banner: str = ""


@dataclass(frozen=True, slots=True)
class ApplicationInfo:
    """The answer to SELECT: file control information 6F with AID 84 and proprietary data A5.

    ``timeout`` is how long a confirmation waits, in seconds; ``max_message`` and
    ``max_certificate`` in bytes. Bits of ``features`` that have no name here are kept and mean
    nothing.
    """

    protocol: tuple[int, int]
    firmware: tuple[int, int, int]
    manufacturer: str
    model: str
    serial: str
    label: str
    features: Feature
    screen: ScreenInfo
    pin_rules: PinRules
    max_message: int
    max_keys: int
    max_certificate: int
    timeout: int

    def encode(self) -> bytes:
        """The FCI template as bytes."""
        rules, screen = self.pin_rules, self.screen
        flags = rules.must_change_default | rules.pin_per_signature << 1
        proprietary = b"".join(
            (
                encode(0x80, bytes(self.protocol)),
                encode(0x81, self.serial.encode()),
                encode(0x82, self.model.encode()),
                encode(0x83, self.features.to_bytes(2, "big")),
                encode(
                    0x84,
                    bytes((screen.lines, screen.columns)) + screen.repertoire.encode("ascii"),
                ),
                encode(0x85, screen.banner.encode()),
                encode(
                    0x86,
                    bytes(
                        (
                            rules.min_length,
                            rules.max_length,
                            rules.max_tries,
                            rules.puk_max_tries,
                            flags,
                        )
                    ),
                ),
                encode(0x87, bytes(self.firmware)),
                encode(0x88, self.label.encode()),
                encode(0x89, self.manufacturer.encode()),
                encode(
                    0x8A,
                    self.max_message.to_bytes(2, "big")
                    + self.max_certificate.to_bytes(2, "big")
                    + bytes((self.max_keys, self.timeout)),
                ),
            )
        )
        return encode(_FCI, encode(_FCI_AID, AID) + encode(_FCI_PROPRIETARY, proprietary))

    @classmethod
    def decode(cls, data: bytes) -> ApplicationInfo:
        """Read an answer to SELECT; `TlvInvalid` if it is not this applet's."""
        outer = parse_one(data)
        if outer.tag != _FCI:
            raise TlvInvalid(f"file control information 6F expected, not {outer.tag:02X}")
        fci = read_template(outer.value, "file control information")
        if fci.take(_FCI_AID) != AID:
            raise TlvInvalid("another application answered")
        inner = read_template(fci.take(_FCI_PROPRIETARY), "application information")
        fci.finish()
        screen = inner.take(0x84)
        rules = _exactly(inner.take(0x86), 5)
        limits = _exactly(inner.take(0x8A), 6)
        major, minor = _exactly(inner.take(0x80), 2)
        firmware = _exactly(inner.take(0x87), 3)
        if len(screen) < 2 or not screen[2:].isascii() or min(screen[:2]) < 2:
            raise TlvInvalid("application information: no such screen")
        if not 0 < rules[0] <= rules[1] or not rules[2] or not rules[3] or rules[4] & ~3:
            raise TlvInvalid("application information: no such PIN rules")
        info = cls(
            protocol=(major, minor),
            firmware=(firmware[0], firmware[1], firmware[2]),
            manufacturer=inner.take_text(0x89),
            model=inner.take_text(0x82),
            serial=inner.take_text(0x81),
            label=inner.take_text(0x88),
            features=Feature(inner.take_int(0x83, 2)),
            screen=ScreenInfo(
                screen[0], screen[1], screen[2:].decode("ascii"), inner.take_text(0x85)
            ),
            pin_rules=PinRules(
                min_length=rules[0],
                max_length=rules[1],
                max_tries=rules[2],
                puk_max_tries=rules[3],
                must_change_default=bool(rules[4] & 1),
                pin_per_signature=bool(rules[4] & 2),
            ),
            max_message=int.from_bytes(limits[:2], "big"),
            max_certificate=int.from_bytes(limits[2:4], "big"),
            max_keys=limits[4],
            timeout=limits[5],
        )
        inner.finish()
        return info


def is_application(data: bytes) -> bool:
    """Whether an answer to SELECT names this applet, however wrong the rest of it may be."""
    return encode(_FCI_AID, AID) in data


def _exactly(value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise TlvInvalid(f"application information: {len(value)} bytes where {size} are due")
    return value


def encode_pin_state(state: PinState) -> bytes:
    """One object 81: reference, tries left, tries at most, flags; a byte each."""
    flags = state.must_change | state.verified << 1
    return encode(
        _PIN_STATE,
        bytes((PIN_REFERENCE_CODE[state.reference], state.tries_left, state.max_tries, flags)),
    )


def decode_pin_states(data: bytes) -> tuple[PinState, ...]:
    """Read `DataObject.PIN_STATES`; `TlvInvalid` for anything else."""
    template = read_template(data, "PIN states")
    states = []
    for value in template.all(_PIN_STATE):
        if len(value) != 4 or value[0] not in _REFERENCE_OF_CODE:
            raise TlvInvalid("PIN states: malformed entry")
        if value[1] > value[2] or value[3] & ~3:
            raise TlvInvalid("PIN states: more tries left than there are, or unknown flags")
        states.append(
            PinState(
                _REFERENCE_OF_CODE[value[0]],
                value[1],
                value[2],
                must_change=bool(value[3] & 1),
                verified=bool(value[3] & 2),
            )
        )
    template.finish()
    return tuple(states)


@dataclass(frozen=True, slots=True)
class Counters:
    """`DataObject.COUNTERS`: signatures made, successful remote unblocks, and power-ups."""

    signatures: int
    unblocks: int
    power_ups: int

    def encode(self) -> bytes:
        """Three numbers of four bytes."""
        return b"".join(
            number.to_bytes(4, "big") for number in (self.signatures, self.unblocks, self.power_ups)
        )

    @classmethod
    def decode(cls, data: bytes) -> Counters:
        """Read the object; `TlvInvalid` unless it has 12 bytes."""
        if len(data) != 12:
            raise TlvInvalid(f"counters: {len(data)} bytes, not 12")
        return cls(*(int.from_bytes(data[at : at + 4], "big") for at in (0, 4, 8)))
