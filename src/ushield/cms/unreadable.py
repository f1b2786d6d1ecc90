"""What cryptography raises at parts of a certificate that it cannot represent."""

from __future__ import annotations

__all__ = ["unreadable"]


def unreadable() -> tuple[type[Exception], ...]:
    """The exceptions to catch wherever a certificate that somebody else chose is looked at.

    They come as soon as a part is asked for, not when the certificate is loaded: for a time in the
    year 0, an X.400 address, a TLS feature without a name, a key of an unknown kind. A function,
    so that cryptography is loaded only where it is used::

        try: ..
        except unreadable() as error: ..
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    return (
        ValueError,
        TypeError,
        KeyError,
        UnsupportedAlgorithm,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    )
