"""What a locked token asks its bank to sign, read strictly.

The bank signs the bytes as the token sent them, so they must be in the one form that the token's
protocol gives them (docs/protocol.md, UNBLOCK CHALLENGE): nothing else is signed with this key.
"""

from __future__ import annotations

from dataclasses import dataclass

from ushield.bank.lifecycle.refusals import UnblockChallengeInvalid

__all__ = ["UnblockChallenge"]

_SERIAL, _NONCE, _COUNTER, _PROOF = 0x80, 0x81, 0x82, 0x83
_NONCE_SIZE, _COUNTER_SIZE = 16, 4
_LONGEST_SERIAL = 64
_CLAIM = b"ushield unblock challenge 1\0"


@dataclass(frozen=True, slots=True)
class UnblockChallenge:
    """``serial`` is the token's, ``nonce`` 16 bytes, ``counter`` how often a bank unblocked it.

    ``encoded`` are the very bytes: 80 serial (UTF-8), 81 nonce, 82 counter (4 bytes, big-endian),
    and 83 the ``proof``: the device key's signature over ``claim``, of tokens that have such a key.
    """

    serial: str
    nonce: bytes
    counter: int
    encoded: bytes
    claim: bytes
    proof: bytes | None

    @classmethod
    def parse(cls, data: bytes) -> UnblockChallenge:
        """Read the answer to UNBLOCK CHALLENGE; `UnblockChallengeInvalid` for anything else."""
        serial, rest = _take(data, _SERIAL)
        nonce, rest = _take(rest, _NONCE)
        counter, rest = _take(rest, _COUNTER)
        claim = _CLAIM + data[: len(data) - len(rest)]
        proof = None
        if rest:
            proof, rest = _take(rest, _PROOF)
        if rest or len(nonce) != _NONCE_SIZE or len(counter) != _COUNTER_SIZE:
            raise _invalid()
        try:
            text = serial.decode()
        except UnicodeDecodeError:
            raise _invalid() from None
        if not 1 <= len(text) <= _LONGEST_SERIAL:
            raise _invalid()
        return cls(text, nonce, int.from_bytes(counter, "big"), data, claim, proof)

    def is_proved_by(self, device: bytes) -> bool:
        """Whether the key of a device's certificate (DER) signed it."""
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA256

        if self.proof is None:
            return False
        try:
            key = x509.load_der_x509_certificate(device).public_key()
            if not isinstance(key, ec.EllipticCurvePublicKey):
                return False
            key.verify(self.proof, self.claim, ec.ECDSA(SHA256()))
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            return False
        return True


def _take(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The value of the object ``tag``, whose length is in one byte, and what comes after it."""
    if len(data) < 2 or data[0] != tag or data[1] > 0x7F or len(data) < 2 + data[1]:
        raise _invalid()
    end = 2 + data[1]
    return data[2:end], data[end:]


def _invalid() -> UnblockChallengeInvalid:
    return UnblockChallengeInvalid("that is no unblock challenge of a token")
