"""PIV cards with our driver at the other end of their USB frames: a virtual token's, and others."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tests.drivers.bench import PIN, PUK, issue
from tests.virtual.fingers import finger_at
from ushield.algorithms import KeyAlgorithm
from ushield.drivers.base import Demand, KeyInfo, KeyOptions, KeyUsage
from ushield.drivers.piv import PivDriver
from ushield.iso7816.apdu import CommandApdu
from ushield.iso7816.channel import ApduChannel
from ushield.iso7816.tlv import encode
from ushield.iso7816.traffic import Exchange, PanelReading, RecordingConnection, TrafficLog
from ushield.pin import KnownManagementKey, Pin, PinReference
from ushield.piv.commands import Instruction, ManagementAlgorithm
from ushield.piv.objects import encode_tag_list
from ushield.shield.events import PanelKey
from ushield.virtual.clock import ManualClock
from ushield.virtual.create import create_token
from ushield.virtual.scheme import SCHEME
from ushield.virtual.token import VirtualToken

__all__ = ["PIN", "PUK", "PivBench", "issue"]


@dataclass
class PivBench:
    """``exchanges`` is what went over the wire since the driver was opened, secrets masked."""

    token: VirtualToken
    driver: PivDriver
    exchanges: list[Exchange] = field(default_factory=list)

    @classmethod
    def plug(cls, path: Path, *, default_pin: bool = False) -> PivBench:
        create_token(path, pin=PIN, puk=PUK, serial="V-1", default_pin=default_pin)
        token = VirtualToken.open(path, clock=ManualClock())
        exchanges: list[Exchange] = []

        def keep(item: Exchange | PanelReading) -> None:
            if isinstance(item, Exchange):
                exchanges.append(item)

        driver = PivDriver.probe(RecordingConnection(SCHEME.open(str(path)), TrafficLog(keep)))
        assert driver is not None
        return cls(token, driver, exchanges)

    def unplug(self) -> None:
        self.driver.close()
        self.token.close()

    @property
    def tries(self) -> tuple[int, int]:
        states = self.driver.pin_states()
        return states[PinReference.USER].tries_left, states[PinReference.PUK].tries_left

    def login(self) -> None:
        self.driver.verify_pin(Pin(PIN))

    def manage(self) -> None:
        self.driver.prove_management_key(KnownManagementKey.DEFAULT)

    def send(self, ins: int, p1: int, p2: int, data: bytes) -> None:
        command = CommandApdu(0, ins, p1, p2, data)
        assert ApduChannel(self.driver.connection).send(command).ok

    def set_management_key(
        self, algorithm: ManagementAlgorithm, key: bytes, *, touch: bool = False
    ) -> None:
        self.manage()
        data = bytes((algorithm, 0x9B, len(key))) + key
        self.send(Instruction.SET_MANAGEMENT_KEY, 0xFF, 0xFE if touch else 0xFF, data)

    def put(self, tag: int, value: bytes) -> None:
        self.manage()
        data = encode_tag_list(tag) + encode(0x53, value)
        self.send(Instruction.PUT_DATA, 0x3F, 0xFF, data)

    def key(
        self,
        place: str = "9a",
        algorithm: KeyAlgorithm = KeyAlgorithm.P256,
        *,
        touch: Demand | None = None,
        certified: bool = True,
    ) -> KeyInfo:
        """A new key with its certificate; the management key is proven, the PIN is not."""
        self.manage()
        options = KeyOptions(place=place, touch=touch)
        key = self.driver.generate_key(algorithm, KeyUsage.AUTHENTICATION, "", options)
        if certified:
            self.driver.write_certificate(issue(key.public_key), "")
        return key

    def finger(self, *keys: PanelKey) -> AbstractContextManager[list[tuple[str, ...]]]:
        """See `finger_at`."""
        return finger_at(self.token.panel, *keys)
