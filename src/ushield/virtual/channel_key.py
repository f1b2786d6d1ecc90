"""The key that the card agrees on secure channels with, made when it is first needed."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ushield.errors import TokenFileInvalid
from ushield.iso7816.secure_messaging.scp03 import CardMessages
from ushield.iso7816.secure_messaging.scp11 import agree
from ushield.virtual.attestation import make_channel_key
from ushield.virtual.keys import load_private_key
from ushield.virtual.nvram import ChannelKey, Nvram

__all__ = ["ChannelKeys"]


class ChannelKeys:
    """The one key of its kind in a token's NVRAM; a token file of before there was one gets it."""

    def __init__(self, nvram: Nvram) -> None:
        self._nvram = nvram
        self._stored: ChannelKey | None = None
        self._loaded: ec.EllipticCurvePrivateKey | None = None

    @property
    def device_certificate(self) -> bytes:
        """The certificate above `certificate`, in DER."""
        return self._nvram.identity.device_certificate

    @property
    def certificate(self) -> bytes:
        """The certificate of the key by the device key, in DER. `StorageFull`."""
        return self._key().certificate

    @property
    def authority(self) -> bytes:
        """The device key's identifier, as its certificate tells it."""
        certificate = x509.load_der_x509_certificate(self.device_certificate)
        extension = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return extension.value.digest

    def agree(self, request: bytes) -> tuple[bytes, CardMessages]:
        """The answer to INTERNAL AUTHENTICATE, and the session; `TlvInvalid`, `StorageFull`."""
        key = self._loaded
        if key is None:
            key = self._loaded = self._load()
        return agree(key, request)

    def _key(self) -> ChannelKey:
        if self._stored is None:
            self._stored = self._nvram.channel_key()
        if self._stored is None:
            key = make_channel_key(self._nvram.identity)
            self._nvram.set_channel_key(key)
            self._stored = key
        return self._stored

    def _load(self) -> ec.EllipticCurvePrivateKey:
        try:
            key = load_private_key(self._key().private_key)
        except ValueError:
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TokenFileInvalid(
                f"the key for secure channels in {self._nvram.path} is damaged",
                path=self._nvram.path,
                remedy="Restore the file from a copy, or create a new token.",
            )
        return key
