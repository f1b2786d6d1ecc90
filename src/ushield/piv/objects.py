"""What a PIV card answers, taken apart: application, certificates, metadata, public keys.

Cards of many makers come by here, and hostile ones: lengths need not be in their shortest form,
nothing is trusted, and everything has a bound. `TlvInvalid` for what makes no sense.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from ushield.algorithms import KeyAlgorithm
from ushield.errors import TlvInvalid
from ushield.iso7816.tlv import Template, encode, parse
from ushield.piv.commands import AID, ALGORITHM_CODE, RID, PinPolicy, TouchPolicy

__all__ = [
    "MAX_CERTIFICATE",
    "Application",
    "KeyMetadata",
    "SecretMetadata",
    "decode_certificate",
    "decode_guid",
    "decode_management_key",
    "decode_public_key",
    "decode_response",
    "encode_certificate",
    "encode_dynamic",
    "encode_tag_list",
    "unwrap",
]

MAX_CERTIFICATE = 16384
"""How long a certificate may be, once it is inflated."""
ALGORITHM_OF_CODE = {code: algorithm for algorithm, code in ALGORITHM_CODE.items()}

_DATA, _TAG_LIST = 0x53, 0x5C
_CERTIFICATE, _CERTIFICATE_FORM, _CHECK = 0x70, 0x71, 0xFE
_GZIP = b"\x1f\x8b"
_COMPRESSED = 0x01
_DYNAMIC = 0x7C
_RSA_BITS = {
    KeyAlgorithm.RSA_2048: 2048,
    KeyAlgorithm.RSA_3072: 3072,
    KeyAlgorithm.RSA_4096: 4096,
}
_POINT_SIZE = {KeyAlgorithm.P256: 65, KeyAlgorithm.P384: 97}
_NO_GUID = bytes(16)


def _template(data: bytes, what: str) -> Template:
    return Template(parse(data, nested=False, shortest=False), what)


def unwrap(data: bytes, tag: int, what: str) -> bytes:
    """The value of the one object with ``tag`` that ``data`` is."""
    template = _template(data, what)
    value = template.take(tag)
    template.finish()
    return value


@dataclass(frozen=True, slots=True)
class Application:
    """What SELECT answered: ``label`` is the maker's name for it, often empty."""

    label: str

    @classmethod
    def decode(cls, data: bytes) -> Application | None:
        """Read the application property template; ``None`` if it is not PIV's.

        Some cards leave its outer tag out (SP 800-73pt2-5, table 3).
        """
        try:
            objects = parse(data, nested=False, shortest=False)
            if [each.tag for each in objects] == [0x61]:
                objects = parse(objects[0].value, nested=False, shortest=False)
            template = Template(objects)
            name = template.take(0x4F)
            label = template.take_optional(0x50) or b""
        except TlvInvalid:
            return None
        pix = name.removeprefix(RID)
        if not pix.startswith(AID[len(RID) : len(RID) + 4]):
            return None
        text = "".join(one for one in label.decode(errors="replace")[:64] if one.isprintable())
        return cls(text.strip())


@dataclass(frozen=True, slots=True)
class SecretMetadata:
    """GET METADATA of PIN, PUK or management key; ``None`` for what it does not tell."""

    algorithm: int | None
    touch: TouchPolicy
    is_default: bool
    max_tries: int | None
    tries_left: int | None

    @classmethod
    def decode(cls, data: bytes) -> SecretMetadata:
        """Read one."""
        template = _template(data, "metadata")
        algorithm = template.take_optional(0x01)
        policies = template.take_optional(0x02) or b""
        is_default = template.take_optional(0x05) or b"\0"
        tries = template.take_optional(0x06)
        if tries is not None and (len(tries) != 2 or tries[1] > tries[0]):
            raise TlvInvalid("metadata: more tries left than there are")
        return cls(
            algorithm[0] if algorithm else None,
            _touch_policy(policies),
            is_default != b"\0",
            tries[0] if tries else None,
            tries[1] if tries else None,
        )


@dataclass(frozen=True, slots=True)
class KeyMetadata:
    """GET METADATA of a key pair. ``algorithm`` is ``None`` for one that is not used here;
    ``public_key`` is SubjectPublicKeyInfo in DER, empty where it is not told.
    """

    algorithm: KeyAlgorithm | None
    pin: PinPolicy
    touch: TouchPolicy
    generated: bool | None
    public_key: bytes

    @classmethod
    def decode(cls, data: bytes) -> KeyMetadata:
        """Read one."""
        template = _template(data, "metadata")
        algorithm = ALGORITHM_OF_CODE.get(template.take_int(0x01, 1))
        policies = template.take_optional(0x02) or b""
        origin = template.take_optional(0x03)
        public_key = template.take_optional(0x04)
        return cls(
            algorithm,
            PinPolicy(policies[0]) if policies and policies[0] <= 3 else PinPolicy.DEFAULT,
            _touch_policy(policies),
            None if origin is None else origin == b"\x01",
            decode_public_key(algorithm, public_key) if algorithm and public_key else b"",
        )


def _touch_policy(policies: bytes) -> TouchPolicy:
    return TouchPolicy(policies[1]) if len(policies) > 1 and policies[1] <= 3 else TouchPolicy(0)


def decode_public_key(algorithm: KeyAlgorithm, data: bytes) -> bytes:
    """SubjectPublicKeyInfo (DER) from modulus 81 and exponent 82, or point 86."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    template = _template(data, "public key")
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    try:
        if algorithm.is_rsa:
            modulus, exponent = (int.from_bytes(template.take(tag), "big") for tag in (0x81, 0x82))
            if modulus.bit_length() != _RSA_BITS[algorithm] or not 3 <= exponent < 1 << 32:
                raise TlvInvalid(f"public key: not that of an {algorithm} key")
            key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
        else:
            point = template.take(0x86)
            if len(point) != _POINT_SIZE[algorithm]:
                raise TlvInvalid(f"public key: not that of a {algorithm} key")
            curve = ec.SECP256R1() if algorithm is KeyAlgorithm.P256 else ec.SECP384R1()
            key = ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError as error:
        raise TlvInvalid(f"public key: {error}") from error
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def encode_tag_list(tag: int) -> bytes:
    """What GET DATA and PUT DATA name an object by."""
    return encode(_TAG_LIST, tag.to_bytes((tag.bit_length() + 7) // 8, "big"))


def encode_certificate(der: bytes) -> bytes:
    """A certificate's data object for PUT DATA, tag 53 included; an empty one deletes it."""
    if not der:
        return encode(_DATA, b"")
    content = encode(_CERTIFICATE, der) + encode(_CERTIFICATE_FORM, b"\x00") + encode(_CHECK, b"")
    return encode(_DATA, content)


def decode_certificate(data: bytes) -> bytes:
    """The certificate (DER) in a data object with tag 53; empty if the object is.

    It may be compressed (SP 800-73pt1-5, appendix A: CertInfo), with gzip, or by zlib behind four
    bytes as one maker does. It inflates to at most `MAX_CERTIFICATE` bytes.
    """
    value = unwrap(data, _DATA, "certificate object")
    if not value:
        return b""
    template = _template(value, "certificate object")
    certificate = template.take(_CERTIFICATE)
    form = template.take_optional(_CERTIFICATE_FORM) or b"\0"
    # Some write the bit of the standard's figure, which counts from the other side.
    if form[0] & _COMPRESSED or form[0] == 0x80:
        return _inflate(certificate)
    if len(certificate) > MAX_CERTIFICATE:
        raise TlvInvalid(f"certificate object: more than {MAX_CERTIFICATE} bytes")
    return certificate


def _inflate(data: bytes) -> bytes:
    if data.startswith(_GZIP):
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    elif data.startswith(b"\x01\x00"):
        inflater, data = zlib.decompressobj(), data[4:]
    else:
        raise TlvInvalid("certificate object: compressed in an unknown way")
    try:
        inflated = inflater.decompress(data, MAX_CERTIFICATE + 1)
    except zlib.error as error:
        raise TlvInvalid(f"certificate object: {error}") from error
    if len(inflated) > MAX_CERTIFICATE:
        raise TlvInvalid(f"certificate object: inflates to more than {MAX_CERTIFICATE} bytes")
    if not inflater.eof:
        raise TlvInvalid("certificate object: compressed data cut short")
    return inflated


def decode_guid(data: bytes) -> bytes:
    """The card's GUID in its CHUID; empty where it is all zeros (SP 800-73pt1-5, 3.1.2)."""
    guid = _template(unwrap(data, _DATA, "CHUID"), "CHUID").take(0x34)
    if len(guid) != len(_NO_GUID):
        raise TlvInvalid("CHUID: a GUID of another length")
    return b"" if guid == _NO_GUID else guid


def decode_management_key(data: bytes) -> bytes:
    """The management key that some cards keep behind the PIN, in "printed information"."""
    outer = _template(unwrap(data, _DATA, "printed information"), "printed information").take(0x88)
    key = _template(outer, "printed information").take(0x89)
    if len(key) not in (16, 24, 32):
        raise TlvInvalid("printed information: a management key of no length there is")
    return key


def encode_dynamic(*objects: tuple[int, bytes]) -> bytes:
    """A dynamic authentication template (SP 800-73pt2-5, table 7)."""
    return encode(_DYNAMIC, b"".join(encode(tag, value) for tag, value in objects))


def decode_response(data: bytes, tag: int) -> bytes:
    """One object of a dynamic authentication template."""
    return _template(unwrap(data, _DYNAMIC, "answer"), "answer").take(tag)
