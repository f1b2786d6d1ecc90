"""Signing without a screen: only by name, said in the signature, and another type throughout."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.pki import NOW, authority, authority_key, certificate, der, pem
from tests.transaction.strategies import TRANSFER
from ushield.algorithms import KeyAlgorithm
from ushield.bank import (
    BlindTransaction,
    RejectionReason,
    TransactionRejected,
    TrustStore,
    verify_transaction,
)
from ushield.cms import BlindStatement, parse_signed_data
from ushield.drivers.base import Demand, KeyOptions, KeyUsage
from ushield.errors import (
    BlindSigningRefused,
    KeyUsageRefused,
    LoginRequired,
    ObjectNotFound,
    PinIncorrect,
    Rejected,
    SeveralObjects,
    SignatureMismatch,
)
from ushield.iso7816.layer import ConnectionLayer
from ushield.keystore import PrivateKey
from ushield.pin import KnownManagementKey
from ushield.shield.events import PanelKey
from ushield.signing import (
    BlindSignature,
    Progress,
    SigningSession,
    SigningToken,
    TouchDue,
    TransactionSignature,
    open_token,
)
from ushield.signing.opening import token_behind
from ushield.transport.connection import CardConnection
from ushield.virtual.create import create_token
from ushield.virtual.scheme import SCHEME
from ushield.virtual.token import VirtualToken

PIN = "802563"
CA = "Test Bank Blind CA"


class Card:
    """A virtual token, opened as the PIV card that it also is."""

    def __init__(self, virtual: VirtualToken, token: SigningToken) -> None:
        self.virtual = virtual
        self.token = token
        self.session: SigningSession = token.session()

    def key(
        self,
        place: str = "9c",
        algorithm: KeyAlgorithm = KeyAlgorithm.P256,
        touch: Demand | None = None,
        *,
        certified: bool = True,
    ) -> PrivateKey:
        self.session.prove_management_key(KnownManagementKey.DEFAULT)
        options = KeyOptions(place, touch=touch)
        key = self.session.generate_key(algorithm, KeyUsage.AUTHENTICATION, options=options)
        if certified:
            public = load_der_public_key(key.info.public_key)
            assert isinstance(public, ec.EllipticCurvePublicKey)
            self.session.import_certificates(
                der(certificate("李四", CA, public, authority_key(CA)))
            )
        return key

    @contextmanager
    def finger(self, *keys: PanelKey) -> Iterator[None]:
        over = threading.Event()

        def press() -> None:
            while not over.wait(0.002):
                if self.virtual.panel.page:
                    for key in keys:
                        self.virtual.panel.press(key)
                    return

        thread = threading.Thread(target=press)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


class Crowded(ConnectionLayer):
    """A connection on which another thread wants its turn as soon as a PIN was verified.

    ``sent`` is the headers of the commands that went to the card.
    """

    def __init__(self, connection: CardConnection) -> None:
        super().__init__(connection)
        self.sent: list[bytes] = []
        self._other = threading.Thread(target=lambda: self.transmit(b"\0\xf8\0\0\0"))

    def __enter__(self) -> Crowded:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def hold(self, timeout: float | None = None) -> Iterator[None]:
        with self._connection.hold(timeout):
            yield
        if self._other.is_alive():
            self._other.join(0.2)

    def transmit(self, command: bytes, *, timeout: float | None = None) -> bytes:
        with self._connection.hold(timeout):
            self.sent.append(command[:4])
            if command[1] == 0x20 and len(command) > 5:
                self._other.start()
            return self._connection.transmit(command, timeout=timeout)

    def join(self) -> None:
        self._other.join()


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Card]:
    path = tmp_path / "token"
    create_token(path, pin=PIN, puk="91740263", serial="V-1")
    with VirtualToken.open(path) as virtual, open_token(f"virtual:{path}", driver="piv") as token:
        yield Card(virtual, token)


def test_a_blind_signature_says_so_and_a_bank_that_accepts_it_reads_it(card: Card) -> None:
    key = card.key()
    signature = card.session.sign_without_display(TRANSFER, pin=PIN)
    assert isinstance(signature, BlindSignature)
    assert not issubclass(BlindSignature, TransactionSignature)
    info = card.token.info
    assert signature.statement == BlindStatement(info.serial, info.model, "piv", virtual=True)
    assert parse_signed_data(signature.der).display == signature.statement
    assert card.session.key_of(signature.certificate) == key
    accept = TrustStore.load(pem(authority(CA)))
    with pytest.raises(TransactionRejected) as caught:
        verify_transaction(signature.der, TrustStore(()), NOW, accept_blind=accept)
    assert caught.value.reason is RejectionReason.VIRTUAL_TOKEN
    found = verify_transaction(
        signature.der, TrustStore(()), NOW, accept_blind=accept, accept_virtual=True
    )
    assert isinstance(found, BlindTransaction)
    assert found.transaction == TRANSFER


def test_sign_refuses_a_token_without_a_screen_before_anything_is_asked(card: Card) -> None:
    with pytest.raises(BlindSigningRefused) as caught:
        card.session.sign(TRANSFER, pin="000000")
    assert "sign_without_display" in caught.value.remedy
    assert card.token.pin.tries_left == 6


def test_a_token_with_a_screen_shows_what_it_signs(card: Card) -> None:
    path = card.token.slot.spec
    card.token.close()
    with (
        open_token(path) as token,
        token.session(PIN) as session,
        pytest.raises(KeyUsageRefused),
    ):
        session.sign_without_display(TRANSFER)


def test_the_pin_is_verified_right_before_and_a_wrong_one_signs_nothing(card: Card) -> None:
    card.key()
    with pytest.raises(LoginRequired):
        card.session.sign_without_display(TRANSFER)
    with pytest.raises(PinIncorrect):
        card.session.sign_without_display(TRANSFER, pin="802564")
    for _ in range(2):
        card.session.sign_without_display(TRANSFER, pin=PIN)
    with pytest.raises(LoginRequired):
        card.session.sign_without_display(TRANSFER)


def test_no_other_thread_s_command_comes_between_the_pin_and_its_signature(
    tmp_path: Path,
) -> None:
    path = tmp_path / "token"
    create_token(path, pin=PIN, puk="91740263", serial="V-1")
    with (
        VirtualToken.open(path) as virtual,
        Crowded(SCHEME.open(str(path))) as wire,
        token_behind(wire, "piv") as token,
    ):
        card = Card(virtual, token)
        card.key("9c")
        signature = card.session.sign_without_display(TRANSFER, pin=PIN)
        assert isinstance(signature, BlindSignature)
        verified = wire.sent.index(b"\0\x20\0\x80")
        assert wire.sent[verified + 1][:2] == b"\0\x87"
        wire.join()
        assert wire.sent[-1] == b"\0\xf8\0\0", "another thread had its turn after it"


def test_a_touch_is_announced_and_waited_for(card: Card) -> None:
    card.key(touch=Demand.ALWAYS)
    told: list[Progress] = []
    with card.finger(PanelKey.OK):
        card.session.sign_without_display(TRANSFER, pin=PIN, progress=told.append)
    assert told == [TouchDue(certain=True)]
    with card.finger(PanelKey.CANCEL), pytest.raises(Rejected):
        card.session.sign_without_display(TRANSFER, pin=PIN)


def test_a_key_that_wants_no_touch_announces_none(card: Card) -> None:
    card.key()
    told: list[Progress] = []
    card.session.sign_without_display(TRANSFER, pin=PIN, progress=told.append)
    assert told == []


def test_which_key_signs_is_one_with_a_certificate_or_the_one_that_is_named(card: Card) -> None:
    with pytest.raises(ObjectNotFound):
        card.session.sign_without_display(TRANSFER, pin=PIN)
    bare = card.key("9a", certified=False)
    with pytest.raises(ObjectNotFound):
        card.session.sign_without_display(TRANSFER, pin=PIN, key=bare)
    first = card.key("9c")
    assert card.session.sign_without_display(TRANSFER, pin=PIN).certificate.key_id == first.key_id
    second = card.key("82")
    with pytest.raises(SeveralObjects):
        card.session.sign_without_display(TRANSFER, pin=PIN)
    named = card.session.sign_without_display(TRANSFER, pin=PIN, key=second)
    assert named.certificate.key_id == second.key_id


def test_a_signature_that_does_not_hold_is_not_handed_out(
    card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    card.key()
    sign: Callable[..., bytes] = type(card.token._driver).sign_digest
    monkeypatch.setattr(
        type(card.token._driver),
        "sign_digest",
        lambda self, reference, algorithm, digest: sign(self, reference, algorithm, digest[::-1]),
    )
    with pytest.raises(SignatureMismatch):
        card.session.sign_without_display(TRANSFER, pin=PIN)


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.P256, KeyAlgorithm.P384, KeyAlgorithm.RSA_2048])
def test_a_certificate_request_is_signed_by_its_key(card: Card, algorithm: KeyAlgorithm) -> None:
    key = card.key("9a", algorithm, certified=False)
    request = card.session.request_certificate_without_display(key, "CN=李四,C=CN", pin=PIN)
    parsed = x509.load_der_x509_csr(request.der)
    assert parsed.is_signature_valid
    assert parsed.public_key() == load_der_public_key(key.info.public_key)
    assert request.subject == "CN=李四,C=CN"
