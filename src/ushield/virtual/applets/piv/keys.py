"""Key pairs of PIV: their public halves as templates, their parts as they are imported."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ushield.algorithms import KeyAlgorithm
from ushield.errors import InputInvalid
from ushield.iso7816.tlv import Template, encode
from ushield.virtual.keys import PrivateKey, PublicKey

__all__ = ["apply_private_key", "read_private_key", "write_public_key"]

_MODULUS, _EXPONENT, _POINT = 0x81, 0x82, 0x86
_PUBLIC_EXPONENT = 65537
_RSA_BYTES = {KeyAlgorithm.RSA_2048: 256, KeyAlgorithm.RSA_3072: 384, KeyAlgorithm.RSA_4096: 512}
_CURVE = {KeyAlgorithm.P256: ec.SECP256R1(), KeyAlgorithm.P384: ec.SECP384R1()}
_PRIMES_AND_EXPONENTS = (0x01, 0x02, 0x03, 0x04, 0x05)
_SCALAR = 0x06


def write_public_key(key: PublicKey) -> bytes:
    """Modulus 81 and exponent 82, or point 86 (SP 800-73pt2-5, 3.3.2): what 7F49 holds."""
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return encode(_MODULUS, numbers.n.to_bytes(key.key_size // 8, "big")) + encode(
            _EXPONENT, numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")
        )
    return encode(_POINT, key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def read_private_key(algorithm: KeyAlgorithm, parts: Template) -> PrivateKey:
    """Put a key pair together: p, q, dp, dq and qinv of an RSA key, or the scalar of an EC one.

    `InputInvalid` for parts that are no key pair of this kind; the exponent is 65537.
    """
    try:
        if algorithm.is_rsa:
            return _rsa_key(_RSA_BYTES[algorithm], parts)
        scalar = int.from_bytes(parts.take(_SCALAR), "big")
        return ec.derive_private_key(scalar, _CURVE[algorithm])
    except ValueError as error:
        raise InputInvalid("these parts are no key pair") from error


def _rsa_key(size: int, parts: Template) -> rsa.RSAPrivateKey:
    p, q, dp, dq, qinv = (int.from_bytes(parts.take(tag), "big") for tag in _PRIMES_AND_EXPONENTS)
    if min(p, q) < 3 or (p * q).bit_length() != size * 8:
        raise ValueError("primes of another length")
    d = pow(_PUBLIC_EXPONENT, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(_PUBLIC_EXPONENT, p * q)
    return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qinv, public).private_key()


def apply_private_key(key: rsa.RSAPrivateKey, block: bytes) -> bytes:
    """The block raised to the private exponent: the host padded it, or takes the padding off.

    `InputInvalid` unless it is a number below the modulus, in as many bytes.
    """
    numbers = key.private_numbers()
    n = numbers.public_numbers.n
    value = int.from_bytes(block, "big")
    if len(block) != key.key_size // 8 or value >= n:
        raise InputInvalid("not a block of this key's length, below its modulus")
    first = pow(value, numbers.dmp1, numbers.p)
    second = pow(value, numbers.dmq1, numbers.q)
    result = second + numbers.q * (numbers.iqmp * (first - second) % numbers.p)
    # One wrong half would give the primes away (Boneh, DeMillo, Lipton).
    if pow(result, numbers.public_numbers.e, n) != value:
        raise InputInvalid("this key pair does not fit together")
    return result.to_bytes(len(block), "big")
