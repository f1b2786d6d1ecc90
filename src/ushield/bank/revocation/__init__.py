"""Revocation: which certificates a CA has taken back, known from its CRLs and OCSP responses.

Loading an index needs no network: CRLs and responses are handed in, or fetched by a
`RevocationRefresher` in the background. What is out of date says so and is never taken for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.lazy import lazy_names

if TYPE_CHECKING:
    from ushield.bank.revocation.catalogue import RevocationCatalogue
    from ushield.bank.revocation.crl import RevocationList
    from ushield.bank.revocation.evidence import RevocationInvalid
    from ushield.bank.revocation.history import Knowledge, historic_index
    from ushield.bank.revocation.index import RevocationIndex
    from ushield.bank.revocation.ocsp import OcspQuery, OcspStatement
    from ushield.bank.revocation.refresh import RevocationRefresher
    from ushield.bank.revocation.schedule import RefreshSchedule
    from ushield.bank.revocation.sources import (
        FileSource,
        HttpSource,
        RevocationSource,
        RevocationUnavailable,
    )
    from ushield.bank.revocation.watch import OcspWatch
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "catalogue": ("RevocationCatalogue",),
            "crl": ("RevocationList",),
            "evidence": ("RevocationInvalid",),
            "history": ("Knowledge", "historic_index"),
            "index": ("RevocationIndex",),
            "ocsp": ("OcspQuery", "OcspStatement"),
            "refresh": ("RevocationRefresher",),
            "schedule": ("RefreshSchedule",),
            "sources": ("FileSource", "HttpSource", "RevocationSource", "RevocationUnavailable"),
            "watch": ("OcspWatch",),
        },
    )

__all__ = [
    "FileSource",
    "HttpSource",
    "Knowledge",
    "OcspQuery",
    "OcspStatement",
    "OcspWatch",
    "RefreshSchedule",
    "RevocationCatalogue",
    "RevocationIndex",
    "RevocationInvalid",
    "RevocationList",
    "RevocationRefresher",
    "RevocationSource",
    "RevocationUnavailable",
    "historic_index",
]
