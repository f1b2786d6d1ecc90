"""From an unpowered card to one that takes APDUs: voltage, ATR, PPS, parameters, IFSD.

What of this the host has to do, the reader's dwFeatures say (CCID Rev 1.1, section 5.1; ISO/IEC
7816-3, clauses 6 and 9).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from ushield.ccid.atr import DEFAULT_FI_DI, Atr
from ushield.ccid.block import Edc
from ushield.ccid.channel import Answer, Channel, Patience
from ushield.ccid.commands import PowerSelect
from ushield.ccid.descriptor import ExchangeLevel, Feature, VoltageClass
from ushield.ccid.errors import (
    AtrInvalid,
    CardMute,
    CommandUnsupported,
    EndpointHalted,
    ParameterRefused,
    SlotError,
    TransmissionCorrupted,
    slot_error,
)
from ushield.ccid.messages import IccStatus, MessageType
from ushield.ccid.parameters import (
    card_waiting_time,
    choose_fi_di,
    choose_protocol,
    parameters_for,
    pps_request,
    pps_result,
)
from ushield.ccid.steps import ClassRequest, Control, Program
from ushield.ccid.t1 import BlockProgram, T1Host
from ushield.errors import ProtocolViolation, SlotEmpty, TokenRemoved, TransferTimeout

__all__ = ["Activation", "activate", "list_rates", "required", "run_blocks"]

_Result = TypeVar("_Result")

_VOLTAGES: Final = (
    (VoltageClass.V5, PowerSelect.V5),
    (VoltageClass.V1_8, PowerSelect.V1_8),
    (VoltageClass.V3, PowerSelect.V3),
)


class _Agreement(NamedTuple):
    protocol: int
    fi_di: int


@dataclass(frozen=True, slots=True)
class Activation:
    """A powered card: its ATR, and its T=1 state if the host speaks T=1 with it.

    ``wait`` is how long one silence of reader and card may last, in seconds.
    """

    atr: Atr
    t1: T1Host | None
    wait: float


def required(answer: Answer, slot: int) -> Answer:
    """``answer``, if a powered card gave it.

    `SlotEmpty` with no card there; `TokenRemoved` if the card has lost its power since it was
    switched on, since it is then another card or the same one put back; else the `SlotError`.
    """
    if answer.icc == IccStatus.ABSENT:
        raise SlotEmpty(f"there is no card in slot {slot}")
    if answer.icc == IccStatus.INACTIVE:
        raise TokenRemoved(f"the card in slot {slot} has lost its power: it was pulled, or reset")
    if answer.error is not None:
        raise slot_error(slot, answer.error)
    return answer


def activate(channel: Channel, slot: int, deadline: float) -> Program[Activation]:
    """Power the card in ``slot`` and agree with it on protocol and speed.

    `SlotEmpty`, `CardMute` or another `SlotError`, `AtrInvalid`, `CapabilityMissing` where reader
    and card share no protocol.
    """
    atr = Atr.parse((yield from _power(channel, slot, deadline)))
    level = channel.descriptor.level
    by_reader = channel.descriptor.has(Feature.AUTO_NEGOTIATION)
    if level is not ExchangeLevel.TPDU and by_reader:
        return Activation(atr, None, channel.quirks.read_timeout)
    if not atr.checksum_ok and level is ExchangeLevel.TPDU:
        raise AtrInvalid("the ATR's checksum is wrong or missing")
    agreed = _Agreement(choose_protocol(atr, channel.descriptor), DEFAULT_FI_DI)
    if not by_reader:
        agreed = yield from _agree(channel, slot, atr, agreed.protocol, deadline)
        yield from _set_parameters(channel, slot, atr, agreed, deadline)
    protocol = agreed.protocol
    wait = channel.quirks.read_timeout
    wait += card_waiting_time(atr, protocol, agreed.fi_di, channel.descriptor)
    t1 = None
    if protocol == 1 and level is ExchangeLevel.TPDU:
        t1 = T1Host(Edc.CRC if atr.uses_crc else Edc.LRC, atr.ifsc)
        if not channel.descriptor.has(Feature.AUTO_IFSD):
            size = channel.descriptor.max_ifsd
            yield from run_blocks(channel, slot, t1.negotiate_ifsd(size), Patience(wait, deadline))
    return Activation(atr, t1, wait)


def run_blocks(
    channel: Channel, slot: int, program: BlockProgram[_Result], patience: Patience
) -> Program[_Result]:
    """Carry a T=1 program's blocks by XfrBlock; a card that asks for time lengthens one wait."""
    try:
        block = next(program)
        while True:
            multiplier = block.waiting_multiplier
            try:
                answer = yield from channel.command(
                    MessageType.XFR_BLOCK,
                    slot,
                    patience._replace(wait=patience.wait * max(multiplier, 1)),
                    (multiplier, 0, 0),
                    block.data,
                )
                received = required(answer, slot).data
            except (CardMute, TransmissionCorrupted):
                block = program.send(None)
            else:
                block = program.send(received)
    except StopIteration as finished:
        result: _Result = finished.value
        return result
    finally:
        program.close()


def list_rates(channel: Channel, request: ClassRequest, count: int) -> Program[tuple[int, ...]]:
    """The reader's own list of data rates (bit/s) or clock frequencies (kHz); sections 5.3.2, 3.

    Empty for a reader that has none or does not answer: some hang on it, and need neither.
    """
    if not count or not channel.quirks.lists_rates:
        return ()
    try:
        data: bytes = yield Control(request, 0, 4 * count, channel.quirks.recovery_timeout)
    except (EndpointHalted, TransferTimeout):
        return ()
    whole = len(data) // 4
    return struct.unpack(f"<{whole}I", data[: 4 * whole])


def _power(channel: Channel, slot: int, deadline: float) -> Program[bytes]:
    failure: SlotError | None = None
    for select in _voltages(channel):
        answer = yield from channel.command(
            MessageType.ICC_POWER_ON,
            slot,
            Patience(channel.quirks.command_timeout, deadline),
            (select, 0, 0),
        )
        if answer.icc == IccStatus.ABSENT:
            raise SlotEmpty(f"there is no card in slot {slot}")
        if answer.error is None:
            return answer.data
        failure = slot_error(slot, answer.error)
        yield from _power_off(channel, slot, deadline)
    raise failure or ProtocolViolation("the reader supports no voltage at all")


def _voltages(channel: Channel) -> Sequence[PowerSelect]:
    descriptor = channel.descriptor
    if descriptor.has(Feature.AUTO_ACTIVATION) or descriptor.has(Feature.AUTO_VOLTAGE):
        return (PowerSelect.AUTOMATIC,)
    return [select for bit, select in _VOLTAGES if descriptor.voltage_support & bit]


def _power_off(channel: Channel, slot: int, deadline: float) -> Program[None]:
    yield from channel.command(
        MessageType.ICC_POWER_OFF, slot, Patience(channel.quirks.read_timeout, deadline)
    )


def _agree(
    channel: Channel, slot: int, atr: Atr, protocol: int, deadline: float
) -> Program[_Agreement]:
    """What to set; PPS on the way, if it is the host's work."""
    if atr.specific_protocol is not None:
        explicit = None if atr.implicit_parameters else atr.ta1
        return _Agreement(protocol, DEFAULT_FI_DI if explicit is None else explicit)
    descriptor = channel.descriptor
    rates: tuple[int, ...] = ()
    if atr.ta1 not in {None, DEFAULT_FI_DI}:
        rates = yield from list_rates(
            channel, ClassRequest.GET_DATA_RATES, descriptor.data_rate_count
        )
    wanted = _Agreement(protocol, choose_fi_di(atr, descriptor, rates))
    default = _Agreement(atr.protocols[0], DEFAULT_FI_DI)
    if descriptor.has(Feature.AUTO_PPS) or wanted == default:
        return wanted
    if descriptor.level is not ExchangeLevel.TPDU:
        return _Agreement(protocol, DEFAULT_FI_DI)
    try:
        return (yield from _exchange_pps(channel, slot, wanted, deadline))
    except (CardMute, TransmissionCorrupted, ProtocolViolation):
        if protocol != default.protocol:
            raise
    # Clause 9.1: a card whose PPS failed is reset; it then does without.
    yield from _power_off(channel, slot, deadline)
    yield from _power(channel, slot, deadline)
    return default


def _exchange_pps(
    channel: Channel, slot: int, wanted: _Agreement, deadline: float
) -> Program[_Agreement]:
    request = pps_request(wanted.protocol, wanted.fi_di)
    answer = yield from channel.command(
        MessageType.XFR_BLOCK,
        slot,
        Patience(channel.quirks.read_timeout, deadline),
        data=request,
    )
    response = required(answer, slot).data
    return wanted._replace(fi_di=pps_result(request, response))


def _set_parameters(
    channel: Channel, slot: int, atr: Atr, agreed: _Agreement, deadline: float
) -> Program[None]:
    answer = yield from channel.command(
        MessageType.SET_PARAMETERS,
        slot,
        Patience(channel.quirks.read_timeout, deadline),
        (agreed.protocol, 0, 0),
        parameters_for(atr, agreed.protocol, agreed.fi_di).encode(),
    )
    # Readers refuse a single parameter that they set themselves, and work all the same.
    with suppress(CommandUnsupported, ParameterRefused):
        required(answer, slot)
