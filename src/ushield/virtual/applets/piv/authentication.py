"""GENERAL AUTHENTICATE: keys used for the host, and the management key proven to the card."""

from __future__ import annotations

import hmac
import os

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from ushield.algorithms import KeyAlgorithm
from ushield.errors import ObjectNotFound
from ushield.iso7816.status import StatusWord
from ushield.iso7816.tlv import Template, encode, parse_one, read_template
from ushield.piv.ciphers import encrypt_block
from ushield.piv.commands import ALGORITHM_CODE, KEY_SLOTS, ManagementAlgorithm, Reference
from ushield.virtual.applets.firmware import refused
from ushield.virtual.applets.piv.keys import apply_private_key
from ushield.virtual.applets.piv.session import PivSession, Question
from ushield.virtual.keys import load_private_key
from ushield.virtual.nvram import ManagementKey, PivKey

__all__ = ["Authentication"]

_DYNAMIC = 0x7C
_WITNESS, _CHALLENGE, _RESPONSE, _EXPONENTIATION = 0x80, 0x81, 0x82, 0x85
_ANY_ALGORITHM = 0x00
_HASH = {KeyAlgorithm.P256: SHA256(), KeyAlgorithm.P384: SHA384()}
_MANAGE = Question(("PIV", "管理密钥"), ("PIV", "manage keys"))
_MOST_DIGEST = 64


class Authentication:
    """GENERAL AUTHENTICATE and SET MANAGEMENT KEY."""

    def __init__(self, session: PivSession) -> None:
        self._session = session
        self._nvram = session.firmware.nvram

    def authenticate(self, p1: int, p2: int, data: bytes) -> bytes:
        """Use a key on the host's data, or take a step in proving the management key."""
        challenge, self._session.challenge = self._session.challenge, None
        dynamic = parse_one(data)
        if dynamic.tag != _DYNAMIC:
            raise refused(StatusWord.WRONG_DATA)
        template = read_template(dynamic.value, "dynamic authentication")
        if p2 == Reference.MANAGEMENT_KEY:
            answer = self._manage(p1, template, challenge)
        elif p2 in KEY_SLOTS:
            answer = encode(_RESPONSE, self._use(p1, p2, template))
        else:
            raise refused(StatusWord.WRONG_PARAMETERS)
        return encode(_DYNAMIC, answer) if answer else b""

    def _use(self, algorithm: int, slot: int, template: Template) -> bytes:
        try:
            key = self._nvram.piv_key(slot)
        except ObjectNotFound:
            raise refused(StatusWord.REFERENCED_DATA_NOT_FOUND) from None
        if algorithm != ALGORITHM_CODE[key.algorithm]:
            raise refused(StatusWord.WRONG_PARAMETERS)
        if template.take_optional(_RESPONSE):
            raise refused(StatusWord.WRONG_DATA)
        point = template.take_optional(_EXPONENTIATION)
        block = b"" if point else template.take(_CHALLENGE)
        template.finish()
        private_key = load_private_key(key.private_key)
        if isinstance(private_key, rsa.RSAPrivateKey):
            if point is not None or len(block) != private_key.key_size // 8:
                raise refused(StatusWord.WRONG_DATA)
            self._session.authorise(key, _question(key, "签名/解密", "sign/decrypt"))
            return apply_private_key(private_key, block)
        if point:
            return self._agree(key, private_key, point)
        if not 1 <= len(block) <= _MOST_DIGEST:
            raise refused(StatusWord.WRONG_DATA)
        self._session.authorise(key, _question(key, "签名", "sign"))
        hashed = _HASH[key.algorithm]
        # The leftmost bits of a longer digest (FIPS 186-5, 6.4.1); a shorter one is its number.
        digest = block[: hashed.digest_size].rjust(hashed.digest_size, b"\0")
        return private_key.sign(digest, ec.ECDSA(Prehashed(hashed)))

    def _agree(self, key: PivKey, private_key: ec.EllipticCurvePrivateKey, point: bytes) -> bytes:
        try:
            peer = ec.EllipticCurvePublicKey.from_encoded_point(private_key.curve, point)
        except ValueError:
            raise refused(StatusWord.WRONG_DATA) from None
        self._session.authorise(key, _question(key, "密钥协商", "agree on key"))
        return private_key.exchange(ec.ECDH(), peer)

    def _manage(
        self, algorithm: int, template: Template, challenge: tuple[bool, bytes] | None
    ) -> bytes:
        management = self._nvram.management_key()
        if algorithm not in (_ANY_ALGORITHM, management.algorithm):
            raise refused(StatusWord.WRONG_PARAMETERS)
        witness = template.take_optional(_WITNESS)
        asked = template.take_optional(_CHALLENGE)
        response = template.take_optional(_RESPONSE)
        template.finish()
        match witness, asked, response:
            case b"", None, None:
                secret = self._challenge(management, mutual=True)
                return encode(_WITNESS, _encrypt(management, secret))
            case None, b"", None:
                return encode(_CHALLENGE, self._challenge(management, mutual=False))
            case bytes(), bytes(), None | b"" if witness and asked:
                size = management.algorithm.block_size
                if len(asked) != size:
                    raise refused(StatusWord.WRONG_DATA)
                self._prove(management, challenge, witness, mutual=True)
                return encode(_RESPONSE, _encrypt(management, asked))
            case None, None, bytes() if response:
                self._prove(management, challenge, response, mutual=False)
                return b""
        # Among them a challenge to answer without a witness: the answer to it is what a host
        # that has not the key would want to hear.
        raise refused(StatusWord.WRONG_DATA)

    def _challenge(self, management: ManagementKey, *, mutual: bool) -> bytes:
        secret = os.urandom(management.algorithm.block_size)
        self._session.challenge = (mutual, secret)
        return secret

    def _prove(
        self,
        management: ManagementKey,
        challenge: tuple[bool, bytes] | None,
        answer: bytes,
        *,
        mutual: bool,
    ) -> None:
        if challenge is None or challenge[0] is not mutual:
            raise refused(StatusWord.CONDITIONS_NOT_SATISFIED)
        expected = challenge[1] if mutual else _encrypt(management, challenge[1])
        if not hmac.compare_digest(expected, answer):
            self._session.administrator = False
            raise refused(StatusWord.SECURITY_STATUS_NOT_SATISFIED)
        if management.touch:
            self._session.touch(_MANAGE)
        self._session.administrator = True
        self._session.prove()

    def set_management_key(self, p1: int, p2: int, data: bytes) -> bytes:
        """Replace the management key; P2 FE makes it want a press of OK as well."""
        self._session.require_administrator()
        if p1 != 0xFF or p2 not in (0xFF, 0xFE):
            raise refused(StatusWord.WRONG_PARAMETERS)
        if len(data) < 3 or data[0] not in tuple(ManagementAlgorithm):
            raise refused(StatusWord.WRONG_DATA)
        algorithm = ManagementAlgorithm(data[0])
        key = data[3:]
        if data[1] != Reference.MANAGEMENT_KEY or not data[2] == len(key) == algorithm.key_size:
            raise refused(StatusWord.WRONG_DATA)
        self._nvram.set_management_key(ManagementKey(algorithm, key, touch=p2 == 0xFE))
        return b""


def _question(key: PivKey, chinese: str, english: str) -> Question:
    slot = f"{key.slot:02X}"
    return Question((f"PIV {slot}", chinese), (f"PIV {slot}", english))


def _encrypt(management: ManagementKey, block: bytes) -> bytes:
    return encrypt_block(management.algorithm, management.key, block)
