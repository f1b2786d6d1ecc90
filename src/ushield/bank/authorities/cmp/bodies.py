"""The bodies of messages: what the bank asks, and what a CA answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asn1crypto.core import GeneralizedTime, Null
from asn1crypto.csr import CertificationRequest
from asn1crypto.keys import PublicKeyInfo
from asn1crypto.x509 import Extension, GeneralName, KeyUsage, Name, Time, UTCTime

from ushield.bank.authorities.cmp.message import UNREADABLE, Message
from ushield.bank.authorities.cmp.structures import PKIBody, PKIStatusInfo
from ushield.bank.authorities.errors import CaAnswerInvalid

__all__ = [
    "CertificateAnswer",
    "Status",
    "Template",
    "certificate_confirmation",
    "certificate_request",
    "pkcs10_request",
    "poll_request",
    "read_certificate",
    "read_error",
    "read_poll",
    "read_revocation",
    "revocation_request",
]

_MOST_TEXT = 200
_FIRST = 0
# A certReqId is the request's: 0, or -1 for p10cr (5.3.4). What does not fit a column is nobody's.
_LEAST_ID, _MOST_ID = -1, (1 << 31) - 1
# A month: what is more says no more, and may be more than a clock can count.
_LONGEST_POLL = 30 * 24 * 3600
# Time turns from UTCTime to GeneralizedTime (RFC 5280, 4.1.2.5).
_GENERALIZED_FROM = 2050


@dataclass(frozen=True, slots=True)
class Status:
    """A PKIStatusInfo: its status, its failures by name, its text with nothing odd in it."""

    name: str
    failures: tuple[str, ...] = ()
    text: str = ""

    @property
    def granted(self) -> bool:
        """Whether the CA did what it was asked for, perhaps with changes or a warning."""
        return self.name not in ("rejection", "waiting")


@dataclass(frozen=True, slots=True)
class CertificateAnswer:
    """A CertResponse: a certificate (DER) if it is granted."""

    cert_req_id: int
    status: Status
    certificate: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What a certificate is to have: names and key in DER; ``old`` is what is renewed."""

    subject: bytes
    public_key: bytes
    not_after: datetime
    old: tuple[bytes, int] | None = None


def pkcs10_request(request: bytes) -> PKIBody:
    """p10cr (5.3.4): a request (PKCS #10) as it came from the token."""
    return PKIBody(name="p10cr", value=CertificationRequest.load(request))


def certificate_request(template: Template) -> PKIBody:
    """cr, or kur for a certificate that is renewed (5.3.3, 5.3.5).

    That the requester has the key is vouched for by the RA (raVerified, RFC 4211, 4): it has
    verified the PKCS #10, whose signature is over a subject that the bank does not want.
    """
    asked: dict[str, Any] = {
        "cert_req_id": _FIRST,
        "cert_template": {
            "validity": {"not_after": _time(template.not_after)},
            "subject": Name.load(template.subject),
            "public_key": PublicKeyInfo.load(template.public_key),
            "extensions": [
                Extension(
                    {
                        "extn_id": "key_usage",
                        "critical": True,
                        "extn_value": KeyUsage({"digital_signature", "non_repudiation"}),
                    }
                )
            ],
        },
    }
    kind = "cr"
    if template.old is not None:
        kind = "kur"
        issuer, serial_number = template.old
        old = {
            "issuer": GeneralName(name="directory_name", value=Name.load(issuer)),
            "serial_number": serial_number,
        }
        asked["controls"] = [{"type": "old_cert_id", "value": old}]
    popo = {"cert_req": asked, "popo": {"ra_verified": Null()}}
    return PKIBody(name=kind, value=[popo])


def revocation_request(issuer: bytes, serial_number: int, reason: str) -> PKIBody:
    """rr (5.3.9) by issuer's name (DER) and serial number; ``reason`` as asn1crypto names it."""
    return PKIBody(
        name="rr",
        value=[
            {
                "cert_details": {"serial_number": serial_number, "issuer": Name.load(issuer)},
                "crl_entry_details": [{"extn_id": "crl_reason", "extn_value": reason}],
            }
        ],
    )


def certificate_confirmation(cert_req_id: int, digest: bytes, *, rejected: bool) -> PKIBody:
    """certConf (5.3.18): that the certificate of this digest is taken, or is not."""
    status: dict[str, Any] = {"cert_hash": digest, "cert_req_id": cert_req_id}
    if rejected:
        status["status_info"] = {"status": "rejection", "fail_info": {"badCertTemplate"}}
    return PKIBody(name="cert_conf", value=[status])


def poll_request(cert_req_id: int) -> PKIBody:
    """pollReq (5.3.22)."""
    return PKIBody(name="poll_req", value=[{"cert_req_id": cert_req_id}])


def read_certificate(message: Message) -> CertificateAnswer:
    """The one certificate of an ip, cp or kup; `CaAnswerInvalid`."""
    try:
        (response,) = message.content["response"]
        status = _status(response["status"])
        certificate = None
        if status.granted:
            pair = response["certified_key_pair"]["cert_or_enc_cert"]
            if pair.name != "certificate":
                raise CaAnswerInvalid("the certificate is encrypted", fault="unexpected")
            certificate = pair.chosen.untag().dump()
        cert_req_id = int(response["cert_req_id"].native)
        if not _LEAST_ID <= cert_req_id <= _MOST_ID:
            raise CaAnswerInvalid("a certReqId that was never asked", fault="unexpected")
        return CertificateAnswer(cert_req_id, status, certificate)
    except UNREADABLE as error:
        raise _unreadable(message) from error


def read_revocation(message: Message) -> Status:
    """The status in an rp; `CaAnswerInvalid`."""
    try:
        (status,) = message.content["status"]
        return _status(status)
    except UNREADABLE as error:
        raise _unreadable(message) from error


def read_error(message: Message) -> Status:
    """What an error message (5.3.21) says; `CaAnswerInvalid`."""
    try:
        status = _status(message.content["pki_status_info"])
        details = message.content["error_details"].native or ()
        text = "; ".join(filter(None, (status.text, _text(details))))
        return Status(status.name, status.failures, text)
    except UNREADABLE as error:
        raise _unreadable(message) from error


def read_poll(message: Message) -> int:
    """After how many seconds a pollRep wants to be asked again, a month at most.

    `CaAnswerInvalid`.
    """
    try:
        (response,) = message.content
        return max(0, min(int(response["check_after"].native), _LONGEST_POLL))
    except UNREADABLE as error:
        raise _unreadable(message) from error


def _status(info: PKIStatusInfo) -> Status:
    name = info["status"].native
    if not isinstance(name, str):
        raise ValueError("a number that is no PKIStatus")  # noqa: TRY004 - read as any other fault
    failures = sorted(str(each) for each in info["fail_info"].native or ())
    return Status(name, tuple(failures), _text(info["status_string"].native or ()))


def _text(lines: Any) -> str:
    """A CA's words, which end up in logs and on terminals."""
    joined = "; ".join(str(line) for line in lines)
    return "".join(each if each.isprintable() else "?" for each in joined)[:_MOST_TEXT]


def _time(moment: datetime) -> Time:
    moment = moment.replace(microsecond=0)
    if moment.year < _GENERALIZED_FROM:
        return Time(name="utc_time", value=UTCTime(moment))
    return Time(name="general_time", value=GeneralizedTime(moment))


def _unreadable(message: Message) -> CaAnswerInvalid:
    return CaAnswerInvalid(f"the body {message.body} cannot be read", fault="encoding")
