"""The bank's certification authority: one of its own in its database, or one reached by CMP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.lazy import lazy_names

if TYPE_CHECKING:
    from ushield.bank.authorities.certificates import PublicationPoints
    from ushield.bank.authorities.cmp.client import CmpAuthority
    from ushield.bank.authorities.cmp.http import CmpEndpoint
    from ushield.bank.authorities.cmp.protection import MacProtection, SignatureProtection
    from ushield.bank.authorities.crl_publisher import CrlPublisher, CrlUnpublished
    from ushield.bank.authorities.embedded import EmbeddedAuthority
    from ushield.bank.authorities.errors import (
        CaAnswerInvalid,
        CaOutcomeUnknown,
        CaPending,
        CaRefused,
        CaUnavailable,
    )
    from ushield.bank.authorities.key import AuthorityKey, ResponderKey
    from ushield.bank.authorities.ocsp_responder import OcspResponder
    from ushield.bank.authorities.protocol import (
        CertificateAuthority,
        CertificateProfile,
        RevocationReason,
        new_transaction_id,
    )
    from ushield.bank.authorities.request import CertificateRequestInvalid
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "certificates": ("PublicationPoints",),
            "cmp.client": ("CmpAuthority",),
            "cmp.http": ("CmpEndpoint",),
            "cmp.protection": ("MacProtection", "SignatureProtection"),
            "crl_publisher": ("CrlPublisher", "CrlUnpublished"),
            "embedded": ("EmbeddedAuthority",),
            "errors": (
                "CaAnswerInvalid",
                "CaOutcomeUnknown",
                "CaPending",
                "CaRefused",
                "CaUnavailable",
            ),
            "key": ("AuthorityKey", "ResponderKey"),
            "ocsp_responder": ("OcspResponder",),
            "protocol": (
                "CertificateAuthority",
                "CertificateProfile",
                "RevocationReason",
                "new_transaction_id",
            ),
            "request": ("CertificateRequestInvalid",),
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
    "CertificateRequestInvalid",
    "CmpAuthority",
    "CmpEndpoint",
    "CrlPublisher",
    "CrlUnpublished",
    "EmbeddedAuthority",
    "MacProtection",
    "OcspResponder",
    "PublicationPoints",
    "ResponderKey",
    "RevocationReason",
    "SignatureProtection",
    "new_transaction_id",
]
