"""The shield applet: its application information, and which command goes where."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ushield.errors import StorageFull, UShieldError
from ushield.iso7816.status import StatusWord
from ushield.shield.application import ApplicationInfo
from ushield.shield.commands import (
    AID,
    CLA_ISO,
    CLA_VENDOR,
    PROTOCOL_VERSION,
    WHOLE_CARD,
    Feature,
    Instruction,
)
from ushield.virtual.applets.firmware import Firmware, status_word
from ushield.virtual.applets.key_commands import KeyCommands
from ushield.virtual.applets.object_commands import ObjectCommands
from ushield.virtual.applets.pin_commands import PinCommands
from ushield.virtual.applets.request_commands import RequestCommands
from ushield.virtual.confirmation import Cancel, PinForgotten, PowerOff
from ushield.virtual.nvram import PowerCut, StorageFailed

__all__ = ["ShieldApplet"]

_Handler = Callable[[int, int, bytes], bytes]
_SUCCESS = int(StatusWord.SUCCESS)
_ANY = -1


class ShieldApplet:
    """The applet of one token, on its ``firmware``. One thread at a time."""

    aids = (AID,)
    answers_without_le = False
    slow_instructions = frozenset({int(Instruction.GENERATE_KEY_PAIR)})

    def __init__(self, firmware: Firmware) -> None:
        self._firmware = firmware
        self._pin_secured = self._request_secured = False
        self._pins = pins = PinCommands(firmware)
        self._requests = requests = RequestCommands(firmware)
        keys = KeyCommands(firmware, requests.key_in_use)
        objects = ObjectCommands(firmware, requests.last_refusal)
        # By class and instruction: P1-P2 where there is only one value of it, and the handler.
        self._commands: dict[int, tuple[int, _Handler]] = {
            _code(CLA_ISO, Instruction.VERIFY): (_ANY, pins.verify),
            _code(CLA_ISO, Instruction.CHANGE_REFERENCE_DATA): (_ANY, pins.change),
            _code(CLA_ISO, Instruction.RESET_RETRY_COUNTER): (_ANY, pins.reset_retry_counter),
            _code(CLA_ISO, Instruction.GET_DATA): (WHOLE_CARD, objects.get),
            _code(CLA_ISO, Instruction.PUT_DATA): (WHOLE_CARD, objects.put),
            _code(CLA_ISO, Instruction.GENERATE_KEY_PAIR): (0, keys.generate),
            _code(CLA_ISO, Instruction.PERFORM_SECURITY_OPERATION): (0x9E9A, keys.sign_digest),
            _code(CLA_ISO, Instruction.INTERNAL_AUTHENTICATE): (0, keys.authenticate),
            _code(CLA_VENDOR, Instruction.DELETE_KEY): (0, keys.delete),
            _code(CLA_VENDOR, Instruction.BEGIN): (_ANY, requests.begin),
            _code(CLA_VENDOR, Instruction.REQUEST_STATE): (0, requests.state),
            _code(CLA_VENDOR, Instruction.SIGN): (0, requests.sign),
            _code(CLA_VENDOR, Instruction.CANCEL): (0, requests.cancel),
            _code(CLA_VENDOR, Instruction.READ_VOUCHER): (_ANY, requests.voucher),
            _code(CLA_VENDOR, Instruction.UNBLOCK_CHALLENGE): (0, pins.unblock_challenge),
            _code(CLA_VENDOR, Instruction.UNBLOCK): (0, pins.unblock),
            _code(CLA_VENDOR, Instruction.ATTEST): (0, keys.attest),
        }

    def power_on(self) -> None:
        """Count the power-up; everything volatile is as after the last power-off."""
        # A full disk must not keep a token from telling its PIN states and certificates.
        with suppress(StorageFull, StorageFailed):
            self._firmware.nvram.count_power_up()

    def power_off(self) -> None:
        """Forget PIN, request and challenge; a dialog leaves the screen."""
        self._firmware.panel.apply(PowerOff())
        self._requests.forget()
        self._pins.forget()

    def select(self) -> bytes:
        """The application information. Selecting changes nothing: PIN and request stay."""
        firmware = self._firmware
        profile, identity = firmware.profile, firmware.nvram.identity
        features = (
            Feature.DISPLAY
            | Feature.PANEL_EVENTS
            | Feature.VOUCHERS
            | Feature.ATTESTATION
            | Feature.KEY_GENERATION
            | Feature.SECURE_CHANNEL
            | Feature.VIRTUAL
        )
        if identity.unblock_key is not None:
            features |= Feature.REMOTE_UNBLOCK
        return ApplicationInfo(
            protocol=PROTOCOL_VERSION,
            firmware=profile.firmware,
            manufacturer=profile.manufacturer,
            model=profile.model,
            serial=identity.serial,
            label=identity.label,
            features=features,
            screen=profile.screen,
            pin_rules=profile.pin_rules,
            max_message=profile.max_message,
            max_keys=profile.max_keys,
            max_certificate=profile.max_certificate,
            timeout=profile.timeout,
        ).encode()

    def deselect(self) -> None:
        """Nothing: a request stays on the screen, whoever the host speaks to."""

    def end_session(self) -> None:
        """End what was begun through the channel: the login, and a request."""
        panel = self._firmware.panel
        request = panel.state.live_request
        if self._pin_secured:
            panel.apply(PinForgotten())
        elif self._request_secured and request is not None:
            panel.apply(Cancel(request.request_id))
        self._pin_secured = self._request_secured = False

    def process(
        self, cla: int, ins: int, p1: int, p2: int, data: bytes, *, secured: bool = False
    ) -> tuple[bytes, int]:
        """One command: response data and status word. Raises nothing but `PowerCut`."""
        command = self._commands.get(cla << 8 | ins)
        if command is None:
            return b"", (
                StatusWord.INS_NOT_SUPPORTED
                if cla in (CLA_ISO, CLA_VENDOR)
                else StatusWord.CLA_NOT_SUPPORTED
            )
        parameters, handler = command
        if parameters not in (_ANY, p1 << 8 | p2):
            return b"", StatusWord.WRONG_PARAMETERS
        try:
            answer = handler(p1, p2, data)
        except PowerCut:
            raise
        except UShieldError as error:
            return b"", status_word(error)
        if ins == Instruction.VERIFY and data:
            self._pin_secured = secured
        elif ins == Instruction.BEGIN:
            self._request_secured = secured
        return answer, _SUCCESS


def _code(cla: int, instruction: Instruction) -> int:
    return cla << 8 | instruction
