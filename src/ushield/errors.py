"""Every error ushield raises: one root, a stable code, a remedy, and the facts it carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

__all__ = [
    "AccessDenied",
    "ApduInvalid",
    "AuthorityError",
    "BlindSigningRefused",
    "CapabilityMissing",
    "CardError",
    "CertificateInvalid",
    "CertificateKeyMissing",
    "ChannelBroken",
    "ConfirmationError",
    "DisplayRefused",
    "HostCancelled",
    "InputInvalid",
    "KeyHeld",
    "KeyUsageRefused",
    "LastTryRefused",
    "LoginRequired",
    "ManagementKeyIncorrect",
    "ManagementKeyRequired",
    "MessageInvalid",
    "NoDriver",
    "ObjectNotFound",
    "PinChangeRequired",
    "PinEntryCancelled",
    "PinEntryTimedOut",
    "PinError",
    "PinIncorrect",
    "PinInvalid",
    "PinLocked",
    "ProtocolViolation",
    "Rejected",
    "RequestPending",
    "RequestUnknown",
    "ScreenBusy",
    "SeveralObjects",
    "SeveralTokens",
    "SignatureMismatch",
    "SlotEmpty",
    "SlotOccupied",
    "SpecInvalid",
    "StatusWordError",
    "StorageFull",
    "StoreError",
    "TimedOut",
    "TlvInvalid",
    "TokenBusy",
    "TokenFileInvalid",
    "TokenFull",
    "TokenNotFound",
    "TokenRemoved",
    "TokenUntrusted",
    "TransactionInvalid",
    "TransferFailed",
    "TransferTimeout",
    "TransportError",
    "UShieldError",
]


def _rebuild(cls: type[UShieldError], message: str, state: dict[str, Any]) -> UShieldError:
    error = cls.__new__(cls, message)
    error.__dict__.update(state)
    return error


class UShieldError(Exception):
    """Root of all errors of this library.

    ``code`` is stable across releases and fit for programs; ``remedy`` tells a person what to do;
    the names in ``carries`` are attributes with the facts of the case (tries left, status word).
    """

    code: ClassVar[str] = "error"
    default_remedy: ClassVar[str] = "Report this with the output of the command."
    carries: ClassVar[tuple[str, ...]] = ()

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy if remedy is not None else self.default_remedy

    @property
    def facts(self) -> dict[str, Any]:
        """What the error carries, by name."""
        return {name: getattr(self, name) for name in self.carries}

    def __reduce__(self) -> tuple[Any, ...]:
        # Subclasses take keyword-only facts, which the default reduction would lose.
        return _rebuild, (type(self), str(self), self.__dict__.copy())


class InputInvalid(UShieldError):
    """Something handed in is malformed; nothing was done with it."""

    code = "input-invalid"
    default_remedy = "Correct the input and try again."


class SpecInvalid(InputInvalid):
    """A token SPEC that no scheme understands."""

    code = "spec-invalid"
    default_remedy = (
        "Use a serial, usb:BUS-PORT, pcsc:READER or virtual:PATH; `ushield list` shows them."
    )


class TlvInvalid(InputInvalid):
    """BER-TLV data that breaks ISO/IEC 7816-4, or our stricter reading of it."""

    code = "tlv-invalid"


class ApduInvalid(InputInvalid):
    """Bytes that are no command or response APDU of ISO/IEC 7816-4."""

    code = "apdu-invalid"


class TransactionInvalid(InputInvalid):
    """A transaction that cannot be what a person means; ``field`` names the culprit."""

    code = "transaction-invalid"
    carries: ClassVar[tuple[str, ...]] = ("field",)

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class MessageInvalid(InputInvalid):
    """Bytes that are not a message in the one form that may be signed."""

    code = "message-invalid"


class CertificateInvalid(InputInvalid):
    """A certificate that cannot be read or must not be stored."""

    code = "certificate-invalid"
    default_remedy = "Ask the bank for the certificate again, as DER or PEM."


class CertificateKeyMissing(CertificateInvalid):
    """A certificate whose private key is not on the token."""

    code = "certificate-key-missing"
    default_remedy = "Plug in the token that made the certificate request."


class PinInvalid(InputInvalid):
    """A PIN or PUK that breaks the token's rules; no try was spent.

    ``rule`` is one of ``length``, ``characters``, ``weak``, ``unchanged``.
    """

    code = "pin-invalid"
    default_remedy = "Choose another one, to the token's rules; `ushield info` shows them."
    carries: ClassVar[tuple[str, ...]] = ("reference", "rule")

    def __init__(self, message: str, *, reference: str, rule: str) -> None:
        super().__init__(f"{_secret_name(reference)}: {message}")
        self.reference = reference
        self.rule = rule


class TokenFileInvalid(InputInvalid):
    """A virtual token's file that is cut short, foreign, or open to other users."""

    code = "token-file-invalid"
    default_remedy = "Name a file that `ushield virtual create` made."
    carries: ClassVar[tuple[str, ...]] = ("path",)

    def __init__(self, message: str, *, path: str, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.path = path


class TransportError(UShieldError):
    """Bytes could not be brought to the card or back."""

    code = "transport-error"
    default_remedy = "Unplug the token, plug it in again, and try another port."


class TokenNotFound(TransportError):
    """No token answers to the SPEC, or none is plugged in."""

    code = "token-not-found"
    default_remedy = "Plug the token in; `ushield list` shows what this machine sees."


class SeveralTokens(TransportError):
    """More than one token is there and the name given, if any, fits several; ``candidates`` lists
    their SPECs.
    """

    code = "several-tokens"
    carries: ClassVar[tuple[str, ...]] = ("candidates",)

    def __init__(self, message: str, *, candidates: Sequence[str]) -> None:
        # People are told them, too: a listing does not say which of all a name could mean.
        super().__init__(message, remedy=f"Name one with --token: {', '.join(candidates)}.")
        self.candidates = tuple(candidates)


class TokenBusy(TransportError):
    """Another program holds the token; ``pid`` and ``program`` name it where that can be known."""

    code = "token-busy"
    carries: ClassVar[tuple[str, ...]] = ("pid", "program")

    def __init__(
        self,
        message: str,
        *,
        pid: int | None = None,
        program: str | None = None,
        remedy: str | None = None,
    ) -> None:
        named = f"{program} (process {pid})" if program else "the other program"
        super().__init__(message, remedy=remedy or f"Close {named}, then try again.")
        self.pid = pid
        self.program = program


class AccessDenied(TransportError):
    """The system does not let this user open the device."""

    code = "access-denied"
    default_remedy = "Install the udev rules (README, Hardware), then plug the token in again."


class TokenRemoved(TransportError):
    """The token was unplugged, or lost power, while it was in use."""

    code = "token-removed"
    default_remedy = "Plug the token in again and repeat what you did."


class SlotEmpty(TransportError):
    """The reader is there; no card is in its slot."""

    code = "slot-empty"
    default_remedy = "Insert the card."


class TransferTimeout(TransportError):
    """The device did not answer in time; the connection resynchronises before its next use."""

    code = "transfer-timeout"


class TransferFailed(TransportError):
    """The system or the device refused a USB transfer."""

    code = "transfer-failed"


class ProtocolViolation(TransportError):
    """The device sent what its protocol forbids: garbage, a wrong length, a wrong order."""

    code = "protocol-violation"


class ChannelBroken(TransportError):
    """The secure channel to the token ended: what came was not what the other side sent.

    Nothing of such an answer was used. The channel is opened anew for the next command, and the
    PIN that was proven through this one must be proven again.
    """

    code = "channel-broken"
    default_remedy = (
        "Try again. If it happens again, something between this program and the token changes"
        " what they say: plug the token into this computer itself, without a hub."
    )


class TokenUntrusted(TransportError):
    """The token cannot prove that it is the one it says it is; no PIN was sent to it."""

    code = "token-untrusted"
    default_remedy = "Do not enter the PIN. Check where the token comes from; ask the bank."


class NoDriver(UShieldError):
    """A card is there, and no driver knows it."""

    code = "no-driver"
    default_remedy = "Install a driver for this token; docs tell how to write one."


class CapabilityMissing(UShieldError):
    """The token cannot do what was asked; ``capability`` names it."""

    code = "capability-missing"
    default_remedy = "Use a token that can; `ushield info` lists capabilities."
    carries: ClassVar[tuple[str, ...]] = ("capability",)

    def __init__(self, message: str, *, capability: str) -> None:
        super().__init__(message)
        self.capability = capability


class BlindSigningRefused(CapabilityMissing):
    """The token has no screen, and the caller did not say that it may sign blindly."""

    code = "blind-signing-refused"
    default_remedy = (
        "Use a token with a screen. If the bank accepts what no screen showed, say so by name:"
        " `session.sign_without_display`, `ushield sign --accept-blind`."
    )


class CardError(UShieldError):
    """The card answered, and refused."""

    code = "card-error"


class StatusWordError(CardError):
    """A status word that no other error stands for; ``sw`` is its 16-bit value."""

    code = "status-word"
    carries: ClassVar[tuple[str, ...]] = ("sw",)

    def __init__(self, message: str, *, sw: int) -> None:
        super().__init__(message)
        self.sw = sw


class TokenFull(CardError):
    """The token has no room for another key or certificate."""

    code = "token-full"
    default_remedy = (
        "Delete what is no longer needed (`ushield key delete`, `ushield cert delete`),"
        " or use another token."
    )


class StorageFull(CardError):
    """The token's memory took no write (a virtual token's disk is full); nothing has changed."""

    code = "storage-full"
    default_remedy = "Free space on the disk of a virtual token; take a real one to the bank."


class SlotOccupied(CardError):
    """There is a key, or a certificate, where a new key was to be; ``slot`` names the place."""

    code = "slot-occupied"
    default_remedy = "Choose another slot; or, to lose what is there for good, say --replace."
    carries: ClassVar[tuple[str, ...]] = ("slot",)

    def __init__(self, message: str, *, slot: str) -> None:
        super().__init__(message)
        self.slot = slot


class ObjectNotFound(CardError):
    """No object on the token has these attributes."""

    code = "object-not-found"
    default_remedy = "`ushield key list` and `ushield cert list` show what is there."


class SeveralObjects(CardError):
    """More than one object has these attributes where one was wanted."""

    code = "several-objects"
    default_remedy = "Name one by its label or id."


class KeyUsageRefused(CardError):
    """The key signs only what the token's screen showed, never a digest from this side."""

    code = "key-usage-refused"
    default_remedy = "Sign a transaction with this key, or use an authentication key."


class SignatureMismatch(CardError):
    """The token handed out a signature that its certificate does not verify; it was discarded."""

    code = "signature-mismatch"
    default_remedy = "Do not use this token; take it to the bank."


class PinError(UShieldError):
    """The PIN stands in the way. ``reference`` is ``user`` or ``puk``."""

    code = "pin-error"
    carries: ClassVar[tuple[str, ...]] = ("reference",)

    def __init__(self, message: str, *, reference: str = "user", remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.reference = reference


class PinIncorrect(PinError):
    """Wrong PIN or PUK; ``tries_left`` more until it locks."""

    code = "pin-incorrect"
    default_remedy = "Think before you try again: the token locks when no tries are left."
    carries: ClassVar[tuple[str, ...]] = ("reference", "tries_left")

    def __init__(self, *, reference: str, tries_left: int) -> None:
        tries = "1 try" if tries_left == 1 else f"{tries_left} tries"
        super().__init__(f"wrong {_secret_name(reference)}, {tries} left", reference=reference)
        self.tries_left = tries_left


class PinLocked(PinError):
    """No tries left; the token refuses even the right PIN."""

    code = "pin-locked"

    def __init__(self, *, reference: str) -> None:
        if reference == "puk":
            message, remedy = "the PUK is locked", "Take the token to the bank."
        else:
            message, remedy = "the PIN is locked", "Unblock it with the PUK: `ushield pin unblock`."
        super().__init__(message, reference=reference, remedy=remedy)


class LastTryRefused(PinError):
    """One try is left, and the caller did not say it may be spent."""

    code = "last-try-refused"
    default_remedy = "If you are sure of the PIN, repeat with --allow-last-try."


class LoginRequired(PinError):
    """The operation wants a PIN verified first (for each signature, on some profiles)."""

    code = "login-required"
    default_remedy = "Open a session with the PIN, or give the PIN with the operation."


class ManagementKeyRequired(LoginRequired):
    """The operation wants the card's management key proven first."""

    code = "management-key-required"
    default_remedy = "Give the management key: --management-key-file, or --management-key."


class ManagementKeyIncorrect(PinError):
    """This is not the card's management key. No counter limits the guesses."""

    code = "management-key-incorrect"
    default_remedy = "Give the card's own management key; whoever set the card up has it."


class PinChangeRequired(PinError):
    """The PIN is still the one the token came with."""

    code = "pin-change-required"
    default_remedy = "Change it first: `ushield pin change`."


class PinEntryCancelled(PinError):
    """The person pressed Cancel on the reader's keys; no try was spent."""

    code = "pin-entry-cancelled"
    default_remedy = "Enter the PIN on the reader and press OK there."


class PinEntryTimedOut(PinError):
    """Nobody finished the PIN on the reader's keys in time; no try was spent."""

    code = "pin-entry-timed-out"
    default_remedy = "Enter the PIN on the reader, and press OK there before its time is over."


class ConfirmationError(UShieldError):
    """A payment was not confirmed on the token; nothing was signed."""

    code = "not-confirmed"


class Rejected(ConfirmationError):
    """The person pressed C."""

    code = "rejected"
    default_remedy = "If the token showed what you meant, sign again and press OK."


class TimedOut(ConfirmationError):
    """No key was pressed in time."""

    code = "confirmation-timed-out"
    default_remedy = "Sign again, page to the end, and press OK."


class HostCancelled(ConfirmationError):
    """This side withdrew the request before the person answered."""

    code = "host-cancelled"
    default_remedy = "Sign again when ready."


class KeyHeld(ConfirmationError):
    """A key was already down when the dialog should have opened."""

    code = "key-held"
    default_remedy = "Let go of the token's keys, then sign again."


class DisplayRefused(ConfirmationError):
    """The token cannot show the whole message, so it signs none of it.

    ``reason`` is ``glyph``, ``too-long`` or ``malformed``; ``character`` is the one without a
    glyph.
    """

    code = "display-refused"
    default_remedy = "Change the text so that the token can show all of it."
    carries: ClassVar[tuple[str, ...]] = ("reason", "character")

    def __init__(self, message: str, *, reason: str, character: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.character = character


class RequestUnknown(ConfirmationError):
    """The token knows no live request of this id: it was used, ended, or never was."""

    code = "request-unknown"
    default_remedy = "Sign again."


class RequestPending(ConfirmationError):
    """The person has not answered yet; the request is still on the screen."""

    code = "request-pending"
    default_remedy = "Wait for the OK key on the token."


class ScreenBusy(ConfirmationError):
    """Another request is on the token's screen."""

    code = "screen-busy"
    default_remedy = "Answer or cancel the request on the token's screen first."


class StoreError(UShieldError):
    """The bank's database stands in the way."""

    code = "store-error"
    default_remedy = "Look at the database's own log, then repeat what you did."


class AuthorityError(UShieldError):
    """The bank's certification authority stands in the way."""

    code = "authority-error"
    default_remedy = "Look at the CA's own log, then repeat what you did."


def _secret_name(reference: str) -> str:
    return "PUK" if reference == "puk" else "PIN"
