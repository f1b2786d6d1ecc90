"""One block through the cipher of a management key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.piv.commands import ManagementAlgorithm

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.modes import ECB

__all__ = ["decrypt_block", "encrypt_block"]


def encrypt_block(algorithm: ManagementAlgorithm, key: bytes, block: bytes) -> bytes:
    """``block`` encrypted; ``ValueError`` for a key or a block of another length."""
    encryptor = _cipher(algorithm, key).encryptor()
    return encryptor.update(block) + encryptor.finalize()


def decrypt_block(algorithm: ManagementAlgorithm, key: bytes, block: bytes) -> bytes:
    """``block`` decrypted; ``ValueError`` for a key or a block of another length."""
    decryptor = _cipher(algorithm, key).decryptor()
    return decryptor.update(block) + decryptor.finalize()


def _cipher(algorithm: ManagementAlgorithm, key: bytes) -> Cipher[ECB]:
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import ECB

    # One block at a time: the challenges of SP 800-73pt2-5, appendix A.
    if algorithm is ManagementAlgorithm.TRIPLE_DES:
        return Cipher(TripleDES(key), ECB())  # noqa: S305 - see above
    return Cipher(AES(key), ECB())  # noqa: S305 - see above
