"""The commands that carry secrets, and the counters behind them."""

from __future__ import annotations

from collections.abc import Mapping

from ushield.drivers.base import Capability, Demand
from ushield.drivers.link import decoded
from ushield.drivers.pad import change_by_pad, pad_support, verify_by_pad
from ushield.drivers.shield.link import ShieldLink
from ushield.drivers.shield.refusals import UNBLOCK, pin_refusal, refusal
from ushield.errors import PinInvalid, ProtocolViolation
from ushield.iso7816.status import StatusWord
from ushield.pin import KnownManagementKey, ManagementKey, Pin, PinReference, PinState
from ushield.shield.application import decode_pin_states
from ushield.shield.commands import CLA_ISO, CLA_VENDOR, PIN_REFERENCE_CODE, DataObject, Instruction
from ushield.shield.pins import PAD_BLOCK, encode_change
from ushield.shield.requests import UnblockChallenge, UnblockResponse
from ushield.transport.pin_pad import PinBlock, PinSupport

__all__ = ["PinCommands"]


def _header(instruction: Instruction, reference: PinReference) -> bytes:
    return bytes((CLA_ISO, instruction, 0, PIN_REFERENCE_CODE[reference]))


class PinCommands:
    """The part of `ShieldDriver` about PIN and PUK.

    Secrets are looked at before they are sent, so that a slip of the finger spends no try; they
    are read from their `Pin` for the one command, and not kept.
    """

    _link: ShieldLink

    def pin_states(self) -> Mapping[PinReference, PinState]:
        """The counters of both, now."""
        states = self._link.get(DataObject.PIN_STATES, decode_pin_states)
        by_reference = {state.reference: state for state in states}
        if len(states) != len(PinReference) or len(by_reference) != len(states):
            raise ProtocolViolation("the token does not tell one state of its PIN and one of PUK")
        return by_reference

    def verify_pin(self, pin: Pin) -> None:
        """Prove the user's PIN to the token."""
        secret = pin.reveal()
        self._link.application.pin_rules.check_format(secret, PinReference.USER)
        self._prove(Instruction.VERIFY, PinReference.USER, secret)

    @property
    def pad_support(self) -> PinSupport:
        """What can be done on the keys of the reader that the token is in."""
        return pad_support(self._link.connection)

    def verify_pin_by_pad(self) -> None:
        """Prove the user's PIN, entered on the reader."""
        rules = self._link.application.pin_rules
        block = PinBlock(
            _header(Instruction.VERIFY, PinReference.USER), rules.min_length, rules.max_length
        )
        sw = verify_by_pad(self._link.connection, block)
        if sw != StatusWord.SUCCESS:
            raise pin_refusal(sw, PinReference.USER, PinReference.USER)

    def change_pin_by_pad(self, reference: PinReference) -> None:
        """Replace the user's PIN or the PUK, both entered on the reader."""
        rules = self._link.application.pin_rules
        header = _header(Instruction.CHANGE_REFERENCE_DATA, reference)
        block = PinBlock(header, rules.min_length, min(rules.max_length, PAD_BLOCK), PAD_BLOCK)
        sw = change_by_pad(self._link.connection, block, reference)
        if sw != StatusWord.SUCCESS:
            raise pin_refusal(sw, reference, reference)

    def logout(self) -> None:
        """Make the token forget that a PIN was verified; ends the request on its screen."""
        self._link.forget_verification(self._link.timeouts.command)

    @property
    def management_touch(self) -> Demand:
        """There is no management key."""
        return Demand.NEVER

    def prove_management_key(self, key: ManagementKey | KnownManagementKey) -> None:
        """Not on this token: the PIN is what it wants."""
        self._link.want(Capability.MANAGEMENT_KEY)

    def change_pin(self, reference: PinReference, old: Pin, new: Pin) -> None:
        """Replace the user's PIN or the PUK; `PinInvalid` for a bad new one spends no try."""
        rules = self._link.application.pin_rules
        proof, wanted = old.reveal(), new.reveal()
        rules.check_format(proof, reference)
        rules.check_new(wanted, reference)
        if old == new:
            raise PinInvalid("the same as the old one", reference=reference.value, rule="unchanged")
        self._prove(Instruction.CHANGE_REFERENCE_DATA, reference, encode_change(proof, wanted))

    def unblock_pin(self, puk: Pin, new_pin: Pin) -> None:
        """Set a new user's PIN and restore its tries; a wrong ``puk`` spends one of the PUK's."""
        rules = self._link.application.pin_rules
        proof, wanted = puk.reveal(), new_pin.reveal()
        rules.check_format(proof, PinReference.PUK)
        rules.check_new(wanted, PinReference.USER)
        self._prove(
            Instruction.RESET_RETRY_COUNTER,
            PinReference.USER,
            encode_change(proof, wanted),
            proof=PinReference.PUK,
        )

    def _prove(
        self,
        instruction: Instruction,
        reference: PinReference,
        body: bytes,
        *,
        proof: PinReference | None = None,
    ) -> None:
        response = self._link.send(instruction, 0, PIN_REFERENCE_CODE[reference], body, ne=0)
        if not response.ok:
            raise pin_refusal(response.sw, proof or reference, reference)

    def unblock_challenge(self) -> bytes:
        """The bytes for the bank to sign (ECDSA, SHA-256): an `UnblockChallenge` as the token
        encoded it.
        """
        self._link.want(Capability.REMOTE_UNBLOCK)
        challenge = self._link.ask(Instruction.UNBLOCK_CHALLENGE, cla=CLA_VENDOR, meanings=UNBLOCK)
        if decoded(UnblockChallenge.decode, challenge).serial != self._link.info.serial:
            raise ProtocolViolation("the unblock challenge names another token")
        return challenge

    def unblock_by_bank(self, signature: bytes, new_pin: Pin) -> None:
        """Set a new user's PIN and restore its tries, by the bank's signature on the challenge."""
        self._link.want(Capability.REMOTE_UNBLOCK)
        wanted = new_pin.reveal()
        self._link.application.pin_rules.check_new(wanted, PinReference.USER)
        body = UnblockResponse(signature, wanted).encode()
        response = self._link.send(Instruction.UNBLOCK, data=body, ne=0, cla=CLA_VENDOR)
        if not response.ok:
            raise refusal(response.sw, UNBLOCK)
