"""The ASN.1 of CMP (RFC 9810, appendix F) and CRMF (RFC 4211), as far as the bank speaks it.

Bodies that it never sends nor takes are ``Any``.
"""

from __future__ import annotations

from typing import Any as Anything
from typing import ClassVar

from asn1crypto.algos import AlgorithmIdentifier
from asn1crypto.core import (
    Any,
    BitString,
    Choice,
    GeneralizedTime,
    Integer,
    Null,
    ObjectIdentifier,
    OctetBitString,
    OctetString,
    Sequence,
    SequenceOf,
    UTF8String,
)
from asn1crypto.crl import CRLEntryExtensions
from asn1crypto.csr import CertificationRequest
from asn1crypto.keys import PublicKeyInfo
from asn1crypto.x509 import Certificate, Extensions, GeneralName, Name, Time

__all__ = [
    "PBMParameter",
    "PKIBody",
    "PKIHeader",
    "PKIMessage",
    "ProtectedPart",
]

Fields = list[tuple[Anything, ...]]


class PKIFreeText(SequenceOf):
    _child_spec = UTF8String


class InfoTypeAndValue(Sequence):
    _fields: ClassVar[Fields] = [
        ("info_type", ObjectIdentifier),
        ("info_value", Any, {"optional": True}),
    ]


class GeneralInfo(SequenceOf):
    _child_spec = InfoTypeAndValue


class ProtectionAlgorithm(Sequence):
    _fields: ClassVar[Fields] = [
        ("algorithm", ObjectIdentifier),
        ("parameters", Any, {"optional": True}),
    ]


class PBMParameter(Sequence):
    _fields: ClassVar[Fields] = [
        ("salt", OctetString),
        ("owf", ProtectionAlgorithm),
        ("iteration_count", Integer),
        ("mac", ProtectionAlgorithm),
    ]


class PKIHeader(Sequence):
    _fields: ClassVar[Fields] = [
        ("pvno", Integer),
        ("sender", GeneralName),
        ("recipient", GeneralName),
        ("message_time", GeneralizedTime, {"explicit": 0, "optional": True}),
        ("protection_alg", ProtectionAlgorithm, {"explicit": 1, "optional": True}),
        ("sender_kid", OctetString, {"explicit": 2, "optional": True}),
        ("recip_kid", OctetString, {"explicit": 3, "optional": True}),
        ("transaction_id", OctetString, {"explicit": 4, "optional": True}),
        ("sender_nonce", OctetString, {"explicit": 5, "optional": True}),
        ("recip_nonce", OctetString, {"explicit": 6, "optional": True}),
        ("free_text", PKIFreeText, {"explicit": 7, "optional": True}),
        ("general_info", GeneralInfo, {"explicit": 8, "optional": True}),
    ]


class PKIStatus(Integer):
    _map: ClassVar[dict[int, str]] = {
        0: "accepted",
        1: "grantedWithMods",
        2: "rejection",
        3: "waiting",
        4: "revocationWarning",
        5: "revocationNotification",
        6: "keyUpdateWarning",
    }


class PKIFailureInfo(BitString):
    _map: ClassVar[dict[int, str]] = dict(
        enumerate(
            (
                "badAlg",
                "badMessageCheck",
                "badRequest",
                "badTime",
                "badCertId",
                "badDataFormat",
                "wrongAuthority",
                "incorrectData",
                "missingTimeStamp",
                "badPOP",
                "certRevoked",
                "certConfirmed",
                "wrongIntegrity",
                "badRecipientNonce",
                "timeNotAvailable",
                "unacceptedPolicy",
                "unacceptedExtension",
                "addInfoNotAvailable",
                "badSenderNonce",
                "badCertTemplate",
                "signerNotTrusted",
                "transactionIdInUse",
                "unsupportedVersion",
                "notAuthorized",
                "systemUnavail",
                "systemFailure",
                "duplicateCertReq",
            )
        )
    )


class PKIStatusInfo(Sequence):
    _fields: ClassVar[Fields] = [
        ("status", PKIStatus),
        ("status_string", PKIFreeText, {"optional": True}),
        ("fail_info", PKIFailureInfo, {"optional": True}),
    ]


class OptionalValidity(Sequence):
    _fields: ClassVar[Fields] = [
        ("not_before", Time, {"explicit": 0, "optional": True}),
        ("not_after", Time, {"explicit": 1, "optional": True}),
    ]


class CertTemplate(Sequence):
    _fields: ClassVar[Fields] = [
        ("version", Integer, {"implicit": 0, "optional": True}),
        ("serial_number", Integer, {"implicit": 1, "optional": True}),
        ("signing_alg", AlgorithmIdentifier, {"implicit": 2, "optional": True}),
        ("issuer", Name, {"explicit": 3, "optional": True}),
        ("validity", OptionalValidity, {"implicit": 4, "optional": True}),
        ("subject", Name, {"explicit": 5, "optional": True}),
        ("public_key", PublicKeyInfo, {"implicit": 6, "optional": True}),
        ("issuer_uid", OctetBitString, {"implicit": 7, "optional": True}),
        ("subject_uid", OctetBitString, {"implicit": 8, "optional": True}),
        ("extensions", Extensions, {"implicit": 9, "optional": True}),
    ]


class CertId(Sequence):
    _fields: ClassVar[Fields] = [
        ("issuer", GeneralName),
        ("serial_number", Integer),
    ]


class ControlType(ObjectIdentifier):
    _map: ClassVar[dict[str, str]] = {"1.3.6.1.5.5.7.5.1.5": "old_cert_id"}


class AttributeTypeAndValue(Sequence):
    _fields: ClassVar[Fields] = [
        ("type", ControlType),
        ("value", Any),
    ]
    _oid_pair = ("type", "value")
    _oid_specs: ClassVar[dict[str, type]] = {"old_cert_id": CertId}


class Controls(SequenceOf):
    _child_spec = AttributeTypeAndValue


class CertRequest(Sequence):
    _fields: ClassVar[Fields] = [
        ("cert_req_id", Integer),
        ("cert_template", CertTemplate),
        ("controls", Controls, {"optional": True}),
    ]


class ProofOfPossession(Choice):
    _alternatives: ClassVar[Fields] = [
        ("ra_verified", Null, {"implicit": 0}),
        ("signature", Any, {"explicit": 1}),
        ("key_encipherment", Any, {"explicit": 2}),
        ("key_agreement", Any, {"explicit": 3}),
    ]


class CertReqMsg(Sequence):
    _fields: ClassVar[Fields] = [
        ("cert_req", CertRequest),
        ("popo", ProofOfPossession, {"optional": True}),
        ("reg_info", Controls, {"optional": True}),
    ]


class CertReqMessages(SequenceOf):
    _child_spec = CertReqMsg


class CMPCertificates(SequenceOf):
    _child_spec = Certificate


class CertOrEncCert(Choice):
    _alternatives: ClassVar[Fields] = [
        ("certificate", Certificate, {"explicit": 0}),
        ("encrypted_cert", Any, {"explicit": 1}),
    ]


class CertifiedKeyPair(Sequence):
    _fields: ClassVar[Fields] = [
        ("cert_or_enc_cert", CertOrEncCert),
        ("private_key", Any, {"explicit": 0, "optional": True}),
        ("publication_info", Any, {"explicit": 1, "optional": True}),
    ]


class CertResponse(Sequence):
    _fields: ClassVar[Fields] = [
        ("cert_req_id", Integer),
        ("status", PKIStatusInfo),
        ("certified_key_pair", CertifiedKeyPair, {"optional": True}),
        ("rsp_info", OctetString, {"optional": True}),
    ]


class CertResponses(SequenceOf):
    _child_spec = CertResponse


class CertRepMessage(Sequence):
    _fields: ClassVar[Fields] = [
        ("ca_pubs", CMPCertificates, {"explicit": 1, "optional": True}),
        ("response", CertResponses),
    ]


class RevDetails(Sequence):
    _fields: ClassVar[Fields] = [
        ("cert_details", CertTemplate),
        ("crl_entry_details", CRLEntryExtensions, {"optional": True}),
    ]


class RevReqContent(SequenceOf):
    _child_spec = RevDetails


class PKIStatusInfos(SequenceOf):
    _child_spec = PKIStatusInfo


class CertIds(SequenceOf):
    _child_spec = CertId


class RevRepContent(Sequence):
    _fields: ClassVar[Fields] = [
        ("status", PKIStatusInfos),
        ("rev_certs", CertIds, {"explicit": 0, "optional": True}),
        ("crls", Any, {"explicit": 1, "optional": True}),
    ]


class ErrorMsgContent(Sequence):
    _fields: ClassVar[Fields] = [
        ("pki_status_info", PKIStatusInfo),
        ("error_code", Integer, {"optional": True}),
        ("error_details", PKIFreeText, {"optional": True}),
    ]


class CertStatus(Sequence):
    _fields: ClassVar[Fields] = [
        ("cert_hash", OctetString),
        ("cert_req_id", Integer),
        ("status_info", PKIStatusInfo, {"optional": True}),
        ("hash_alg", AlgorithmIdentifier, {"explicit": 0, "optional": True}),
    ]


class CertConfirmContent(SequenceOf):
    _child_spec = CertStatus


class PollReq(Sequence):
    _fields: ClassVar[Fields] = [("cert_req_id", Integer)]


class PollReqContent(SequenceOf):
    _child_spec = PollReq


class PollRep(Sequence):
    _fields: ClassVar[Fields] = [
        ("cert_req_id", Integer),
        ("check_after", Integer),
        ("reason", PKIFreeText, {"optional": True}),
    ]


class PollRepContent(SequenceOf):
    _child_spec = PollRep


class PKIBody(Choice):
    _alternatives: ClassVar[Fields] = [
        ("ir", CertReqMessages, {"explicit": 0}),
        ("ip", CertRepMessage, {"explicit": 1}),
        ("cr", CertReqMessages, {"explicit": 2}),
        ("cp", CertRepMessage, {"explicit": 3}),
        ("p10cr", CertificationRequest, {"explicit": 4}),
        ("popdecc", Any, {"explicit": 5}),
        ("popdecr", Any, {"explicit": 6}),
        ("kur", CertReqMessages, {"explicit": 7}),
        ("kup", CertRepMessage, {"explicit": 8}),
        ("krr", CertReqMessages, {"explicit": 9}),
        ("krp", Any, {"explicit": 10}),
        ("rr", RevReqContent, {"explicit": 11}),
        ("rp", RevRepContent, {"explicit": 12}),
        ("ccr", CertReqMessages, {"explicit": 13}),
        ("ccp", CertRepMessage, {"explicit": 14}),
        ("ckuann", Any, {"explicit": 15}),
        ("cann", Any, {"explicit": 16}),
        ("rann", Any, {"explicit": 17}),
        ("crlann", Any, {"explicit": 18}),
        ("pkiconf", Null, {"explicit": 19}),
        ("nested", Any, {"explicit": 20}),
        ("genm", Any, {"explicit": 21}),
        ("genp", Any, {"explicit": 22}),
        ("error", ErrorMsgContent, {"explicit": 23}),
        ("cert_conf", CertConfirmContent, {"explicit": 24}),
        ("poll_req", PollReqContent, {"explicit": 25}),
        ("poll_rep", PollRepContent, {"explicit": 26}),
    ]


class PKIMessage(Sequence):
    _fields: ClassVar[Fields] = [
        ("header", PKIHeader),
        ("body", PKIBody),
        ("protection", OctetBitString, {"explicit": 0, "optional": True}),
        ("extra_certs", CMPCertificates, {"explicit": 1, "optional": True}),
    ]


class ProtectedPart(Sequence):
    """What the protection of a message is over (RFC 9810, 5.1.3)."""

    _fields: ClassVar[Fields] = [
        ("header", PKIHeader),
        ("body", PKIBody),
    ]
