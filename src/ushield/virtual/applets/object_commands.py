"""GET DATA and PUT DATA: what the token tells, and the certificates and the label it keeps."""

from __future__ import annotations

from collections.abc import Callable

from ushield.errors import CertificateInvalid
from ushield.iso7816.status import StatusWord
from ushield.iso7816.tlv import read_template
from ushield.pin import PinReference
from ushield.shield.application import encode_pin_state
from ushield.shield.commands import DataObject
from ushield.shield.objects import StoredCertificate, read_tag_list
from ushield.shield.requests import DisplayRefusal
from ushield.virtual.applets.firmware import Firmware, refused
from ushield.virtual.applets.text import check_label
from ushield.virtual.create import MAX_LABEL
from ushield.virtual.nvram import CertificateRecord

__all__ = ["ObjectCommands"]


class ObjectCommands:
    """GET DATA and PUT DATA. ``last_refusal`` tells why BEGIN last answered 9504, if it did."""

    def __init__(
        self, firmware: Firmware, last_refusal: Callable[[], DisplayRefusal | None]
    ) -> None:
        self._firmware = firmware
        self._last_refusal = last_refusal
        self._readers: dict[int, Callable[[], bytes]] = {
            DataObject.PIN_STATES: self._pin_states,
            DataObject.KEYS: self._keys,
            DataObject.CERTIFICATES: self._certificates,
            DataObject.COUNTERS: self._counters,
            DataObject.DEVICE_CERTIFICATE: self._device_certificate,
            DataObject.LABEL: self._label,
            DataObject.LAST_REFUSAL: self._refusal,
            DataObject.UNBLOCK_KEY: self._unblock_key,
            DataObject.CHANNEL_CERTIFICATE: self._channel_certificate,
        }

    def get(self, p1: int, p2: int, data: bytes) -> bytes:
        """The object that the tag list names."""
        template = read_template(data, "tag list")
        tag, slot = read_tag_list(template)
        template.finish()
        if tag == DataObject.CERTIFICATE:
            if slot is None:
                raise refused(StatusWord.WRONG_DATA)
            return self._firmware.nvram.certificate(slot).der
        reader = self._readers.get(tag)
        if reader is None:
            raise refused(StatusWord.REFERENCED_DATA_NOT_FOUND)
        if slot is not None:
            raise refused(StatusWord.WRONG_DATA)
        return reader()

    def put(self, p1: int, p2: int, data: bytes) -> bytes:
        """Store a certificate or the label; the certificate's slot."""
        template = read_template(data, "data to store")
        tag, slot = read_tag_list(template)
        value = template.take(0x53)
        template.finish()
        if tag == DataObject.CERTIFICATE:
            stored = StoredCertificate.decode_value(slot or 0, value)
            self._firmware.require_pin()
            return self._store(stored) if stored.der else self._delete(stored.slot)
        if tag != DataObject.LABEL:
            raise refused(StatusWord.REFERENCED_DATA_NOT_FOUND)
        label = check_label(value, MAX_LABEL)
        self._firmware.require_pin()
        self._firmware.nvram.set_label(label)
        return b""

    def _store(self, stored: StoredCertificate) -> bytes:
        nvram = self._firmware.nvram
        check_label(stored.label.encode())
        public_key = _public_key(stored.der)
        key_id = b""
        slot = stored.slot
        certificates = nvram.certificates()
        if stored.is_ca:
            slot = slot or next((one.slot for one in certificates if one.der == stored.der), 0)
        else:
            key_id = self._key_id(public_key)
            _check_only(certificates, key_id, slot)
        return bytes(
            (
                nvram.put_certificate(
                    stored.der, slot=slot, key_id=key_id, label=stored.label, is_ca=stored.is_ca
                ),
            )
        )

    def _key_id(self, public_key: bytes) -> bytes:
        keys = self._firmware.nvram.keys()
        for key in keys:
            if key.public_key == public_key:
                return key.key_id
        raise refused(StatusWord.WRONG_DATA)

    def _delete(self, slot: int) -> bytes:
        self._firmware.nvram.delete_certificate(slot)
        return b""

    def _pin_states(self) -> bytes:
        verified = self._firmware.panel.state.pin_unused
        nvram = self._firmware.nvram
        return b"".join(
            encode_pin_state(
                nvram.reference(reference).state(
                    reference, verified=verified and reference is PinReference.USER
                )
            )
            for reference in PinReference
        )

    def _keys(self) -> bytes:
        keys = self._firmware.nvram.keys()
        return b"".join(key.entry().encode() for key in keys)

    def _certificates(self) -> bytes:
        return b"".join(one.entry().encode() for one in self._firmware.nvram.certificates())

    def _counters(self) -> bytes:
        return self._firmware.nvram.counters().encode()

    def _device_certificate(self) -> bytes:
        return self._firmware.nvram.identity.device_certificate

    def _channel_certificate(self) -> bytes:
        return self._firmware.channel_keys.certificate

    def _label(self) -> bytes:
        return self._firmware.nvram.identity.label.encode()

    def _refusal(self) -> bytes:
        refusal = self._last_refusal()
        if refusal is None:
            raise refused(StatusWord.REFERENCED_DATA_NOT_FOUND)
        return refusal.encode()

    def _unblock_key(self) -> bytes:
        unblock_key = self._firmware.nvram.identity.unblock_key
        if unblock_key is None:
            raise refused(StatusWord.REFERENCED_DATA_NOT_FOUND)
        return unblock_key


def _check_only(certificates: tuple[CertificateRecord, ...], key_id: bytes, slot: int) -> None:
    """A key has one certificate, so that the host cannot choose which one a signature names."""
    for one in certificates:
        if slot and one.key_id == key_id and one.slot != slot:
            raise refused(StatusWord.CONDITIONS_NOT_SATISFIED)


def _public_key(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate in DER; `CertificateInvalid`."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        public_key = x509.load_der_x509_certificate(certificate).public_key()
        return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise CertificateInvalid(f"no certificate: {error}") from error
