"""What things are called, and signatures."""

from __future__ import annotations

from ushield.bank.service.json_schema import Schema, hexadecimal, text
from ushield.bank.service.schemas.terms import BASE64

__all__ = ["SCHEMAS"]

SCHEMAS: dict[str, Schema] = {
    "CustomerId": text(
        "^[0-9A-Za-z._-]{1,64}$",
        description="The bank's own id of a customer; one that says nothing about the person.",
    ),
    "TokenSerial": text("^[0-9A-Za-z._-]{1,64}$", description="A token's serial number."),
    "ChallengeId": {**hexadecimal(32), "description": "128 random bits."},
    "Sha256": {**hexadecimal(64), "description": "A SHA-256 digest."},
    "Signature": text(
        BASE64,
        contentEncoding="base64",
        contentMediaType="application/pkcs7-signature",
        minLength=4,
        maxLength=44000,
        description="CMS SignedData in DER (RFC 5652), in base64.",
    ),
    "Identifier": {**hexadecimal(32), "description": "128 random bits."},
}
