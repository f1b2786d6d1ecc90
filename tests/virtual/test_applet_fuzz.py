"""Whatever a host sends, in whatever state: a status word, and never a signature without a press.

Hypothesis drives one token with well-formed and malformed commands, keys, time and resets in any
order, beside a model that counts only what the person did.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.virtual.host import MESSAGE, OK, OTHER_PIN, PIN, Host, subject
from ushield.algorithms import HashAlgorithm
from ushield.iso7816.apdu import CommandApdu
from ushield.iso7816.tlv import encode
from ushield.shield.commands import AID, BeginKind, DataObject, Instruction, KeyUsageCode
from ushield.shield.events import PanelKey
from ushield.shield.objects import DigestToSign, tag_list
from ushield.shield.requests import Begin, Begun, encode_request_id

_INS = [int(ins) for ins in Instruction]
_DATA = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            AID,
            PIN.encode(),
            OTHER_PIN.encode(),
            encode_request_id(bytes(8)),
            tag_list(DataObject.KEYS),
            tag_list(DataObject.CERTIFICATE, 1),
            tag_list(DataObject.LABEL) + encode(0x53, b"x"),
            Begin(1, MESSAGE).encode(),
            Begin(1, subject()).encode(),
            DigestToSign(1, HashAlgorithm.SHA256, bytes(32)).encode(),
        ]
    ),
)
_PARAMETERS = st.sampled_from([0, 0x81, 0x83, 0x0100, 0x0400, 0x3FFF, 0x9E9A, 0xFF81])
# A full PIN counter would make most of what follows the same; the PUK has more tries than a run
# has steps that could spend them.
_SPENDING = {int(Instruction.VERIFY), int(Instruction.CHANGE_REFERENCE_DATA)}


class AnyHost(RuleBasedStateMachine):
    """One token with a display key and its certificate, in anybody's hands."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ushield-test-"))
        self.host = Host.create(self.folder)
        self.key = self.host.signing_key()
        self.begun: Begun | None = None
        # The model: what the person saw and did since the request came up.
        self.down: set[PanelKey] = set()
        self.seen_last = False
        self.confirmed = False

    def teardown(self) -> None:
        self.host.token.close()
        shutil.rmtree(self.folder)

    def _look(self) -> None:
        panel = self.host.panel
        if panel.page == 0:
            self.seen_last = self.confirmed = False
        elif panel.page == len(panel.pages):
            self.seen_last = True

    @rule(
        cla=st.sampled_from([0x00, 0x80, 0x10, 0x90, 0x04, 0xFF]),
        ins=st.one_of(st.sampled_from(_INS), st.integers(0, 255)),
        p1p2=st.one_of(_PARAMETERS, st.integers(0, 0xFFFF)),
        data=_DATA,
        ne=st.sampled_from([0, 1, 256, 65536]),
    )
    def send_anything(self, cla: int, ins: int, p1p2: int, data: bytes, ne: int) -> None:
        if ins in _SPENDING and self.host.tries_left()[0] < 3:
            return
        answer = self.host.send(cla, ins, p1p2, data, ne)
        assert answer.sw >> 12 in (6, 9)
        assert answer.data == b"" or answer.ok or answer.sw >> 8 == 0x61
        self._settle()

    @rule(command=st.binary(max_size=20))
    def send_noise(self, command: bytes) -> None:
        assert len(self.host.token.card.transmit(command)) >= 2
        self._settle()

    def _settle(self) -> None:
        # Noise may have unselected nothing, but it may have opened a chain or changed the PIN.
        self.host.token.card.transmit(CommandApdu(0, Instruction.SELECT, 4, 0, AID).encode())
        self._look()

    @rule()
    def verify(self) -> None:
        if self.host.tries_left()[0] > 1:
            self.host.verify()
        self._look()

    @rule(kind=st.sampled_from(BeginKind))
    def begin(self, kind: BeginKind) -> None:
        message = MESSAGE if kind is BeginKind.TRANSACTION else subject("CN=a")
        answer = self.host.begin(self.key, message, kind)
        if answer.ok:
            assert not self.down
            self.begun = Begun.decode(answer.data)
            self.seen_last = self.confirmed = False
        self._look()

    @rule(kind=st.sampled_from(BeginKind))
    def begin_as_a_host_should(self, kind: BeginKind) -> None:
        if self.begun is not None:
            self.cancel()
        for key in PanelKey:
            self.let_go(key)
        self.verify()
        self.begin(kind)

    @rule(key=st.sampled_from(PanelKey))
    def press(self, key: PanelKey) -> None:
        fresh, ready = key not in self.down, self.seen_last
        self.host.panel.key_down(key)
        self.down.add(key)
        if fresh and key is PanelKey.OK and ready and self.host.panel.page:
            self.confirmed = True
        self._look()

    @rule(key=st.sampled_from(PanelKey))
    def let_go(self, key: PanelKey) -> None:
        self.host.panel.key_up(key)
        self.down.discard(key)
        self._look()

    @rule()
    def page_to_end_and_let_go(self) -> None:
        for key in PanelKey:
            self.let_go(key)
        self.host.page_to_end()
        self._look()

    @rule(seconds=st.sampled_from([0.5, 30.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.host.clock.advance(seconds)
        self._look()

    @precondition(lambda self: self.begun is None or self.confirmed)
    @rule()
    def reset(self) -> None:
        self.host.start()
        self._look()

    @precondition(lambda self: self.begun is None or self.confirmed)
    @rule()
    def pull_and_put_back(self) -> None:
        self.host.token.unplug()
        self.host.token.plug()
        self.host.start()
        self._look()

    @precondition(lambda self: self.begun is not None)
    @rule()
    def cancel(self) -> None:
        assert self.begun is not None
        self.host.cancel(self.begun.request_id)
        self._look()

    @precondition(lambda self: self.begun is not None)
    @rule(again=st.booleans())
    def sign(self, again: bool) -> None:
        self._sign()
        if again:
            self._sign()

    def _sign(self) -> None:
        assert self.begun is not None
        self._look()
        request = self.host.panel.state.live_request
        mine = request is not None and request.request_id == self.begun.request_id
        answer = self.host.sign(self.begun.request_id)
        assert answer.ok == (self.confirmed and mine)
        assert bool(answer.data) == answer.ok
        self._look()

    @rule()
    def sign_bare(self) -> None:
        data = DigestToSign(self.key.reference, HashAlgorithm.SHA256, bytes(32)).encode()
        answer = self.host.send(0, Instruction.PERFORM_SECURITY_OPERATION, 0x9E9A, data)
        assert answer.sw != OK

    @rule()
    def delete_the_key(self) -> None:
        live = self.host.panel.state.live_request is not None
        deleted = self.host.delete_key(self.key) == OK
        assert not (live and deleted)
        if deleted:
            self.key = self.host.signing_key()
        self._look()

    @invariant()
    def the_key_is_still_there(self) -> None:
        assert self.key.usage is KeyUsageCode.DISPLAY
        assert self.host.get(DataObject.KEYS).data.startswith(self.key.encode())


AnyHost.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestAnyHost = AnyHost.TestCase
