"""CMS (RFC 5652): what the token signs, what the host assembles, what the bank takes apart.

asn1crypto is imported when something that needs it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.lazy import lazy_names

if TYPE_CHECKING:
    from ushield.cms.attributes import signed_attributes
    from ushield.cms.blind import BlindStatement, BlindStatementInvalid
    from ushield.cms.parsing import (
        MAX_SIGNED_DATA,
        ParsedSignature,
        SignedDataFault,
        SignedDataInvalid,
        parse_signed_data,
    )
    from ushield.cms.receipt import Receipt, ReceiptInvalid
    from ushield.cms.signed_data import assemble
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "attributes": ("signed_attributes",),
            "blind": ("BlindStatement", "BlindStatementInvalid"),
            "parsing": (
                "MAX_SIGNED_DATA",
                "ParsedSignature",
                "SignedDataFault",
                "SignedDataInvalid",
                "parse_signed_data",
            ),
            "receipt": ("Receipt", "ReceiptInvalid"),
            "signed_data": ("assemble",),
        },
    )

__all__ = [
    "MAX_SIGNED_DATA",
    "BlindStatement",
    "BlindStatementInvalid",
    "ParsedSignature",
    "Receipt",
    "ReceiptInvalid",
    "SignedDataFault",
    "SignedDataInvalid",
    "assemble",
    "parse_signed_data",
    "signed_attributes",
]
