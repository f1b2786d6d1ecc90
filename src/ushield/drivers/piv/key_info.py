"""What is known of a key pair in a slot: by the card, by whoever made it, or by its certificate."""

from __future__ import annotations

from ushield.algorithms import KeyAlgorithm
from ushield.drivers.base import Demand, KeyInfo, KeyOptions, KeyUsage
from ushield.drivers.piv.places import place_name
from ushield.drivers.piv.public_keys import algorithm_of, key_id_of, public_key_in
from ushield.drivers.piv.touch import PIN_OF_POLICY, TOUCH_OF_POLICY
from ushield.errors import InputInvalid
from ushield.piv.commands import Slot
from ushield.piv.objects import KeyMetadata

__all__ = ["certified_key", "key_info"]

# SP 800-73pt1-5, table 4, for cards that do not tell their policies.
_USUAL_PIN: dict[int, Demand] = {
    Slot.SIGNATURE: Demand.ALWAYS,
    Slot.CARD_AUTHENTICATION: Demand.NEVER,
}


def key_info(
    slot: int,
    public_key: bytes,
    algorithm: KeyAlgorithm,
    told: KeyMetadata | None,
    options: KeyOptions | None = None,
) -> KeyInfo:
    """The key pair in ``slot``, by what the card ``told`` of it, else by the ``options`` that
    it was made with, else as the standard has it.
    """
    pin = PIN_OF_POLICY[told.pin] if told else _USUAL_PIN.get(slot, Demand.ONCE)
    touch = TOUCH_OF_POLICY[told.touch] if told else Demand.UNKNOWN
    if told is None and options is not None:
        pin, touch = options.pin or pin, options.touch or touch
    return KeyInfo(
        reference=slot,
        algorithm=algorithm,
        usage=KeyUsage.AUTHENTICATION,
        key_id=key_id_of(public_key),
        label=place_name(slot),
        public_key=public_key,
        pin=pin,
        touch=touch,
        generated=told.generated if told else (True if options is not None else None),
    )


def certified_key(slot: int, certificate: bytes) -> KeyInfo | None:
    """The key that a certificate speaks of; ``None`` if that is of no kind used here."""
    public_key = public_key_in(certificate)
    if public_key is None:
        return None
    try:
        return key_info(slot, public_key, algorithm_of(public_key), None)
    except InputInvalid:
        return None
