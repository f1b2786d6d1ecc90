"""A virtual token plugged in, the shield driver at the other end of its USB frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.pki import authority_key, certificate, der
from ushield.algorithms import KeyAlgorithm
from ushield.drivers.base import KeyInfo, KeyUsage, TokenDriver
from ushield.drivers.shield import ShieldDriver
from ushield.iso7816.traffic import Exchange, PanelReading, RecordingConnection, TrafficLog
from ushield.pin import Pin, PinReference
from ushield.shield.events import PanelKey
from ushield.transaction import Currency, Money, Party, Transfer, write_message
from ushield.transport.connection import CardConnection
from ushield.virtual.clock import ManualClock
from ushield.virtual.create import create_token
from ushield.virtual.scheme import SCHEME
from ushield.virtual.token import VirtualToken

PIN, PUK = "802563", "91740263"
OTHER_PIN, WRONG_PIN, WRONG_PUK = "640928", "802564", "91740264"


def message(payee: str = "张三", memo: str | None = None) -> bytes:
    return write_message(
        Transfer(
            payer=Party("李四", "6222020200112233445"),
            payee=Party(payee, "6222020200998877665", "中国工商银行"),
            amount=Money(Decimal("1000.00"), Currency.CNY),
            challenge="0123456789abcdef",
            memo=memo,
        )
    )


def issue(public_key: bytes, subject: str = "李四") -> bytes:
    """A leaf certificate (DER) for a SubjectPublicKeyInfo."""
    key = load_der_public_key(public_key)
    assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    return der(certificate(subject, "Test Bank CA", key, authority_key("Test Bank CA")))


def public_key_of(certificate_der: bytes) -> object:
    return x509.load_der_x509_certificate(certificate_der).public_key()


@dataclass
class Bench:
    """``exchanges`` is what went over the wire since the driver was opened, secrets masked."""

    token: VirtualToken
    clock: ManualClock
    connection: CardConnection
    driver: TokenDriver
    exchanges: list[Exchange] = field(default_factory=list)

    @classmethod
    def plug(
        cls,
        path: Path,
        *,
        profile: str = "default",
        pin: str = PIN,
        puk: str = PUK,
        default_pin: bool = False,
        unblock_key: bytes | None = None,
    ) -> Bench:
        create_token(
            path,
            profile=profile,
            pin=pin,
            puk=puk,
            label="招商",
            serial="V-1",
            default_pin=default_pin,
            unblock_key=unblock_key,
        )
        clock = ManualClock()
        token = VirtualToken.open(path, clock=clock)
        exchanges: list[Exchange] = []

        def keep(item: Exchange | PanelReading) -> None:
            if isinstance(item, Exchange):
                exchanges.append(item)

        connection = RecordingConnection(SCHEME.open(str(path)), TrafficLog(keep))
        driver = ShieldDriver.probe(connection)
        assert driver is not None
        return cls(token, clock, connection, driver, exchanges)

    def unplug(self) -> None:
        self.driver.close()
        self.token.close()

    @property
    def tries(self) -> tuple[int, int]:
        """Tries left of PIN and PUK."""
        states = self.driver.pin_states()
        return states[PinReference.USER].tries_left, states[PinReference.PUK].tries_left

    def login(self) -> None:
        self.driver.verify_pin(Pin(PIN))

    def key(
        self, usage: KeyUsage = KeyUsage.DISPLAY, algorithm: KeyAlgorithm = KeyAlgorithm.P256
    ) -> KeyInfo:
        """A new key with its certificate, and a fresh login."""
        self.login()
        key = self.driver.generate_key(algorithm, usage, "signing")
        self.driver.write_certificate(issue(key.public_key), "signing")
        self.login()
        return key

    def press(self, *keys: PanelKey) -> None:
        for key in keys:
            self.token.panel.press(key)

    def confirm(self) -> None:
        """Page to the end and press OK, as a person does."""
        panel = self.token.panel
        while panel.page < len(panel.pages):
            panel.press(PanelKey.DOWN)
        panel.press(PanelKey.OK)
