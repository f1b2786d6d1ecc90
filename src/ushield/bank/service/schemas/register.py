"""Customers, their certificates and tokens."""

from __future__ import annotations

from ushield.bank.customers import CertificateState, TokenState
from ushield.bank.service.json_schema import (
    Schema,
    array_of,
    nullable,
    object_of,
    reference,
    text,
)
from ushield.bank.service.schemas.terms import BASE64, COUNT, INSTANT, PRINTABLE

__all__ = ["SCHEMAS"]

SCHEMAS: dict[str, Schema] = {
    "Customer": object_of(
        {
            "customer": reference("CustomerId"),
            "name": nullable(text()),
            "profile": nullable(text()),
        },
    ),
    "NewCustomer": object_of(
        {
            "name": nullable(text(PRINTABLE, minLength=1, maxLength=200)),
            "profile": nullable(text("^[0-9A-Za-z._-]{1,64}$")),
        },
        optional=("name", "profile"),
        description="The name is for the bank's log, the profile one of the policy's.",
    ),
    "Profile": object_of(
        {"profile": nullable(text("^[0-9A-Za-z._-]{1,64}$"))},
        description="One of the policy's; without one its default terms hold.",
    ),
    "CustomerProfile": object_of(
        {"customer": reference("CustomerId"), "profile": nullable(text())}
    ),
    "NewCertificate": object_of(
        {
            "token": reference("TokenSerial"),
            "certificate": text(
                BASE64,
                contentEncoding="base64",
                contentMediaType="application/pkix-cert",
                minLength=4,
                maxLength=22000,
                description="X.509 in DER (RFC 5280), in base64: PEM without its first, last and"
                " all ends of lines.",
            ),
        }
    ),
    "Certificate": object_of(
        {
            "sha256": reference("Sha256"),
            "serial_number": text("^[0-9a-f]+$", description="The issuer's, hexadecimal."),
            "token": reference("TokenSerial"),
            "customer": reference("CustomerId"),
            "state": {"enum": [each.value for each in CertificateState]},
            "changed": INSTANT,
        }
    ),
    "CertificateStateChange": object_of(
        {"state": {"enum": [each.value for each in CertificateState]}},
        description="`suspended` and back to `active`, or `revoked`, which is for good.",
    ),
    "Token": object_of(
        {
            "token": reference("TokenSerial"),
            "customer": reference("CustomerId"),
            "state": {"enum": [each.value for each in TokenState]},
            "counter": {**COUNT, "description": "The highest accepted from it."},
            "changed": INSTANT,
            "alarms": {
                **COUNT,
                "description": "Signatures, and challenges to unblock, with a counter passed.",
            },
            "alarmed": nullable(INSTANT),
            "person": nullable(text(description="Who has it; null is the customer.")),
            "checks": {"type": "boolean", "description": "They may check payments."},
        }
    ),
    "Assignment": object_of(
        {
            "person": reference("CustomerId"),
            "checks": {"type": "boolean", "default": False},
        },
        optional=("checks",),
    ),
    "Due": object_of(
        {
            "due": array_of(
                object_of(
                    {
                        "kind": text("^[a-z]+(-[a-z]+)*$"),
                        "customer": reference("CustomerId"),
                        "due": INSTANT,
                        "token": reference("TokenSerial"),
                        "certificate_sha256": reference("Sha256"),
                        "enrolment": reference("Identifier"),
                        "request": reference("Identifier"),
                    },
                    optional=("token", "certificate_sha256", "enrolment", "request"),
                ),
                description="The earliest first.",
            )
        }
    ),
}
