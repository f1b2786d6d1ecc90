"""Key and hash algorithms by the names every layer uses."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["HashAlgorithm", "KeyAlgorithm"]


class HashAlgorithm(StrEnum):
    """Hash functions of FIPS 180-4, named as ``hashlib`` and asn1crypto name them."""

    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"

    @property
    def digest_size(self) -> int:
        """Bytes of a digest."""
        return int(self.value[3:]) // 8


class KeyAlgorithm(StrEnum):
    """What kind of key pair: RSA by modulus length, EC by the NIST curve of FIPS 186-5."""

    RSA_2048 = "rsa2048"
    RSA_3072 = "rsa3072"
    RSA_4096 = "rsa4096"
    P256 = "p256"
    P384 = "p384"

    @property
    def is_rsa(self) -> bool:
        """RSA keys sign with PKCS #1 v1.5, the others with ECDSA (signature in DER)."""
        return self.value.startswith("rsa")

    @property
    def hash(self) -> HashAlgorithm:
        """The hash that goes with a transaction signature by this key."""
        return HashAlgorithm.SHA384 if self is KeyAlgorithm.P384 else HashAlgorithm.SHA256
