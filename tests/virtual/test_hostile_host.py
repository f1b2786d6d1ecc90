"""Both applications of one card in a hostile host's hands, with anybody's fingers on the keys.

What must hold is in `tests.virtual.hostile`, and holds after every single command.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.virtual.host import MESSAGE, OTHER_PIN, PIN, PUK, subject
from tests.virtual.hostile import hostile_host
from ushield.iso7816.tlv import encode
from ushield.piv.commands import Instruction as Piv
from ushield.shield.commands import BeginKind
from ushield.shield.commands import Instruction as Shield
from ushield.shield.events import PanelKey
from ushield.shield.pins import encode_change
from ushield.shield.requests import Begin, Begun, UnblockResponse, encode_request_id

NOBODY, CONFIRMS = 0, 1
FINGERS = [NOBODY, CONFIRMS, *(2 + 4 * key for key in PanelKey)]
WRONG = "902143"
WRONG_PUK = "90214311"
FORGED = bytes.fromhex("3006020101020101")
INSTRUCTIONS = sorted({*map(int, Shield), *map(int, Piv)})
PARAMETERS = st.one_of(
    st.sampled_from([0, 0x0400, 0x80, 0x81, 0x83, 0x9B, 0x3FFF, 0x9E9A, 0xFF81, 0x119C, 0x119D]),
    st.integers(0, 0xFFFF),
)
# What proves something, or wants a proof: a host has it, and sends it wherever it likes.
DATA = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"",
            PIN.encode(),
            PIN.encode() + b"\xff\xff",
            (PUK + PIN).encode() + b"\xff\xff",
            encode_change(PIN.encode(), OTHER_PIN.encode()),
            encode_change(PUK.encode(), OTHER_PIN.encode()),
            Begin(1, MESSAGE).encode(),
            encode_request_id(bytes(8)),
            encode(0x7C, encode(0x82, b"") + encode(0x81, bytes(32))),
            encode(0xAC, encode(0x80, b"\x11") + encode(0xAB, b"\x02")),
        ]
    ),
)
LINKS = st.integers(1, 200)
# A PIN that is locked ends most of what could go wrong.
SELDOM_MANY = st.sampled_from([1, 1, 1, 2, 2, 2, 3, 11])
SLOTS = st.sampled_from([0x9A, 0x9C, 0x9D, 0x9E, 0x82])


class HostOfBoth(RuleBasedStateMachine):
    """One token with a display key, an authentication key and PIV keys of every touch policy."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.finger = NOBODY
        self.host = self.stack.enter_context(hostile_host(self._fingers()))
        self.host.select_shield()

    def _fingers(self) -> Iterator[int]:
        while True:
            yield self.finger

    def teardown(self) -> None:
        self.stack.close()

    @rule(command=st.binary(max_size=20))
    def send_noise(self, command: bytes) -> None:
        self.host.transmit(command)

    @rule(
        cla=st.sampled_from([0x00, 0x80, 0x10, 0x90, 0x0C, 0x01, 0xFF]),
        ins=st.one_of(st.sampled_from(INSTRUCTIONS), st.integers(0, 255)),
        p1p2=PARAMETERS,
        data=DATA,
        ne=st.sampled_from([0, 1, 256, 65536]),
    )
    def send_anything(self, cla: int, ins: int, p1p2: int, data: bytes, ne: int) -> None:
        self.host.send(cla, ins, p1p2, data, ne)

    @rule(
        cla=st.sampled_from([0x00, 0x80]),
        ins=st.sampled_from(INSTRUCTIONS),
        p1p2=PARAMETERS,
        data=DATA,
        cut=LINKS,
        between=st.sampled_from(["nothing", "select", "fetch", "reset", "other", "begin"]),
    )
    def send_in_links(
        self, cla: int, ins: int, p1p2: int, data: bytes, *, cut: int, between: str
    ) -> None:
        self.host.send(cla | 0x10, ins, p1p2, data[:cut], 0)
        match between:
            case "select":
                self.host.select_piv()
            case "fetch":
                self.host.send(0, Shield.GET_RESPONSE)
            case "reset":
                self.host.reset()
            case "other":
                ins = Shield.VERIFY
            case "begin":
                self.begin(BeginKind.TRANSACTION)
        self.host.send(cla, ins, p1p2, data[cut:], 256)

    @rule(ins=st.sampled_from(INSTRUCTIONS))
    def chain_without_end(self, ins: int) -> None:
        for _ in range(12):
            self.host.send(0x90, ins, 0, bytes(4096), 0)

    @rule(ne=st.sampled_from([1, 256, 65536]), p1p2=st.sampled_from([0, 1]))
    def fetch(self, ne: int, p1p2: int) -> None:
        self.host.send(0, Shield.GET_RESPONSE, p1p2, ne=ne)

    @rule(piv=st.booleans())
    def select(self, piv: bool) -> None:
        (self.host.select_piv if piv else self.host.select_shield)()

    @rule(pin=st.sampled_from([PIN, PIN, WRONG]), piv=st.booleans())
    def verify(self, pin: str, piv: bool) -> None:
        (self.host.verify_piv if piv else self.host.verify_shield)(pin)

    @rule(times=SELDOM_MANY, piv=st.booleans())
    def guess(self, times: int, piv: bool) -> None:
        self.select(piv)
        for _ in range(times):
            self.verify(WRONG, piv)

    @rule()
    def unblock(self) -> None:
        self.host.select_piv()
        self.host.unblock()

    @rule(challenged=st.booleans())
    def unblock_as_no_bank_did(self, challenged: bool) -> None:
        self.host.select_shield()
        if challenged:
            self.host.send(0x80, Shield.UNBLOCK_CHALLENGE)
        forged = UnblockResponse(FORGED, OTHER_PIN.encode()).encode()
        self.host.send(0x80, Shield.UNBLOCK, data=forged)

    @rule()
    def administer(self) -> None:
        self.host.select_piv()
        self.host.administer()

    @rule(mutual=st.booleans())
    def prove_a_management_key_that_is_none(self, mutual: bool) -> None:
        self.host.select_piv()
        self._manage(encode(0x80 if mutual else 0x81, b""))
        wrong = bytes(8)
        self._manage(encode(0x80, wrong) + encode(0x81, wrong) if mutual else encode(0x82, wrong))

    def _manage(self, objects: bytes) -> None:
        self.host.send(0, Piv.GENERAL_AUTHENTICATE, 0x009B, encode(0x7C, objects))

    @rule(ins=st.sampled_from(Piv), p1p2=st.sampled_from([0x3FFF, 0x80, 0x119A, 0]), data=DATA)
    def send_to_piv_once_everything_is_proven(self, ins: int, p1p2: int, data: bytes) -> None:
        self.administer()
        self.host.verify_piv()
        for each in (data, data, b""):
            self.host.send(0, ins, p1p2, each)

    @rule(kind=st.sampled_from(BeginKind))
    def begin(self, kind: BeginKind) -> None:
        message = MESSAGE if kind is BeginKind.TRANSACTION else subject("CN=a")
        self.host.select_shield()
        self.host.verify_shield()
        answer = self.host.send(0x80, Shield.BEGIN, kind << 8, Begin(1, message).encode())
        if answer.ok:
            self.host.request_id = Begun.decode(answer.data).request_id

    @rule(ne=st.sampled_from([0, 1, 65536]))
    def sign(self, ne: int) -> None:
        self.host.select_shield()
        self.host.send(0x80, Shield.SIGN, 0, encode_request_id(self.host.request_id), ne)

    @rule(pages=st.sampled_from([0, 1, 9]), times=st.integers(1, 2), reset=st.booleans())
    def press_after_some_pages_and_sign(self, pages: int, times: int, *, reset: bool) -> None:
        self.host.reset()
        for key in PanelKey:
            self.host.key_up(key)
        self.begin(BeginKind.TRANSACTION)
        for _ in range(pages):
            self.host.press(PanelKey.DOWN)
        self.host.press(PanelKey.OK)
        if reset:
            self.host.reset()
        for _ in range(times):
            self.sign(65536)

    @rule()
    def cancel(self) -> None:
        self.host.send(0x80, Shield.CANCEL, 0, encode_request_id(self.host.request_id))

    @rule(slot=SLOTS, finger=st.sampled_from(FINGERS))
    def use_piv_key(self, slot: int, finger: int) -> None:
        self.host.select_piv()
        self.host.verify_piv()
        self.finger = finger
        block = encode(0x82, b"") + encode(0x81, bytes(32))
        self.host.send(0, Piv.GENERAL_AUTHENTICATE, 0x1100 | slot, encode(0x7C, block))
        self.finger = NOBODY

    @rule(seconds=st.sampled_from([1.0, 14.0, 15.0]))
    def use_a_key_that_remembers_a_touch(self, seconds: float) -> None:
        for key in PanelKey:
            self.host.key_up(key)
        self.use_piv_key(0x9D, CONFIRMS)
        self.wait(seconds)
        self.use_piv_key(0x9D, NOBODY)

    @rule(guesses=st.integers(0, 2), retries=st.sampled_from([0x0303, 0x0F0F, 0x0F01, 0x0000]))
    def set_retries(self, guesses: int, retries: int) -> None:
        self.administer()
        for _ in range(guesses):
            self._guess_the_puk()
        self.host.verify_piv()
        self.host.send(0, Piv.SET_RETRIES, retries)

    @rule(pin=SELDOM_MANY, puk=SELDOM_MANY)
    def guess_and_reset_the_application(self, pin: int, puk: int) -> None:
        self.host.select_piv()
        for _ in range(pin):
            self.host.verify_piv(WRONG)
        for _ in range(puk):
            self._guess_the_puk()
        self.host.send(0, Piv.RESET)

    def _guess_the_puk(self) -> None:
        guess = (WRONG_PUK + PIN).encode() + b"\xff\xff"
        self.host.send(0, Piv.RESET_RETRY_COUNTER, 0x80, guess)

    @rule(key=st.sampled_from(PanelKey))
    def key_down(self, key: PanelKey) -> None:
        self.host.key_down(key)

    @rule(key=st.sampled_from(PanelKey))
    def key_up(self, key: PanelKey) -> None:
        self.host.key_up(key)

    @precondition(lambda self: self.host.token.panel.page)
    @rule()
    def confirm(self) -> None:
        self.host.confirm()

    @rule(seconds=st.sampled_from([0.5, 15.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.host.clock.advance(seconds)

    @rule(pulled=st.booleans())
    def reset(self, pulled: bool) -> None:
        (self.host.replug if pulled else self.host.reset)()


HostOfBoth.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestHostOfBoth = HostOfBoth.TestCase
