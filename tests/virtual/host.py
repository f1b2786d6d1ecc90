"""A host for the virtual token's card: APDUs by the protocol's codecs, and a finger on its keys."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import TracebackType

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.pki import authority_key, certificate, der
from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.iso7816.apdu import CommandApdu, ResponseApdu
from ushield.iso7816.status import StatusWord
from ushield.iso7816.tlv import encode
from ushield.shield.application import ApplicationInfo, Counters, decode_pin_states
from ushield.shield.commands import AID, BeginKind, DataObject, Instruction, KeyUsageCode
from ushield.shield.events import PanelKey
from ushield.shield.objects import (
    GenerateKey,
    KeyEntry,
    StoredCertificate,
    encode_key_reference,
    tag_list,
)
from ushield.shield.pins import encode_change
from ushield.shield.requests import (
    Begin,
    Begun,
    DisplayRefusal,
    RequestState,
    Signed,
    encode_request_id,
)
from ushield.transaction import Currency, Money, Party, Transfer, write_message
from ushield.virtual.clock import ManualClock
from ushield.virtual.create import create_token
from ushield.virtual.nvram import NvramFaults
from ushield.virtual.token import VirtualToken

PIN, PUK = "135790", "86420864"
OTHER_PIN = "975310"
OK = int(StatusWord.SUCCESS)
MESSAGE = write_message(
    Transfer(
        payer=Party("李四", "6222020200112233445"),
        payee=Party("张三", "6222020200998877665", "中国工商银行"),
        amount=Money(Decimal("1000.00"), Currency.CNY),
        challenge="0123456789abcdef",
    )
)


class Host:
    """A powered token with the applet selected. ``token.clock`` is a `ManualClock`."""

    def __init__(self, token: VirtualToken) -> None:
        self.token = token
        self.panel = token.panel
        self.start()

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        profile: str = "default",
        pin: str = PIN,
        default_pin: bool = False,
        unblock_key: bytes | None = None,
        faults: NvramFaults | None = None,
    ) -> Host:
        path = folder / "token"
        create_token(
            path,
            profile=profile,
            pin=pin,
            puk=PUK,
            default_pin=default_pin,
            unblock_key=unblock_key,
        )
        return cls(VirtualToken.open(path, clock=ManualClock(), faults=faults))

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.token.close()

    @property
    def clock(self) -> ManualClock:
        clock = self.token.clock
        assert isinstance(clock, ManualClock)
        return clock

    def start(self) -> None:
        self.token.card.power_on()
        assert self.select() == OK

    def send(
        self, cla: int, ins: int, p1p2: int = 0, data: bytes = b"", ne: int = 65536
    ) -> ResponseApdu:
        command = CommandApdu(cla, ins, p1p2 >> 8, p1p2 & 0xFF, data, ne)
        return ResponseApdu.decode(self.token.card.transmit(command.encode()))

    def select(self) -> int:
        return self.send(0, Instruction.SELECT, 0x0400, AID).sw

    def info(self) -> ApplicationInfo:
        return ApplicationInfo.decode(self.send(0, Instruction.SELECT, 0x0400, AID).data)

    # PINs.

    def verify(self, pin: str = PIN) -> int:
        return self.send(0, Instruction.VERIFY, 0x81, pin.encode(), ne=0).sw

    def logout(self) -> int:
        return self.send(0, Instruction.VERIFY, 0xFF81, ne=0).sw

    def ask(self) -> int:
        return self.send(0, Instruction.VERIFY, 0x81, ne=0).sw

    def change(self, old: str, new: str, reference: int = 0x81) -> int:
        data = encode_change(old.encode(), new.encode())
        return self.send(0, Instruction.CHANGE_REFERENCE_DATA, reference, data, ne=0).sw

    def reset_retry_counter(self, puk: str, new: str) -> int:
        data = encode_change(puk.encode(), new.encode())
        return self.send(0, Instruction.RESET_RETRY_COUNTER, 0x81, data, ne=0).sw

    def tries_left(self) -> tuple[int, int]:
        """Of the PIN and of the PUK."""
        user, puk = decode_pin_states(self.get(DataObject.PIN_STATES).data)
        return user.tries_left, puk.tries_left

    # Objects.

    def get(self, tag: int, slot: int | None = None) -> ResponseApdu:
        return self.send(0, Instruction.GET_DATA, 0x3FFF, tag_list(tag, slot))

    def counters(self) -> Counters:
        return Counters.decode(self.get(DataObject.COUNTERS).data)

    def generate(
        self,
        usage: KeyUsageCode = KeyUsageCode.DISPLAY,
        algorithm: KeyAlgorithm = KeyAlgorithm.P256,
        label: str = "signing",
    ) -> KeyEntry:
        assert self.verify() == OK
        data = GenerateKey(algorithm, usage, label).encode()
        answer = self.send(0, Instruction.GENERATE_KEY_PAIR, data=data)
        assert answer.ok
        return KeyEntry.decode(answer.data)

    def delete_key(self, key: KeyEntry) -> int:
        data = encode_key_reference(key.reference)
        return self.send(0x80, Instruction.DELETE_KEY, data=data, ne=0).sw

    def put_certificate(
        self, certificate_der: bytes, slot: int = 0, *, label: str = "signing", is_ca: bool = False
    ) -> ResponseApdu:
        data = StoredCertificate(slot, certificate_der, label, is_ca).encode()
        return self.put(DataObject.CERTIFICATE, data, slot)

    def put(self, tag: int, value_object: bytes, slot: int | None = None) -> ResponseApdu:
        return self.send(0, Instruction.PUT_DATA, 0x3FFF, tag_list(tag, slot) + value_object)

    def put_label(self, label: bytes) -> int:
        return self.put(DataObject.LABEL, encode(0x53, label)).sw

    def enrol(self, key: KeyEntry) -> bytes:
        """Certify a key and store the certificate; its DER."""
        certified = certificate_for(key)
        assert self.verify() == OK
        assert self.put_certificate(certified).ok
        return certified

    def signing_key(self, algorithm: KeyAlgorithm = KeyAlgorithm.P256) -> KeyEntry:
        """A display key with its certificate."""
        key = self.generate(algorithm=algorithm)
        self.enrol(key)
        return key

    # Requests.

    def begin(
        self,
        key: KeyEntry,
        message: bytes = MESSAGE,
        kind: BeginKind = BeginKind.TRANSACTION,
    ) -> ResponseApdu:
        data = Begin(key.reference, message).encode()
        return self.send(0x80, Instruction.BEGIN, kind << 8, data)

    def begun(self, key: KeyEntry, message: bytes = MESSAGE) -> Begun:
        """A request on the screen, on a PIN verified for it."""
        assert self.verify() == OK
        answer = self.begin(key, message)
        assert answer.ok
        return Begun.decode(answer.data)

    def state(self, request_id: bytes) -> RequestState:
        data = encode_request_id(request_id)
        return RequestState.decode(self.send(0x80, Instruction.REQUEST_STATE, data=data).data)

    def sign(self, request_id: bytes) -> ResponseApdu:
        return self.send(0x80, Instruction.SIGN, data=encode_request_id(request_id))

    def cancel(self, request_id: bytes) -> int:
        return self.send(0x80, Instruction.CANCEL, data=encode_request_id(request_id), ne=0).sw

    def last_refusal(self) -> DisplayRefusal:
        return DisplayRefusal.decode(self.get(DataObject.LAST_REFUSAL).data)

    def page_to_end(self) -> None:
        for _ in range(len(self.panel.pages) - self.panel.page):
            self.panel.press(PanelKey.DOWN)

    def confirm(self) -> None:
        self.page_to_end()
        self.panel.press(PanelKey.OK)

    def signed(self, key: KeyEntry, message: bytes = MESSAGE) -> Signed:
        """A confirmed signature, start to end."""
        begun = self.begun(key, message)
        self.confirm()
        return Signed.decode(self.sign(begun.request_id).data)


def certificate_for(key: KeyEntry) -> bytes:
    """A bank's certificate for a key, in DER."""
    public_key = load_der_public_key(key.public_key)
    assert isinstance(public_key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    return der(certificate("李四", "Test Bank CA", public_key, authority_key("Test Bank CA")))


def foreign_certificate() -> bytes:
    """A certificate whose key is on no token."""
    key = ec.generate_private_key(ec.SECP256R1())
    return der(certificate("x", "Test Bank CA", key.public_key(), authority_key("Test Bank CA")))


def check_signature(key: KeyEntry, signature: bytes, data: bytes) -> None:
    """``InvalidSignature`` unless it is the key's over ``data``."""
    algorithm = hashes.SHA384() if key.algorithm.hash is HashAlgorithm.SHA384 else hashes.SHA256()
    public_key = load_der_public_key(key.public_key)
    if isinstance(public_key, rsa.RSAPublicKey):
        public_key.verify(signature, data, padding.PKCS1v15(), algorithm)
    else:
        assert isinstance(public_key, ec.EllipticCurvePublicKey)
        public_key.verify(signature, data, ec.ECDSA(algorithm))


def subject(text: str = "CN=张三,O=Example,C=CN") -> bytes:
    """A Name in DER."""
    return x509.Name.from_rfc4514_string(text).public_bytes()
