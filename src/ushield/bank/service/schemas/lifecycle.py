"""Enrolments, renewals, unblocking, revocations."""

from __future__ import annotations

from ushield.bank.lifecycle.records import EnrolmentState
from ushield.bank.lifecycle.unblock_records import UnblockState
from ushield.bank.service.json_schema import Schema, array_of, nullable, object_of, reference, text
from ushield.bank.service.schemas.terms import COUNT, INSTANT, PRINTABLE, TRANSACTION, der

__all__ = ["SCHEMAS"]

SCHEMAS: dict[str, Schema] = {
    "NewEnrolment": object_of(
        {
            "customer": reference("CustomerId"),
            "token": nullable(reference("TokenSerial")),
            "replaces": nullable(reference("TokenSerial")),
        },
        optional=("token", "replaces"),
        description="`token`: the one that was handed out, if that is known.",
    ),
    "Registration": object_of(
        {
            "enrolment": reference("Identifier"),
            "customer": reference("CustomerId"),
            "expires": INSTANT,
            "code": text(description="For the customer and nobody else; it is told once."),
        }
    ),
    "Attestation": object_of(
        {
            "certificate": der("The token's answer to ATTEST", "application/pkix-cert"),
            "device": der("The device key's certificate", "application/pkix-cert"),
        }
    ),
    "EnrolmentRequest": object_of(
        {
            "code": text(PRINTABLE, maxLength=64, description="As the customer typed it."),
            "request": der("PKCS #10 (RFC 2986)", "application/pkcs10"),
            "attestation": reference("Attestation"),
        }
    ),
    "RenewalRequest": object_of(
        {
            "request": der("PKCS #10 (RFC 2986)", "application/pkcs10"),
            "attestation": reference("Attestation"),
        }
    ),
    "Renewal": object_of(
        {
            "enrolment": reference("Identifier"),
            "challenge": reference("ChallengeId"),
            "customer": reference("CustomerId"),
            "expires": INSTANT,
            "transaction": reference(TRANSACTION),
        }
    ),
    "Resumption": object_of({"anew": {"type": "boolean", "default": False}}, optional=("anew",)),
    "Confirmation": object_of({"certificate_sha256": reference("Sha256")}),
    "Enrolment": object_of(
        {
            "enrolment": reference("Identifier"),
            "customer": reference("CustomerId"),
            "state": {"enum": [each.value for each in EnrolmentState]},
            "token": nullable(reference("TokenSerial")),
            "replaces": nullable(reference("TokenSerial")),
            "certificate_sha256": nullable(reference("Sha256")),
            "pem": nullable(text(description="The certificate and its chain, once issued.")),
            "registered": INSTANT,
            "expires": INSTANT,
            "changed": INSTANT,
        }
    ),
    "Waiting": object_of({"enrolments": array_of(reference("Identifier"))}),
    "NewUnblock": object_of(
        {
            "customer": reference("CustomerId"),
            "challenge": der("What the token asks", "application/octet-stream"),
        }
    ),
    "Unblock": object_of(
        {
            "request": reference("Identifier"),
            "token": reference("TokenSerial"),
            "customer": reference("CustomerId"),
            "counter": COUNT,
            "answers": {**COUNT, "description": "How often that counter was answered so far."},
            "state": {"enum": [each.value for each in UnblockState]},
            "requested_by": text(),
            "requested": INSTANT,
            "expires": INSTANT,
            "decided_by": nullable(text()),
            "decided": nullable(INSTANT),
            "signature": nullable(
                text(contentEncoding="base64", description="The answer for the token.")
            ),
        }
    ),
    "RevocationRun": object_of({"done": COUNT, "left": COUNT}),
}
