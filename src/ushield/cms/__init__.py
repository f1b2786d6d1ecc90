"""CMS (RFC 5652): what the token signs, what the host assembles, what the bank takes apart.

asn1crypto is imported when something that needs it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ushield.cms.attributes import SignedAttributes, signed_attributes
    from ushield.cms.parsing import (
        MAX_SIGNED_DATA,
        ParsedSignature,
        SignedDataFault,
        SignedDataInvalid,
        parse_signed_data,
    )
    from ushield.cms.receipt import Receipt, ReceiptInvalid
    from ushield.cms.signed_data import assemble

__all__ = [
    "MAX_SIGNED_DATA",
    "ParsedSignature",
    "Receipt",
    "ReceiptInvalid",
    "SignedAttributes",
    "SignedDataFault",
    "SignedDataInvalid",
    "assemble",
    "parse_signed_data",
    "signed_attributes",
]

_HOMES = {
    "MAX_SIGNED_DATA": "parsing",
    "ParsedSignature": "parsing",
    "Receipt": "receipt",
    "ReceiptInvalid": "receipt",
    "SignedAttributes": "attributes",
    "SignedDataFault": "parsing",
    "SignedDataInvalid": "parsing",
    "assemble": "signed_data",
    "parse_signed_data": "parsing",
    "signed_attributes": "attributes",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
