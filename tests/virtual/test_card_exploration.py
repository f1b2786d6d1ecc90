"""Any APDUs in any order, and the power: what reaches an application is what a second card says.

That other one keeps all links of a chain and decides at the end; this one decides as they come.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.virtual.applets import StillApplet
from ushield.errors import ApduInvalid
from ushield.iso7816.apdu import CommandApdu
from ushield.iso7816.status import StatusWord
from ushield.virtual.card import MAX_CHAIN, Answer, Card

AIDS = (bytes.fromhex("F000000001"), bytes.fromhex("F000000002"))
SELECT, GET_RESPONSE, TELL, SAY_MUCH = 0xA4, 0xC0, 0x10, 0x12
NO_WORD = b""


class Telltale(StillApplet):
    """An application that tells back every command it gets."""

    def __init__(self, aid: bytes) -> None:
        self.aids = (aid,)

    def select(self) -> bytes:
        return self.aids[0]

    def process(
        self, cla: int, ins: int, p1: int, p2: int, data: bytes, *, secured: bool = False
    ) -> Answer:
        assert not secured
        told = self.aids[0] + bytes((cla, ins, p1, p2)) + data
        return told * (40 if ins == SAY_MUCH else 1), StatusWord.SUCCESS


@dataclass
class OtherCard:
    """ISO/IEC 7816-4, clauses 5.3.3 and 5.3.4, written down once more."""

    powered: bool = False
    selected: bytes | None = None
    links: list[CommandApdu] = field(default_factory=list)
    rest: bytes = b""

    def power(self, *, on: bool) -> None:
        self.powered, self.selected, self.links, self.rest = on, None, [], b""

    def transmit(self, command: CommandApdu) -> bytes:
        rest, self.rest = self.rest, b""
        if not self.powered:
            return _sw(StatusWord.NO_DIAGNOSIS)
        if command.cla & ~0x90:
            self.links = []
            return NO_WORD
        if (command.cla, command.ins) == (0, GET_RESPONSE):
            self.links = []
            if command.p1 or command.p2:
                return _sw(StatusWord.WRONG_PARAMETERS)
            if not rest:
                return _sw(StatusWord.CONDITIONS_NOT_SATISFIED)
            return self._hand_out(rest, command.ne)
        if self.links and _header(self.links[0]) != _header(command):
            self.links = []
        links = [*self.links, command]
        data = b"".join(link.data for link in links)
        self.links = links if command.cla & 0x10 else []
        if len(data) > MAX_CHAIN and len(links) + bool(command.cla & 0x10) > 1:
            self.links = []
            return _sw(StatusWord.WRONG_LENGTH)
        if command.cla & 0x10:
            return _sw(StatusWord.SUCCESS)
        return self._process(command, data)

    def _process(self, command: CommandApdu, data: bytes) -> bytes:
        if (command.cla, command.ins) == (0, SELECT):
            if (command.p1, command.p2) != (4, 0):
                return _sw(StatusWord.WRONG_PARAMETERS)
            if data not in AIDS:
                return _sw(StatusWord.FILE_NOT_FOUND)
            self.selected = data
            return self._hand_out(data, command.ne)
        if self.selected is None:
            return _sw(StatusWord.COMMAND_NOT_ALLOWED)
        answer, sw = Telltale(self.selected).process(
            command.cla, command.ins, command.p1, command.p2, data
        )
        assert sw == StatusWord.SUCCESS
        return self._hand_out(answer, command.ne)

    def _hand_out(self, answer: bytes, ne: int) -> bytes:
        piece, self.rest = answer[:ne], answer[ne:]
        left = len(self.rest)
        if left:
            return piece + bytes((0x61, left if left < 256 else 0))
        return piece + _sw(StatusWord.SUCCESS)


def _sw(status: StatusWord) -> bytes:
    return status.to_bytes(2, "big")


def _header(command: CommandApdu) -> tuple[int, int, int, int]:
    return command.cla & ~0x10, command.ins, command.p1, command.p2


# Few of each, so that commands continue each other's chains as often as they break them.
headers = st.tuples(
    st.sampled_from([0x00, 0x80]), st.sampled_from([TELL, SAY_MUCH, SELECT, GET_RESPONSE])
)
parameters = st.sampled_from([(4, 0), (0, 0), (4, 1)])
lengths = st.sampled_from([0, 1, 3, 9, 256, 65536])
datas = st.one_of(
    st.binary(max_size=4),
    st.sampled_from([*AIDS, AIDS[0][:2], AIDS[0][2:], bytes(300), bytes(MAX_CHAIN // 2)]),
)


class AnyCommands(RuleBasedStateMachine):
    """Both cards, given the same."""

    def __init__(self) -> None:
        super().__init__()
        self.card = Card([Telltale(aid) for aid in AIDS])
        self.other = OtherCard()
        self.power(on=True)
        self.send((0, SELECT), (4, 0), AIDS[0], 256, chained=False, extended=False)

    @rule(
        header=headers,
        p1p2=parameters,
        data=datas,
        ne=lengths,
        chained=st.booleans(),
        extended=st.booleans(),
    )
    def send(
        self,
        header: tuple[int, int],
        p1p2: tuple[int, int],
        data: bytes,
        ne: int,
        *,
        chained: bool,
        extended: bool,
    ) -> None:
        cla, ins = header
        self._compare(CommandApdu(cla | 0x10 * chained, ins, *p1p2, data, ne), extended=extended)

    @rule(ins=st.sampled_from([TELL, SAY_MUCH]), data=datas, more=datas)
    def send_a_chain(self, ins: int, data: bytes, more: bytes) -> None:
        self._compare(CommandApdu(0x90, ins, 0, 0, data))
        self._compare(CommandApdu(0x80, ins, 0, 0, more, 9))

    @rule(links=st.integers(1, 4), end=st.booleans())
    def send_a_chain_of_any_length(self, links: int, end: bool) -> None:
        for _ in range(links):
            self._compare(CommandApdu(0x90, TELL, 0, 0, bytes(MAX_CHAIN // 2)))
        if end:
            self._compare(CommandApdu(0x80, TELL, 0, 0, b"end", 9))

    @rule()
    def reset_in_a_chain(self) -> None:
        self._compare(CommandApdu(0x90, TELL, 0, 0, b"before"))
        self.power(on=True)
        self._compare(CommandApdu(0, SELECT, 4, 0, AIDS[0]))
        self._compare(CommandApdu(0x80, TELL, 0, 0, b"after", 256))

    @rule(ne=lengths)
    def fetch(self, ne: int) -> None:
        self._compare(CommandApdu(0, GET_RESPONSE, ne=ne))

    @rule(cla=st.sampled_from([0x01, 0x04, 0x0C, 0x40, 0xA0, 0xFF]), chained=st.booleans())
    def use_a_class_that_it_does_not_speak(self, cla: int, chained: bool) -> None:
        self._compare(CommandApdu(cla | 0x10 * chained, TELL))

    @rule(command=st.binary(max_size=12))
    def send_noise(self, command: bytes) -> None:
        try:
            decoded = CommandApdu.decode(command)
        except ApduInvalid:
            assert self.card.transmit(command) == _sw(StatusWord.WRONG_LENGTH)
        else:
            self._compare(decoded, raw=command)

    @rule(on=st.sampled_from([True, True, False]))
    def power(self, *, on: bool) -> None:
        if on:
            self.card.power_on()
        else:
            self.card.power_off()
        self.other.power(on=on)

    def _compare(
        self, command: CommandApdu, *, extended: bool = False, raw: bytes | None = None
    ) -> None:
        encoded = raw or command.encode(extended=extended or command.needs_extended)
        answer, expected = self.card.transmit(encoded), self.other.transmit(command)
        if expected == NO_WORD:
            assert len(answer) == 2
            assert answer[0] in {0x68, 0x6E}
        else:
            assert answer == expected

    @invariant()
    def what_it_keeps_has_a_bound(self) -> None:
        assert len(self.card._chain) <= MAX_CHAIN


AnyCommands.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyCommands = AnyCommands.TestCase
