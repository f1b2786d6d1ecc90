"""AID, instructions, references and status words of the shield applet.

Header, data field and answer of every command (``-`` for none; names are this package's codecs):

===  ===  =====  ===============================  ==============================================
CLA  INS  P1 P2  data field                       answer
===  ===  =====  ===============================  ==============================================
00   A4   04 00  `AID`                            `ApplicationInfo`
00   20   00 81  the digits                       -
00   20   00 81  -                                -: 9000 if verified, else 63CX or 6983; no try
00   20   FF 81  -                                -; the PIN counts as not verified from here on
00   24   00 rr  `encode_change` (old, new)       -; rr is 81 for the PIN, 83 for the PUK
00   2C   00 81  `encode_change` (PUK, new)       -
00   CB   3F FF  `tag_list`                       the object, with no tag around it; 6A88 if none
00   DB   3F FF  `tag_list`, `StoredCertificate`  the slot, one byte; empty after a deletion
00   DB   3F FF  `tag_list`, 53 with the label    -
00   47   00 00  `GenerateKey`                    `KeyEntry`
00   2A   9E 9A  `DigestToSign`                   the bare signature
00   88   00 00  `ChallengeToSign`                the bare signature
80   48   00 00  `encode_key_reference`           -
80   50   kk 00  `Begin`; kk is `BeginKind`       `Begun`
80   52   00 00  `encode_request_id`              `RequestState`; 6A88 for an unknown id
80   54   00 00  `encode_request_id`              `Signed`; 6A88 for an unknown or used id
80   56   00 00  `encode_request_id`              -; also for a request that has ended
80   58   nn nn  -                                `Voucher`, 0000 the newest; 6A88 past the last
80   5A   00 00  -                                `UnblockChallenge`
80   5C   00 00  `UnblockResponse`                -
80   F9   00 00  `encode_key_reference`           the attestation certificate, in DER
===  ===  =====  ===============================  ==============================================

Data fields too long for one APDU come as a command chain (bit 5 of CLA, 0x10, set in all but the
last).
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.iso7816.status import register_meanings
from ushield.pin import PinReference

__all__ = [
    "AID",
    "ALGORITHM_CODE",
    "CLA_ISO",
    "CLA_VENDOR",
    "HASH_CODE",
    "PIN_REFERENCE_CODE",
    "PROTOCOL_VERSION",
    "REQUEST_ID_SIZE",
    "UNBLOCK_NONCE_SIZE",
    "VERIFY_FORGET",
    "WHOLE_CARD",
    "BeginKind",
    "DataObject",
    "Feature",
    "Instruction",
    "KeyUsageCode",
    "ShieldStatus",
]

AID = bytes.fromhex("F055534849454C44")
PROTOCOL_VERSION = (1, 0)
WHOLE_CARD = 0x3FFF
"""P1-P2 of GET DATA and PUT DATA (ISO/IEC 7816-4, clause 11.4): objects of no one file."""
VERIFY_FORGET = 0xFF
"""P1 of VERIFY without data: the PIN counts as not verified (ISO/IEC 7816-4, clause 11.5.6)."""
CLA_ISO = 0x00
CLA_VENDOR = 0x80
REQUEST_ID_SIZE = 8
UNBLOCK_NONCE_SIZE = 16


class Instruction(IntEnum):
    """INS bytes. Those from ``DELETE_KEY`` on have class 80, the others class 00."""

    VERIFY = 0x20
    CHANGE_REFERENCE_DATA = 0x24
    PERFORM_SECURITY_OPERATION = 0x2A
    RESET_RETRY_COUNTER = 0x2C
    GENERATE_KEY_PAIR = 0x47
    INTERNAL_AUTHENTICATE = 0x88
    SELECT = 0xA4
    GET_RESPONSE = 0xC0
    GET_DATA = 0xCB
    PUT_DATA = 0xDB
    DELETE_KEY = 0x48
    BEGIN = 0x50
    REQUEST_STATE = 0x52
    SIGN = 0x54
    CANCEL = 0x56
    READ_VOUCHER = 0x58
    UNBLOCK_CHALLENGE = 0x5A
    UNBLOCK = 0x5C
    ATTEST = 0xF9


class BeginKind(IntEnum):
    """P1 of BEGIN: what the token is asked to show and sign."""

    TRANSACTION = 0x00
    CERTIFICATION_REQUEST = 0x01


class ShieldStatus(IntEnum):
    """Status words of our own, in the proprietary range 95XX (ISO/IEC 7816-4, clause 5.6)."""

    PENDING = 0x9501
    REJECTED = 0x9502
    TIMED_OUT = 0x9503
    CANNOT_DISPLAY = 0x9504
    BUSY = 0x9505
    CANCELLED = 0x9506
    KEY_HELD = 0x9507
    PIN_MUST_CHANGE = 0x9508
    PIN_WEAK = 0x9509


register_meanings(
    {
        ShieldStatus.PENDING: "waiting for a key on the token",
        ShieldStatus.REJECTED: "rejected on the token",
        ShieldStatus.TIMED_OUT: "no key was pressed in time",
        ShieldStatus.CANNOT_DISPLAY: "the token cannot display it",
        ShieldStatus.BUSY: "another request is on the screen",
        ShieldStatus.CANCELLED: "cancelled by the host",
        ShieldStatus.KEY_HELD: "a key of the token is held down",
        ShieldStatus.PIN_MUST_CHANGE: "the PIN must be changed first",
        ShieldStatus.PIN_WEAK: "the new PIN is too weak",
    }
)


class DataObject(IntEnum):
    """Tags for GET DATA and PUT DATA (P1-P2 3FFF, tag list 5C)."""

    PIN_STATES = 0xDF01
    KEYS = 0xDF02
    CERTIFICATES = 0xDF03
    COUNTERS = 0xDF04
    DEVICE_CERTIFICATE = 0xDF05
    LABEL = 0xDF06
    LAST_REFUSAL = 0xDF07
    UNBLOCK_KEY = 0xDF08
    CHANNEL_CERTIFICATE = 0xDF09
    CERTIFICATE = 0xDF20


class KeyUsageCode(IntEnum):
    """What a key may sign: only what the screen showed, or a digest from the host."""

    DISPLAY = 0x01
    AUTHENTICATION = 0x02


class Feature(IntFlag):
    """Bits of the capability field in the answer to SELECT."""

    DISPLAY = 0x0001
    PANEL_EVENTS = 0x0002
    VOUCHERS = 0x0004
    ATTESTATION = 0x0008
    REMOTE_UNBLOCK = 0x0010
    KEY_GENERATION = 0x0020
    SECURE_CHANNEL = 0x0040
    VIRTUAL = 0x8000


PIN_REFERENCE_CODE = {PinReference.USER: 0x81, PinReference.PUK: 0x83}
ALGORITHM_CODE = {
    KeyAlgorithm.RSA_2048: 0x01,
    KeyAlgorithm.RSA_3072: 0x02,
    KeyAlgorithm.RSA_4096: 0x03,
    KeyAlgorithm.P256: 0x11,
    KeyAlgorithm.P384: 0x12,
}
HASH_CODE = {HashAlgorithm.SHA256: 0x01, HashAlgorithm.SHA384: 0x02, HashAlgorithm.SHA512: 0x03}
