"""The life of a customer's token at the bank: enrolled, renewed, unblocked, lost, replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.lazy import lazy_names

if TYPE_CHECKING:
    from ushield.bank.lifecycle.attestations import StoredAttestations, StoredLosses
    from ushield.bank.lifecycle.codes import RegistrationCode
    from ushield.bank.lifecycle.enrolments import Enrolments, Registration
    from ushield.bank.lifecycle.policy import EnrolmentPolicy, plain_subject
    from ushield.bank.lifecycle.records import Enrolment, EnrolmentState
    from ushield.bank.lifecycle.refusals import (
        CodeReason,
        EnrolmentReason,
        EnrolmentRefused,
        EnrolmentSettled,
        EnrolmentUnknown,
        RegistrationCodeRefused,
        UnblockChallengeInvalid,
        UnblockReason,
        UnblockRefused,
        UnblockSettled,
        UnblockUnknown,
    )
    from ushield.bank.lifecycle.reminders import (
        CertificateExpiring,
        CertificateUnconfirmed,
        IssuanceWaiting,
        PinUnchanged,
        RegistrationUnanswered,
        Reminder,
        RevocationWaiting,
        UnblockWaiting,
    )
    from ushield.bank.lifecycle.renewing import Renewal
    from ushield.bank.lifecycle.revocations import (
        PendingRevocation,
        RevocationRun,
        Revocations,
    )
    from ushield.bank.lifecycle.unblock_keys import FileUnblockSigner, UnblockSigner
    from ushield.bank.lifecycle.unblock_records import UnblockRequest, UnblockState
    from ushield.bank.lifecycle.unblocking import Unblocking
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "attestations": ("StoredAttestations", "StoredLosses"),
            "codes": ("RegistrationCode",),
            "enrolments": ("Enrolments", "Registration"),
            "policy": ("EnrolmentPolicy", "plain_subject"),
            "records": ("Enrolment", "EnrolmentState"),
            "refusals": (
                "CodeReason",
                "EnrolmentReason",
                "EnrolmentRefused",
                "EnrolmentSettled",
                "EnrolmentUnknown",
                "RegistrationCodeRefused",
                "UnblockChallengeInvalid",
                "UnblockReason",
                "UnblockRefused",
                "UnblockSettled",
                "UnblockUnknown",
            ),
            "reminders": (
                "CertificateExpiring",
                "CertificateUnconfirmed",
                "IssuanceWaiting",
                "PinUnchanged",
                "RegistrationUnanswered",
                "Reminder",
                "RevocationWaiting",
                "UnblockWaiting",
            ),
            "renewing": ("Renewal",),
            "revocations": ("PendingRevocation", "RevocationRun", "Revocations"),
            "unblock_keys": ("FileUnblockSigner", "UnblockSigner"),
            "unblock_records": ("UnblockRequest", "UnblockState"),
            "unblocking": ("Unblocking",),
        },
    )

__all__ = [
    "CertificateExpiring",
    "CertificateUnconfirmed",
    "CodeReason",
    "Enrolment",
    "EnrolmentPolicy",
    "EnrolmentReason",
    "EnrolmentRefused",
    "EnrolmentSettled",
    "EnrolmentState",
    "EnrolmentUnknown",
    "Enrolments",
    "FileUnblockSigner",
    "IssuanceWaiting",
    "PendingRevocation",
    "PinUnchanged",
    "Registration",
    "RegistrationCode",
    "RegistrationCodeRefused",
    "RegistrationUnanswered",
    "Reminder",
    "Renewal",
    "RevocationRun",
    "RevocationWaiting",
    "Revocations",
    "StoredAttestations",
    "StoredLosses",
    "UnblockChallengeInvalid",
    "UnblockReason",
    "UnblockRefused",
    "UnblockRequest",
    "UnblockSettled",
    "UnblockSigner",
    "UnblockState",
    "UnblockUnknown",
    "UnblockWaiting",
    "Unblocking",
    "plain_subject",
]
