"""The bank's certification authority: one of its own in its database, or one reached by CMP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.lazy import lazy_names

if TYPE_CHECKING:
    from ushield.bank.authorities.certificates import PublicationPoints
    from ushield.bank.authorities.embedded import EmbeddedAuthority
    from ushield.bank.authorities.errors import (
        CaAnswerInvalid,
        CaOutcomeUnknown,
        CaPending,
        CaRefused,
        CaUnavailable,
    )
    from ushield.bank.authorities.key import AuthorityKey
    from ushield.bank.authorities.protocol import (
        CertificateAuthority,
        CertificateProfile,
        RevocationReason,
        new_transaction_id,
    )
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "certificates": ("PublicationPoints",),
            "embedded": ("EmbeddedAuthority",),
            "errors": (
                "CaAnswerInvalid",
                "CaOutcomeUnknown",
                "CaPending",
                "CaRefused",
                "CaUnavailable",
            ),
            "key": ("AuthorityKey",),
            "protocol": (
                "CertificateAuthority",
                "CertificateProfile",
                "RevocationReason",
                "new_transaction_id",
            ),
        },
    )

__all__ = [
    "AuthorityKey",
    "CaAnswerInvalid",
    "CaOutcomeUnknown",
    "CaPending",
    "CaRefused",
    "CaUnavailable",
    "CertificateAuthority",
    "CertificateProfile",
    "EmbeddedAuthority",
    "PublicationPoints",
    "RevocationReason",
    "new_transaction_id",
]
