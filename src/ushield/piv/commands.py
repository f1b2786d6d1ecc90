"""AID, instructions, key references, policies and objects of PIV cards.

Source: NIST SP 800-73pt1-5 (objects), SP 800-73pt2-5 (commands) and SP 800-78-5 (algorithms); what
begins with F, and the policies, are extensions that YubiKeys brought and their tools use.
"""

from __future__ import annotations

from enum import IntEnum

from ushield.algorithms import KeyAlgorithm

__all__ = [
    "AID",
    "AIDS",
    "ALGORITHM_CODE",
    "CERTIFICATE_TAG",
    "DEFAULT_MANAGEMENT_KEY",
    "EXTENSIONS_VERSION",
    "KEY_SLOTS",
    "PIN_SIZE",
    "RETIRED",
    "RID",
    "WHOLE_CARD",
    "DataTag",
    "Instruction",
    "ManagementAlgorithm",
    "PinPolicy",
    "Reference",
    "Slot",
    "TouchPolicy",
]

RID = bytes.fromhex("A000000308")
AID = RID + bytes.fromhex("000010000100")
AIDS = tuple(AID[:length] for length in range(len(RID), len(AID) + 1))
"""The names SELECT may call the application by: its AID, truncated from the right or not."""
EXTENSIONS_VERSION = (5, 7, 0)
"""The version of the extensions: of the YubiKey firmware that has all those that are here."""
PIN_SIZE = 8
"""A PIN or PUK on the wire: digits, filled up with FF (SP 800-73pt2-5, 2.4.3)."""
WHOLE_CARD = 0x3FFF
"""P1-P2 of GET DATA and PUT DATA."""
DEFAULT_MANAGEMENT_KEY = bytes.fromhex("0102030405060708" * 3)
"""What tools take for the management key unless they are given another."""


class Instruction(IntEnum):
    """INS bytes; all have class 00."""

    SELECT = 0xA4
    VERIFY = 0x20
    CHANGE_REFERENCE_DATA = 0x24
    RESET_RETRY_COUNTER = 0x2C
    GENERATE = 0x47
    GENERAL_AUTHENTICATE = 0x87
    GET_DATA = 0xCB
    PUT_DATA = 0xDB
    MOVE_KEY = 0xF6
    GET_METADATA = 0xF7
    GET_SERIAL = 0xF8
    ATTEST = 0xF9
    SET_RETRIES = 0xFA
    RESET = 0xFB
    GET_VERSION = 0xFD
    IMPORT = 0xFE
    SET_MANAGEMENT_KEY = 0xFF


class Reference(IntEnum):
    """Key references of secrets (SP 800-73pt1-5, table 4)."""

    PIN = 0x80
    PUK = 0x81
    MANAGEMENT_KEY = 0x9B


class Slot(IntEnum):
    """Key references of the four main key pairs, and of the key that attests the others."""

    AUTHENTICATION = 0x9A
    SIGNATURE = 0x9C
    KEY_MANAGEMENT = 0x9D
    CARD_AUTHENTICATION = 0x9E
    ATTESTATION = 0xF9


RETIRED = range(0x82, 0x96)
"""Where keys go that were replaced, and can still decrypt."""
KEY_SLOTS = frozenset({*RETIRED, 0x9A, 0x9C, 0x9D, 0x9E})
"""Where key pairs of the card's holder may be: four, and twenty for retired keys."""


class DataTag(IntEnum):
    """Tags of data objects (SP 800-73pt1-5, table 3)."""

    DISCOVERY = 0x7E
    CARD_CAPABILITIES = 0x5FC107
    CARDHOLDER_IDENTIFIER = 0x5FC102
    FINGERPRINTS = 0x5FC103
    FACIAL_IMAGE = 0x5FC108
    PRINTED_INFORMATION = 0x5FC109
    """On some cards also the management key, behind the PIN."""
    KEY_HISTORY = 0x5FC10C
    IRIS_IMAGES = 0x5FC121
    ATTESTATION_CERTIFICATE = 0x5FFF01


CERTIFICATE_TAG = {
    Slot.AUTHENTICATION: 0x5FC105,
    Slot.SIGNATURE: 0x5FC10A,
    Slot.KEY_MANAGEMENT: 0x5FC10B,
    Slot.CARD_AUTHENTICATION: 0x5FC101,
    Slot.ATTESTATION: int(DataTag.ATTESTATION_CERTIFICATE),
} | {slot: 0x5FC10D + number for number, slot in enumerate(RETIRED)}
"""Which object holds the certificate of which key."""


class PinPolicy(IntEnum):
    """Whether a key wants the PIN: never, once, or for each use anew. 0 stands for the slot's."""

    DEFAULT = 0
    NEVER = 1
    ONCE = 2
    ALWAYS = 3


class TouchPolicy(IntEnum):
    """Whether a key wants OK: never, for each use, or unless it was pressed within 15 seconds."""

    DEFAULT = 0
    NEVER = 1
    ALWAYS = 2
    CACHED = 3


class ManagementAlgorithm(IntEnum):
    """What kind of key the management key is (SP 800-78-5, table 10)."""

    TRIPLE_DES = 0x03
    AES_128 = 0x08
    AES_192 = 0x0A
    AES_256 = 0x0C

    @property
    def key_size(self) -> int:
        """Bytes of the key."""
        return {0x08: 16, 0x0C: 32}.get(self.value, 24)

    @property
    def block_size(self) -> int:
        """Bytes of a challenge."""
        return 8 if self is ManagementAlgorithm.TRIPLE_DES else 16


ALGORITHM_CODE = {
    KeyAlgorithm.RSA_2048: 0x07,
    KeyAlgorithm.RSA_3072: 0x05,
    KeyAlgorithm.RSA_4096: 0x16,
    KeyAlgorithm.P256: 0x11,
    KeyAlgorithm.P384: 0x14,
}
