"""Each error has its documented exit code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ushield import errors
from ushield.cli.exit_codes import ExitCode, exit_code

DOCUMENTED = {
    errors.BlindSigningRefused: 42,
    errors.ManagementKeyIncorrect: 20,
    errors.ManagementKeyRequired: 20,
    errors.SlotOccupied: 42,
    errors.UShieldError: 3,
    errors.InputInvalid: 50,
    errors.SpecInvalid: 2,
    errors.TlvInvalid: 50,
    errors.ApduInvalid: 50,
    errors.TransactionInvalid: 50,
    errors.MessageInvalid: 50,
    errors.CertificateInvalid: 50,
    errors.CertificateKeyMissing: 50,
    errors.PinInvalid: 50,
    errors.TokenFileInvalid: 50,
    errors.TransportError: 3,
    errors.TokenNotFound: 10,
    errors.SeveralTokens: 11,
    errors.TokenBusy: 12,
    errors.AccessDenied: 10,
    errors.TokenRemoved: 13,
    errors.SlotEmpty: 10,
    errors.TransferTimeout: 3,
    errors.TransferFailed: 3,
    errors.ProtocolViolation: 3,
    errors.ChannelBroken: 3,
    errors.TokenUntrusted: 41,
    errors.NoDriver: 14,
    errors.CapabilityMissing: 14,
    errors.BlindSigningRefused: 42,
    errors.CardError: 3,
    errors.StatusWordError: 3,
    errors.TokenFull: 3,
    errors.StorageFull: 3,
    errors.ObjectNotFound: 50,
    errors.SeveralObjects: 50,
    errors.SlotOccupied: 42,
    errors.KeyUsageRefused: 42,
    errors.SignatureMismatch: 40,
    errors.PinError: 20,
    errors.PinIncorrect: 20,
    errors.PinLocked: 21,
    errors.LastTryRefused: 22,
    errors.LoginRequired: 20,
    errors.ManagementKeyRequired: 20,
    errors.ManagementKeyIncorrect: 20,
    errors.PinChangeRequired: 42,
    errors.ConfirmationError: 30,
    errors.Rejected: 30,
    errors.TimedOut: 31,
    errors.HostCancelled: 33,
    errors.KeyHeld: 30,
    errors.PinEntryCancelled: 33,
    errors.PinEntryTimedOut: 31,
    errors.DisplayRefused: 32,
    errors.ScreenBusy: 12,
    errors.RequestPending: 3,
    errors.RequestUnknown: 3,
    errors.StoreError: 60,
    errors.AuthorityError: 61,
}


def all_errors(root: type[errors.UShieldError]) -> Iterator[type[errors.UShieldError]]:
    yield root
    for child in root.__subclasses__():
        yield from all_errors(child)


def made_without_its_arguments(cls: type[errors.UShieldError]) -> errors.UShieldError:
    return cls.__new__(cls, "as raised")


@pytest.mark.parametrize("cls", list(DOCUMENTED), ids=lambda cls: cls.__name__)
def test_an_error_gives_its_documented_exit_code(cls: type[errors.UShieldError]) -> None:
    assert exit_code(made_without_its_arguments(cls)) == DOCUMENTED[cls]


def test_every_error_of_the_library_is_documented() -> None:
    here = {cls for cls in all_errors(errors.UShieldError) if cls.__module__ == "ushield.errors"}
    assert here == set(DOCUMENTED)


def test_an_error_defined_elsewhere_gets_the_code_of_the_nearest_one_above() -> None:
    class Odd(errors.PinLocked):
        code = "odd"

    assert exit_code(made_without_its_arguments(Odd)) is ExitCode.PIN_LOCKED
