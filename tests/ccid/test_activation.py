"""Powering a card and agreeing with it (CCID Rev 1.1, section 5.1; ISO/IEC 7816-3, 6 and 9)."""

from __future__ import annotations

import pytest

from tests.ccid.card_t1 import CardT1
from tests.ccid.simulation import ATR_T0, ATR_T1, SimulatedReader, descriptor
from ushield.ccid import CcidReader, ClassDescriptor, Feature, Quirks
from ushield.ccid.errors import AtrInvalid, CardMute, EndpointHalted, SlotError
from ushield.ccid.messages import MessageType
from ushield.ccid.parameters import T0Parameters, T1Parameters
from ushield.ccid.steps import Control
from ushield.errors import CapabilityMissing, ProtocolViolation, SlotEmpty, UShieldError

YUBIKEY_4 = bytes.fromhex("3BF81300008131FE15597562696B657934D4")
BOTH = bytes.fromhex("3B80800101")
CRC = bytes.fromhex("3B8081410141")
PPS = bytes.fromhex("FF1113FD")


def ok(command: bytes) -> bytes:
    return command[::-1] + b"\x90\x00"


def powered(wire: SimulatedReader, of: ClassDescriptor, quirks: Quirks | None = None) -> CcidReader:
    reader = CcidReader(of, quirks=quirks, clock=wire.clock)
    wire.run(reader.power_on(0))
    return reader


def kinds(wire: SimulatedReader) -> list[int]:
    return [frame[0] for frame in wire.sent]


@pytest.mark.parametrize("feature", [Feature.AUTO_ACTIVATION, Feature.AUTO_VOLTAGE])
def test_a_reader_that_finds_the_voltage_is_left_to_it(feature: Feature) -> None:
    wire = SimulatedReader(ok)
    powered(wire, descriptor(features=feature))
    assert wire.powers == [0]


@pytest.mark.parametrize(
    ("support", "good", "tried"),
    [(7, {1}, [1]), (7, {2}, [1, 3, 2]), (7, {3}, [1, 3]), (2, {2}, [2]), (6, {2}, [3, 2])],
)
def test_other_readers_are_told_5_then_1_8_then_3_volt(
    support: int, good: set[int], tried: list[int]
) -> None:
    wire = SimulatedReader(ok)
    wire.good_powers = good
    features = Feature.AUTO_NEGOTIATION
    powered(wire, descriptor(features=features, voltage_support=support))
    assert wire.powers == tried
    # Between two voltages the card is without power.
    assert kinds(wire).count(MessageType.ICC_POWER_OFF) == len(tried) - 1


def test_a_card_mute_at_every_voltage_is_told() -> None:
    wire = SimulatedReader(ok)
    wire.good_powers = set()
    with pytest.raises(CardMute):
        powered(wire, descriptor(features=Feature.AUTO_NEGOTIATION))


def test_a_reader_without_any_voltage_is_refused() -> None:
    with pytest.raises(ProtocolViolation, match="voltage"):
        powered(SimulatedReader(ok), descriptor(features=0, voltage_support=0))


def test_an_empty_slot_is_told_at_once() -> None:
    wire = SimulatedReader(ok)
    wire.icc = 2
    with pytest.raises(SlotEmpty):
        powered(wire, descriptor(features=Feature.AUTO_NEGOTIATION))
    assert wire.powers == [1]


@pytest.mark.parametrize("atr", [b"", b"\x3b", b"\x00\x00", bytes(40)])
def test_garbage_for_an_atr_is_refused(atr: bytes) -> None:
    with pytest.raises(AtrInvalid):
        powered(SimulatedReader(ok, atr=atr), descriptor())


def test_a_wrong_checksum_matters_only_where_the_host_uses_the_atr() -> None:
    wrong = ATR_T1[:-1]
    powered(SimulatedReader(ok, atr=wrong), descriptor(Feature.EXTENDED_APDU))
    with pytest.raises(AtrInvalid, match="checksum"):
        powered(SimulatedReader(ok, atr=wrong), descriptor(Feature.TPDU))


def test_a_reader_of_characters_is_refused() -> None:
    with pytest.raises(CapabilityMissing):
        powered(SimulatedReader(ok), descriptor(Feature(0)))


def test_a_reader_that_negotiates_by_itself_is_sent_nothing() -> None:
    wire = SimulatedReader(ok, atr=YUBIKEY_4)
    powered(wire, descriptor(Feature.EXTENDED_APDU))
    assert kinds(wire) == [MessageType.ICC_POWER_ON]


def test_a_reader_that_does_pps_is_told_the_parameters() -> None:
    wire = SimulatedReader(ok, atr=YUBIKEY_4)
    powered(wire, descriptor(Feature.EXTENDED_APDU, features=Feature.AUTO_PPS))
    assert kinds(wire) == [MessageType.ICC_POWER_ON, MessageType.SET_PARAMETERS]
    assert wire.parameters == (1, bytes.fromhex("13100015 00FE00"))


def test_a_reader_of_apdus_that_promises_no_pps_stays_at_the_default_speed() -> None:
    wire = SimulatedReader(ok, atr=YUBIKEY_4)
    powered(wire, descriptor(Feature.SHORT_APDU, features=0))
    assert wire.parameters[1][0] == 0x11


@pytest.mark.parametrize("error", [0x00, 0x07, 0x7F])
def test_a_refused_parameter_is_harmless(error: int) -> None:
    wire = SimulatedReader(ok, atr=YUBIKEY_4)
    wire.parameters_error = error
    reader = powered(wire, descriptor(Feature.EXTENDED_APDU, features=Feature.AUTO_PPS))
    assert wire.run(reader.transmit(0, bytes(4), 5)) == ok(bytes(4))


def test_another_failure_to_set_parameters_is_not() -> None:
    wire = SimulatedReader(ok, atr=YUBIKEY_4)
    wire.parameters_error = 0xFB
    with pytest.raises(SlotError, match="hardware"):
        powered(wire, descriptor(Feature.EXTENDED_APDU, features=Feature.AUTO_PPS))


class TpduCard:
    """A T=1 card at TPDU level that answers PPS with ``pps``, or not at all."""

    def __init__(self, pps: bytes | None, *, crc: bool = False) -> None:
        self.card = CardT1(ok, crc=crc, ifsc=32 if crc else 254)
        self.pps = pps
        self.asked: list[bytes] = []

    def __call__(self, block: bytes) -> bytes | None:
        if block[0] == 0xFF:
            self.asked.append(block)
            return self.pps
        return self.card(block)


def test_at_tpdu_level_the_host_does_pps_parameters_and_ifsd() -> None:
    card = TpduCard(PPS)
    wire = SimulatedReader(card, atr=YUBIKEY_4)
    reader = powered(wire, descriptor(Feature.TPDU, features=0))
    assert card.asked == [PPS]
    assert wire.parameters == (1, bytes.fromhex("13100015 00FE00"))
    assert card.card.ifs == 254
    command = bytes(300)
    assert wire.run(reader.transmit(0, command, 60)) == ok(command)
    assert card.card.executed == [command]


def test_a_card_that_keeps_the_default_speed_in_pps_gets_it() -> None:
    wire = SimulatedReader(TpduCard(bytes.fromhex("FF01FE")), atr=YUBIKEY_4)
    powered(wire, descriptor(Feature.TPDU, features=0))
    assert wire.parameters[1][0] == 0x11


@pytest.mark.parametrize("answer", [None, b"", bytes.fromhex("FF1018F7"), b"\x00"])
def test_after_a_failed_pps_the_card_is_reset_and_runs_at_the_default_speed(
    answer: bytes | None,
) -> None:
    card = TpduCard(answer)
    wire = SimulatedReader(card, atr=YUBIKEY_4)
    reader = powered(wire, descriptor(Feature.TPDU, features=Feature.AUTO_VOLTAGE))
    assert wire.powers == [0, 0]
    assert MessageType.ICC_POWER_OFF in kinds(wire)
    assert wire.parameters[1][0] == 0x11
    assert wire.run(reader.transmit(0, bytes(4), 60)) == ok(bytes(4))


def test_pps_chooses_the_protocol_that_the_reader_speaks() -> None:
    card = TpduCard(bytes.fromhex("FF01FE"))
    wire = SimulatedReader(card, atr=BOTH)
    reader = powered(wire, descriptor(Feature.TPDU, features=0, protocols=2))
    assert card.asked == [bytes.fromhex("FF01FE")]
    assert reader.limits(0).extended


def test_a_card_that_refuses_the_only_common_protocol_is_an_error() -> None:
    wire = SimulatedReader(TpduCard(None), atr=BOTH)
    with pytest.raises(CardMute):
        powered(wire, descriptor(Feature.TPDU, features=0, protocols=2))


def test_a_card_in_specific_mode_gets_no_pps() -> None:
    card = TpduCard(None)
    # TA1 13, TD1 11, TA2 01: F and D of TA1 hold from the start.
    wire = SimulatedReader(card, atr=bytes.fromhex("3B9013110193"))
    powered(wire, descriptor(Feature.TPDU, features=Feature.AUTO_IFSD))
    assert card.asked == []
    assert wire.parameters[1][0] == 0x13


def test_a_card_with_implicit_parameters_is_not_guessed_at() -> None:
    wire = SimulatedReader(TpduCard(None), atr=bytes.fromhex("3B9013111183"))
    powered(wire, descriptor(Feature.TPDU, features=Feature.AUTO_IFSD))
    assert wire.parameters[1][0] == 0x11


def test_a_card_with_crc_is_spoken_to_with_crc() -> None:
    card = TpduCard(None, crc=True)
    wire = SimulatedReader(card, atr=CRC)
    reader = powered(wire, descriptor(Feature.TPDU))
    assert wire.run(reader.transmit(0, bytes(90), 60)) == ok(bytes(90))


def test_a_reader_that_offers_ifsd_by_itself_is_left_to_it() -> None:
    card = TpduCard(None)
    powered(SimulatedReader(card, atr=ATR_T1), descriptor(Feature.TPDU))
    assert card.card.seen == []


def test_a_listed_rate_is_chosen_from_the_readers_list() -> None:
    wire = SimulatedReader(TpduCard(bytes.fromhex("FF1112FC")), atr=YUBIKEY_4)
    wire.rates = (10752, 21505)
    powered(wire, descriptor(Feature.TPDU, features=0, data_rate_count=2))
    assert [(step.request, step.length) for step in wire.controls] == [(3, 8)]
    assert wire.parameters[1][0] == 0x12


class SilentLists(SimulatedReader):
    failure: UShieldError | None = None

    def control(self, step: Control) -> bytes | None:
        super().control(step)
        self.clock.now += step.timeout
        raise EndpointHalted("stalled")


def test_a_reader_that_does_not_list_its_rates_works_without() -> None:
    wire = SilentLists(TpduCard(PPS), atr=YUBIKEY_4)
    powered(wire, descriptor(Feature.TPDU, features=0, data_rate_count=2))
    assert wire.parameters[1][0] == 0x13


def test_a_reader_known_to_hang_on_lists_is_not_asked() -> None:
    wire = SilentLists(TpduCard(PPS), atr=YUBIKEY_4)
    of = descriptor(Feature.TPDU, features=0, data_rate_count=2)
    reader = powered(wire, of, Quirks(lists_rates=False))
    assert wire.run(reader.data_rates()) == ()
    assert wire.controls == []


def test_lists_of_rates_and_frequencies_are_read() -> None:
    wire = SimulatedReader(ok)
    wire.rates = (9600, 10752)
    reader = CcidReader(
        ClassDescriptor(0, 7, 3, 0x40000, 271, clock_count=2, data_rate_count=2), clock=wire.clock
    )
    assert wire.run(reader.data_rates()) == (9600, 10752)
    assert wire.run(reader.clock_frequencies()) == (9600, 10752)
    assert [step.request for step in wire.controls] == [3, 2]


def test_parameters_are_read_set_and_reset() -> None:
    wire = SimulatedReader(ok, atr=ATR_T0)
    reader = powered(wire, descriptor())
    assert wire.run(reader.get_parameters(0)) == T0Parameters()
    wanted = T1Parameters(fi_di=0x18, ifsc=254)
    assert wire.run(reader.set_parameters(0, wanted)) == wanted
    assert wire.run(reader.reset_parameters(0)) == wanted
    assert kinds(wire)[-3:] == [0x6C, 0x61, 0x6D]
