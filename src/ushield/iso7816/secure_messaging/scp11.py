"""How a channel is opened: SCP11b, by which the card proves itself and the host does not.

The host makes a key for this session, the card as well; both agree on the secret of these two and
on that of the host's and the card's lasting one, and derive the session's keys from both. Who can
make the receipt has the card's lasting key. Source: GlobalPlatform Card Specification v2.3,
Amendment F, 3.1.2 (derivation), 6.5 and 7.6.2 (INTERNAL AUTHENTICATE); BSI TR-03111, 4.3.3 (the
KDF, which is that of ANSI X9.63).
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ushield.errors import ChannelBroken, TlvInvalid
from ushield.iso7816.secure_messaging.scp03 import CardMessages, HostMessages, SessionKeys
from ushield.iso7816.tlv import encode, read_template

__all__ = ["HostAgreement", "agree"]

_CONTROL_REFERENCE, _EPHEMERAL_KEY, _RECEIPT = 0xA6, 0x5F49, 0x86
_SCP11B = b"\x11\x00"
_ENCRYPTED_AND_MACED = b"\x3c"
_AES, _KEY_SIZE = b"\x88", b"\x10"
_PARAMETERS = encode(
    _CONTROL_REFERENCE,
    encode(0x90, _SCP11B)
    + encode(0x95, _ENCRYPTED_AND_MACED)
    + encode(0x80, _AES)
    + encode(0x81, _KEY_SIZE),
)
_SHARED_INFO = _ENCRYPTED_AND_MACED + _AES + _KEY_SIZE
_CURVE = ec.SECP256R1()
_SIZE = 16
_KEYS = 5  # for the receipt, for data, for commands' and for answers' MACs, and one unused here


class HostAgreement:
    """The host's side, for the card whose public key is ``card_key`` (P-256).

    Send ``request`` as the data of INTERNAL AUTHENTICATE, and `finish` with the answer.
    """

    def __init__(self, card_key: ec.EllipticCurvePublicKey) -> None:
        self._card_key = card_key
        self._key = ec.generate_private_key(_CURVE)
        self.request = _PARAMETERS + encode(_EPHEMERAL_KEY, _point(self._key))

    def finish(self, answer: bytes) -> HostMessages:
        """The session that the card has agreed to.

        `ChannelBroken` if the answer makes no sense, or is not of who has the key to ``card_key``.
        """
        try:
            template = read_template(answer, "answer to INTERNAL AUTHENTICATE")
            point, receipt = template.take(_EPHEMERAL_KEY), template.take(_RECEIPT)
            template.finish()
            card_ephemeral = ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, point)
        except (TlvInvalid, ValueError) as error:
            raise ChannelBroken(f"the token agrees on no keys: {error}") from error
        # Both secrets are of the host's one key: in SCP11b it has no lasting one.
        mac, keys = _derive(
            self._key.exchange(ec.ECDH(), card_ephemeral)
            + self._key.exchange(ec.ECDH(), self._card_key)
        )
        mac.update(self.request + encode(_EPHEMERAL_KEY, point))
        try:
            mac.verify(receipt)
        except InvalidSignature:
            raise ChannelBroken("the token has not the key that its certificate is for") from None
        return HostMessages(keys, receipt)


def agree(card_key: ec.EllipticCurvePrivateKey, request: bytes) -> tuple[bytes, CardMessages]:
    """The card's side: its answer to INTERNAL AUTHENTICATE, and the session.

    `TlvInvalid` for a ``request`` that is none, or asks for something else than SCP11b with
    AES-128, encryption and MAC both ways.
    """
    template = read_template(request, "INTERNAL AUTHENTICATE")
    control = encode(_CONTROL_REFERENCE, template.take(_CONTROL_REFERENCE))
    point = template.take(_EPHEMERAL_KEY)
    template.finish()
    if control != _PARAMETERS:
        raise TlvInvalid("INTERNAL AUTHENTICATE: other keys than are agreed on here")
    try:
        host_key = ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, point)
    except ValueError as error:
        raise TlvInvalid("INTERNAL AUTHENTICATE: no point of the curve") from error
    ephemeral = ec.generate_private_key(_CURVE)
    mac, keys = _derive(
        ephemeral.exchange(ec.ECDH(), host_key) + card_key.exchange(ec.ECDH(), host_key)
    )
    own = encode(_EPHEMERAL_KEY, _point(ephemeral))
    mac.update(request + own)
    receipt = mac.finalize()
    return own + encode(_RECEIPT, receipt), CardMessages(keys, receipt)


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _derive(secrets: bytes) -> tuple[CMAC, SessionKeys]:
    derived = X963KDF(SHA256(), _KEYS * _SIZE, _SHARED_INFO).derive(secrets)
    receipt, enc, mac, rmac = (derived[at : at + _SIZE] for at in range(0, 4 * _SIZE, _SIZE))
    return CMAC(AES(receipt)), SessionKeys(enc, mac, rmac)
