"""A card as a reader's contacts meet it: the APDUs of a card OS as TPDUs or blocks."""

from __future__ import annotations

from ushield.virtual.contacts.t0 import T0Contacts
from ushield.virtual.contacts.t1 import T1Contacts

__all__ = ["T0Contacts", "T1Contacts"]
