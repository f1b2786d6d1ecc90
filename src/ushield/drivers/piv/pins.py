"""PIN, PUK and management key, and the counters behind them."""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from time import monotonic

from ushield.drivers.base import Capability, Demand
from ushield.drivers.link import decoded
from ushield.drivers.pad import change_by_pad, pad_support, verify_by_pad
from ushield.drivers.piv.link import PivLink
from ushield.drivers.piv.refusals import MANAGE, pin_refusal, refusal, tries_left
from ushield.drivers.piv.touch import TOUCH_OF_POLICY, touch_refusal
from ushield.errors import (
    CapabilityMissing,
    InputInvalid,
    ManagementKeyIncorrect,
    ObjectNotFound,
    PinIncorrect,
    PinInvalid,
    PinLocked,
    ProtocolViolation,
)
from ushield.iso7816.status import StatusWord
from ushield.pin import KnownManagementKey, ManagementKey, Pin, PinReference, PinState
from ushield.piv.ciphers import decrypt_block, encrypt_block
from ushield.piv.commands import (
    DEFAULT_MANAGEMENT_KEY,
    PIN_SIZE,
    DataTag,
    Instruction,
    ManagementAlgorithm,
    Reference,
)
from ushield.piv.objects import decode_management_key, decode_response, encode_dynamic
from ushield.transport.pin_pad import PinBlock, PinSupport

__all__ = ["PinCommands"]

_FORGET = 0xFF
_REFERENCES = {PinReference.USER: Reference.PIN, PinReference.PUK: Reference.PUK}
_WITNESS, _CHALLENGE, _RESPONSE = 0x80, 0x81, 0x82
_BY_LENGTH = {
    16: ManagementAlgorithm.AES_128,
    24: ManagementAlgorithm.TRIPLE_DES,
    32: ManagementAlgorithm.AES_256,
}


class PinCommands:
    """The part of `PivDriver` about secrets.

    They are looked at before they are sent, so that a slip of the finger spends no try; they are
    read from their `Secret` for the one command, and not kept.
    """

    _link: PivLink
    _most_tries: int
    _managed: bool

    def pin_states(self) -> Mapping[PinReference, PinState]:
        """The counter of the PIN, and that of the PUK where the card tells it."""
        states = (self._state(reference) for reference in PinReference)
        found = {state.reference: state for state in states if state is not None}
        if PinReference.USER not in found:
            raise CapabilityMissing("this card has no PIN", capability="pin")
        return found

    def _state(self, reference: PinReference) -> PinState | None:
        code = _REFERENCES[reference]
        if self._link.has_metadata:
            told = self._link.secret_metadata(code)
            if told is not None and told.tries_left is not None:
                return PinState(
                    reference, told.tries_left, told.max_tries or 0, is_default=told.is_default
                )
        # VERIFY without data asks; it proves nothing and spends nothing (SP 800-73pt2-5, 3.2.1).
        response = self._link.send(Instruction.VERIFY, 0, code, ne=0)
        if response.ok and reference is PinReference.USER:
            # It is verified, so that all its tries are there, however many those are.
            return PinState(reference, self._most_tries, 0, verified=True)
        tries = tries_left(response.sw)
        if tries is None:
            return None
        if reference is PinReference.USER:
            self._most_tries = max(self._most_tries, tries)
        return PinState(reference, tries, 0)

    def verify_pin(self, pin: Pin) -> None:
        """Prove the PIN to the card."""
        secret = pin.reveal()
        self._link.quirks.pin_rules.check_format(secret, PinReference.USER)
        self._prove(Instruction.VERIFY, Reference.PIN, _filled(secret), PinReference.USER)

    @property
    def pad_support(self) -> PinSupport:
        """What can be done on the keys of the reader that the card is in."""
        return pad_support(self._link.connection)

    def verify_pin_by_pad(self) -> None:
        """Prove the PIN, entered on the reader."""
        block = self._block(Instruction.VERIFY, Reference.PIN)
        self._judge(verify_by_pad(self._link.connection, block), PinReference.USER)

    def change_pin_by_pad(self, reference: PinReference) -> None:
        """Replace PIN or PUK, both entered on the reader."""
        block = self._block(Instruction.CHANGE_REFERENCE_DATA, _REFERENCES[reference])
        self._judge(change_by_pad(self._link.connection, block, reference), reference)

    def _block(self, instruction: Instruction, code: Reference) -> PinBlock:
        rules = self._link.quirks.pin_rules
        most = min(rules.max_length, PIN_SIZE)
        return PinBlock(bytes((0, instruction, 0, code)), rules.min_length, most, PIN_SIZE)

    def logout(self) -> None:
        """Make the card forget PIN and management key, by taking its power if need be."""
        with self._link.connection.hold():
            if not self._managed and self._forget_pin(self._link.timeouts.command):
                return
            self._managed = False
            self._link.connection.reset()
            self._link.reopen()

    def _forget_pin(self, timeout: float) -> bool:
        """Whether the card says that the PIN is not verified any more."""
        send = self._link.send
        forgotten = send(Instruction.VERIFY, _FORGET, Reference.PIN, ne=0, timeout=timeout)
        if not forgotten.ok:
            return False
        return not send(Instruction.VERIFY, 0, Reference.PIN, ne=0, timeout=timeout).ok

    def change_pin(self, reference: PinReference, old: Pin, new: Pin) -> None:
        """Replace PIN or PUK; `PinInvalid` for a bad new one spends no try."""
        rules = self._link.quirks.pin_rules
        proof, wanted = old.reveal(), new.reveal()
        rules.check_format(proof, reference)
        rules.check_new(wanted, reference)
        if old == new:
            raise PinInvalid("the same as the old one", reference=reference.value, rule="unchanged")
        both = _filled(proof) + _filled(wanted)
        self._prove(Instruction.CHANGE_REFERENCE_DATA, _REFERENCES[reference], both, reference)

    def unblock_pin(self, puk: Pin, new_pin: Pin) -> None:
        """Set a new PIN and restore its tries; a wrong ``puk`` spends one of the PUK's."""
        rules = self._link.quirks.pin_rules
        proof, wanted = puk.reveal(), new_pin.reveal()
        rules.check_format(proof, PinReference.PUK)
        rules.check_new(wanted, PinReference.USER)
        both = _filled(proof) + _filled(wanted)
        self._prove(Instruction.RESET_RETRY_COUNTER, Reference.PIN, both, PinReference.PUK)

    def _prove(
        self, instruction: Instruction, code: Reference, body: bytes, proof: PinReference
    ) -> None:
        self._judge(self._link.send(instruction, 0, code, body, ne=0).sw, proof)

    def _judge(self, sw: int, proof: PinReference) -> None:
        if sw == StatusWord.SUCCESS:
            return
        if sw == StatusWord.STATE_CHANGED:
            # Wrong, without a word on the tries that are left.
            state = self.pin_states().get(proof)
            if state is not None and state.locked:
                raise PinLocked(reference=proof.value)
            raise PinIncorrect(reference=proof.value, tries_left=state.tries_left if state else 0)
        raise pin_refusal(sw, proof)

    def unblock_challenge(self) -> bytes:
        """Not on a PIV card: it knows no bank."""
        raise _no_bank()

    def unblock_by_bank(self, signature: bytes, new_pin: Pin) -> None:
        """Not on a PIV card: it knows no bank."""
        raise _no_bank()

    @property
    def management_touch(self) -> Demand:
        """Whether proving the management key wants a touch."""
        if not self._link.has_metadata:
            return Demand.UNKNOWN
        return TOUCH_OF_POLICY[self._link.management_touch]

    def prove_management_key(self, key: ManagementKey | KnownManagementKey) -> None:
        """Prove the management key to the card, and let the card prove that it has it, too.

        `ManagementKeyIncorrect`; `InputInvalid` for a key of another length than the card's;
        `LoginRequired` or `ObjectNotFound` for one that should be behind the PIN; `Rejected` or
        `TimedOut` where the card wants a touch for it.
        """
        if isinstance(key, ManagementKey):
            secret = key.reveal()
        elif key is KnownManagementKey.DEFAULT:
            secret = DEFAULT_MANAGEMENT_KEY
        else:
            secret = self._key_behind_pin()
        algorithm = self._link.management_algorithm or _BY_LENGTH.get(len(secret))
        if algorithm is None or len(secret) != algorithm.key_size:
            wanted = "" if algorithm is None else f", the card wants {algorithm.key_size}"
            raise InputInvalid(f"a management key of {len(secret)} bytes{wanted}")
        with self._link.connection.hold():
            self._authenticate(algorithm, secret)
        self._managed = True

    def _key_behind_pin(self) -> bytes:
        try:
            kept = self._link.get(DataTag.PRINTED_INFORMATION)
        except ObjectNotFound:
            raise ObjectNotFound(
                "this card keeps no management key behind its PIN",
                remedy="Give the key itself: --management-key-file.",
            ) from None
        return decoded(decode_management_key, kept)

    def _authenticate(self, algorithm: ManagementAlgorithm, secret: bytes) -> None:
        """Both sides prove the key (SP 800-73pt2-5, appendix A.1)."""
        size = algorithm.block_size
        answer = self._authenticate_step(algorithm, (_WITNESS, b""), meanings=None)
        witness = decoded(lambda data: decode_response(data, _WITNESS), answer)
        if len(witness) != size:
            raise ProtocolViolation(f"the card's witness has {len(witness)} bytes, not {size}")
        challenge = os.urandom(size)
        answer = self._authenticate_step(
            algorithm,
            (_WITNESS, decrypt_block(algorithm, secret, witness)),
            (_CHALLENGE, challenge),
        )
        response = decoded(lambda data: decode_response(data, _RESPONSE), answer)
        if not hmac.compare_digest(response, encrypt_block(algorithm, secret, challenge)):
            raise ManagementKeyIncorrect("the card does not know the management key itself")

    def _authenticate_step(
        self,
        algorithm: ManagementAlgorithm,
        *objects: tuple[int, bytes],
        meanings: object = MANAGE,
    ) -> bytes:
        touched = self.management_touch is not Demand.NEVER
        started = monotonic()
        response = self._link.send(
            Instruction.GENERAL_AUTHENTICATE,
            algorithm,
            Reference.MANAGEMENT_KEY,
            encode_dynamic(*objects),
            timeout=self._link.timeouts.command + self._link.timeouts.touch * touched,
        )
        if response.ok:
            return response.data
        if touched and response.sw == StatusWord.CONDITIONS_NOT_SATISFIED:
            raise touch_refusal(monotonic() - started, self._link.timeouts.touch)
        raise refusal(response.sw, MANAGE if meanings is MANAGE else None)


def _no_bank() -> CapabilityMissing:
    return CapabilityMissing(
        "a PIV card cannot be unblocked by a bank", capability=Capability.REMOTE_UNBLOCK.value
    )


def _filled(secret: bytes) -> bytes:
    return secret.ljust(PIN_SIZE, b"\xff")
