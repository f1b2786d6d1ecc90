"""The PIV application: which command goes where."""

from __future__ import annotations

from collections.abc import Callable

from ushield.errors import InputInvalid, UShieldError
from ushield.iso7816.status import StatusWord
from ushield.iso7816.tlv import encode
from ushield.piv.commands import (
    AID,
    AIDS,
    ALGORITHM_CODE,
    EXTENSIONS_VERSION,
    RID,
    WHOLE_CARD,
    Instruction,
)
from ushield.virtual.applets.firmware import Firmware, status_word
from ushield.virtual.applets.piv.authentication import Authentication
from ushield.virtual.applets.piv.key_commands import KeyCommands
from ushield.virtual.applets.piv.object_commands import ObjectCommands, card_number
from ushield.virtual.applets.piv.pin_commands import PinCommands
from ushield.virtual.applets.piv.session import PivSession
from ushield.virtual.nvram import PowerCut

__all__ = ["PivApplet"]

_Handler = Callable[[int, int, bytes], bytes]
_SUCCESS = int(StatusWord.SUCCESS)
_ANY = -1
# SP 800-73pt2-5, table 3.
_APPLICATION, _NAME, _LABEL, _AUTHORITY, _ALGORITHMS = 0x61, 0x4F, 0x50, 0x79, 0xAC


class PivApplet:
    """The PIV application of one token, on its ``firmware``. One thread at a time."""

    aids = AIDS
    answers_without_le = True
    slow_instructions = frozenset(
        {
            int(Instruction.GENERATE),
            # It may wait for a press.
            int(Instruction.GENERAL_AUTHENTICATE),
            # Whether two numbers are prime takes its time.
            int(Instruction.IMPORT),
        }
    )

    def __init__(self, firmware: Firmware) -> None:
        self._firmware = firmware
        self._session = session = PivSession(firmware)
        pins = PinCommands(session)
        objects = ObjectCommands(session)
        keys = KeyCommands(session)
        authentication = Authentication(session)
        # P1-P2 where there is only one value of it, and the handler.
        self._commands: dict[int, tuple[int, _Handler]] = {
            Instruction.VERIFY: (_ANY, pins.verify),
            Instruction.CHANGE_REFERENCE_DATA: (_ANY, pins.change),
            Instruction.RESET_RETRY_COUNTER: (_ANY, pins.reset_retry_counter),
            Instruction.SET_RETRIES: (_ANY, pins.set_retries),
            Instruction.RESET: (0, pins.reset),
            Instruction.GET_DATA: (WHOLE_CARD, objects.get),
            Instruction.PUT_DATA: (WHOLE_CARD, objects.put),
            Instruction.GENERATE: (_ANY, keys.generate),
            Instruction.IMPORT: (_ANY, keys.import_key),
            Instruction.MOVE_KEY: (_ANY, keys.move),
            Instruction.GET_METADATA: (_ANY, keys.metadata),
            Instruction.ATTEST: (_ANY, keys.attest),
            Instruction.GENERAL_AUTHENTICATE: (_ANY, authentication.authenticate),
            Instruction.SET_MANAGEMENT_KEY: (_ANY, authentication.set_management_key),
            Instruction.GET_VERSION: (0, self._version),
            Instruction.GET_SERIAL: (0, self._serial),
        }

    def power_on(self) -> None:
        """Nothing: everything volatile is as after the last power-off."""

    def power_off(self) -> None:
        """Forget PIN, management key and touches."""
        self._session.forget()

    def select(self) -> bytes:
        """The application property template. Selecting it again changes nothing."""
        algorithms = b"".join(encode(0x80, bytes((code,))) for code in ALGORITHM_CODE.values())
        return encode(
            _APPLICATION,
            encode(_NAME, AID[len(RID) :])
            + encode(_AUTHORITY, encode(_NAME, RID))
            + encode(_LABEL, self._firmware.profile.model.encode())
            + encode(_ALGORITHMS, algorithms + encode(0x06, b"\x00")),
        )

    def deselect(self) -> None:
        """Forget PIN, management key and touches (SP 800-73pt2-5, 3.1.1)."""
        self._session.forget()

    def _version(self, p1: int, p2: int, data: bytes) -> bytes:
        return bytes(EXTENSIONS_VERSION)

    def _serial(self, p1: int, p2: int, data: bytes) -> bytes:
        return card_number(self._firmware.nvram.identity.serial)[:4]

    def end_session(self) -> None:
        """Forget what was proven through the channel, and all with it."""
        self._session.end_channel()

    def process(
        self, cla: int, ins: int, p1: int, p2: int, data: bytes, *, secured: bool = False
    ) -> tuple[bytes, int]:
        """One command: response data and status word. Raises nothing but `PowerCut`."""
        if cla:
            return b"", StatusWord.CLA_NOT_SUPPORTED
        command = self._commands.get(ins)
        if command is None:
            return b"", StatusWord.INS_NOT_SUPPORTED
        parameters, handler = command
        if parameters not in (_ANY, p1 << 8 | p2):
            return b"", StatusWord.WRONG_PARAMETERS
        self._session.secured = secured
        try:
            return handler(p1, p2, data), _SUCCESS
        except PowerCut:
            raise
        except InputInvalid:
            return b"", StatusWord.WRONG_DATA
        except UShieldError as error:
            return b"", status_word(error)
