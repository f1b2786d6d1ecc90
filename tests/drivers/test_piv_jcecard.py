"""Our PIV driver on a card that nobody here wrote: the PIV application of PyPI's jcecard.

It stands behind the frames of a CCID device. What that card cannot do, in version 0.1.0: it signs
RSA only over 32 bytes that it pads itself, and P-384 not at all; it takes no command whose template
is longer than 127 bytes; it forgets no PIN by VERIFY, and has no metadata.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.drivers.bench import issue
from tests.pki import NOW, authority, pem
from tests.transaction.strategies import TRANSFER
from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.bank import BlindTransaction, TrustStore, verify_transaction
from ushield.drivers.base import Capability, Demand, KeyOptions, KeyUsage
from ushield.drivers.piv import PivDriver
from ushield.drivers.registry import driver_for
from ushield.errors import (
    CapabilityMissing,
    LoginRequired,
    ManagementKeyIncorrect,
    ManagementKeyRequired,
    ObjectNotFound,
    PinIncorrect,
    PinLocked,
    SlotOccupied,
)
from ushield.pin import KnownManagementKey, ManagementKey, Pin, PinReference
from ushield.signing import Progress, SigningToken, TouchDue
from ushield.transport.usb.connection import open_usb
from ushield.transport.usb.discovery import find_readers
from ushield.virtual.usb import VirtualBackend, VirtualUsbDevice

jcecard = pytest.importorskip(
    "jcecard.main", reason="needs jcecard: pip install 'ushield[test,clients]'"
)

DIGEST = hashlib.sha256(b"hello").digest()


class JceCard:
    """jcecard as what a CCID device has in its slot."""

    def __init__(self, folder: Path) -> None:
        self._card: Any = jcecard.OpenPGPCard(storage_path=folder / "card.json")

    def power_on(self) -> bytes:
        self._card.power_on()
        atr: bytes = self._card.get_atr()
        return atr

    def power_off(self) -> None:
        self._card.power_off()

    def transmit(self, command: bytes) -> bytes:
        answer: bytes = self._card.process_apdu(command)
        return answer

    def is_slow(self, command: bytes) -> bool:
        return command[1:2] == b"\x47"


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[PivDriver]:
    device = VirtualUsbDevice(
        JceCard(tmp_path),
        vendor_id=0x1209,
        product_id=0x5348,
        manufacturer="tests",
        product="jcecard",
        serial="J1",
    )
    (reader,) = find_readers(VirtualBackend([device]))
    driver = driver_for(open_usb(reader.device, info=reader.info))
    assert isinstance(driver, PivDriver)
    yield driver
    driver.close()


def key(driver: PivDriver, algorithm: KeyAlgorithm = KeyAlgorithm.P256) -> int:
    driver.prove_management_key(KnownManagementKey.DEFAULT)
    made = driver.generate_key(algorithm, KeyUsage.AUTHENTICATION, "", KeyOptions("9a"))
    assert load_der_public_key(made.public_key)
    return made.reference


def test_it_is_found_by_its_application_and_told(driver: PivDriver) -> None:
    assert driver.info.model == "PIV card"
    assert driver.info.serial.isdigit()
    assert driver.info.firmware == "1.0.0"
    assert Capability.ATTESTATION not in driver.info.capabilities
    assert driver.keys() == ()
    assert driver.certificates() == ()


def test_pin_states_are_told_and_wrong_pins_counted(driver: PivDriver) -> None:
    def tries() -> list[int]:
        return [driver.pin_states()[reference].tries_left for reference in PinReference]

    assert tries() == tries() == [3, 3]
    with pytest.raises(PinIncorrect) as caught:
        driver.verify_pin(Pin("654321"))
    assert caught.value.tries_left == 2
    driver.verify_pin(Pin("123456"))
    assert tries() == [3, 3]
    for _ in range(2):
        with pytest.raises(PinIncorrect):
            driver.verify_pin(Pin("654321"))
    with pytest.raises(PinLocked):
        driver.verify_pin(Pin("654321"))
    with pytest.raises(PinIncorrect):
        driver.unblock_pin(Pin("87654321"), Pin("802563"))
    driver.unblock_pin(Pin("12345678"), Pin("802563"))
    driver.change_pin(PinReference.USER, Pin("802563"), Pin("640928"))
    driver.verify_pin(Pin("640928"))
    assert tries() == [3, 3]


def test_the_management_key_is_proven_from_both_sides(driver: PivDriver) -> None:
    with pytest.raises(ManagementKeyRequired):
        driver.generate_key(KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, "")
    with pytest.raises(ManagementKeyIncorrect):
        driver.prove_management_key(ManagementKey(bytes(range(24))))
    key(driver)


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.P256, KeyAlgorithm.P384, KeyAlgorithm.RSA_2048])
def test_keys_are_made_and_their_certificates_imported(
    driver: PivDriver, algorithm: KeyAlgorithm
) -> None:
    reference = key(driver, algorithm)
    (made,) = driver.keys()
    certificate = issue(made.public_key)
    assert driver.write_certificate(certificate, "") == reference
    assert driver.read_certificate(reference) == certificate
    driver.reset()
    assert driver.read_certificate(reference) == certificate
    (again,) = driver.keys()
    assert again.key_id == made.key_id
    driver.prove_management_key(KnownManagementKey.DEFAULT)
    with pytest.raises(SlotOccupied):
        driver.generate_key(algorithm, KeyUsage.AUTHENTICATION, "", KeyOptions("9a"))
    driver.delete_certificate(reference)
    with pytest.raises(ObjectNotFound):
        driver.read_certificate(reference)


def test_a_key_signs_after_the_pin_and_not_after_logging_out(driver: PivDriver) -> None:
    reference = key(driver)
    (made,) = driver.keys()
    assert (made.pin, made.touch) == (Demand.ONCE, Demand.UNKNOWN)
    with pytest.raises(LoginRequired):
        driver.sign_digest(reference, HashAlgorithm.SHA256, DIGEST)
    driver.verify_pin(Pin("123456"))
    signature = driver.sign_digest(reference, HashAlgorithm.SHA256, DIGEST)
    public = load_der_public_key(made.public_key)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature, DIGEST, ec.ECDSA(Prehashed(SHA256())))
    driver.logout()
    with pytest.raises(LoginRequired):
        driver.sign_digest(reference, HashAlgorithm.SHA256, DIGEST)


def test_a_transaction_is_signed_blindly_and_a_bank_that_accepts_it_reads_it(
    driver: PivDriver,
) -> None:
    with SigningToken(driver) as token, token.session() as session:
        session.prove_management_key(KnownManagementKey.DEFAULT)
        made = session.generate_key(KeyAlgorithm.P256, KeyUsage.AUTHENTICATION)
        assert made.label == "9c"
        session.import_certificates(issue(made.info.public_key))
        told: list[Progress] = []
        signature = session.sign_without_display(TRANSFER, pin="123456", progress=told.append)
    assert told == [TouchDue(certain=False)]
    blind_ca = TrustStore.load(pem(authority("Test Bank CA")))
    found = verify_transaction(signature.der, TrustStore(()), NOW, accept_blind=blind_ca)
    assert isinstance(found, BlindTransaction)
    assert found.transaction == TRANSFER


def test_what_the_card_has_not_is_said(driver: PivDriver) -> None:
    reference = key(driver)
    with pytest.raises(CapabilityMissing):
        driver.attest(reference)
    with pytest.raises(CapabilityMissing):
        driver.delete_key(reference)
