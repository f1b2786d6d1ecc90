"""``ushield bank init``, ``register``, ``restored``, what is reported: what the bank knows."""

from __future__ import annotations

from pathlib import Path

import click

from ushield.cli.bank_folder import BankCommand, load_bank
from ushield.cli.bank_making import (
    UNBLOCK_KEY,
    make_bank,
    make_bank_with_own_ca,
    make_unblock_key,
    settings_of,
)
from ushield.cli.files import read_file
from ushield.cli.invocation import Command, Invocation, pass_invocation
from ushield.cli.pem_files import read_certificate
from ushield.cli.presentation import table
from ushield.cli.staging import sweep

__all__ = ["init", "register", "report_loss", "report_pin_change", "restored"]

_MAX_CA = 1 << 22


@click.command(cls=Command)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False))
@click.option(
    "--ca",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="The CAs of customers' certificates, PEM or DER.",
)
@click.option(
    "--own-ca",
    metavar="NAME",
    help="Make a CA of the bank's own, for the organisation NAME, in place of --ca.",
)
@click.option(
    "--ca-passphrase-file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="Encrypt that CA's key by the first line of FILE, which must stay there.",
)
@click.option(
    "--store",
    metavar="URL",
    help="The database: postgresql://[USER@]HOST/NAME; without it, the file bank.db in DIR.",
)
@click.option("--accept-virtual", is_flag=True, help="Take signatures of virtual tokens, too.")
@pass_invocation
def init(
    invocation: Invocation,
    *,
    folder: str,
    ca: str | None,
    own_ca: str | None,
    ca_passphrase_file: str | None,
    store: str | None,
    accept_virtual: bool,
) -> None:
    """Make a bank in DIR, or bring an older one's tables up to date.

    DIR gets bank.toml, ca.pem, the key that seals the audit log (audit-key.pem, guard it), and its
    public half, audit-public.pem; likewise unblock-key.pem, which unblocks the tokens that were
    made with unblock-public.pem. With --own-ca also authority-key.pem (guard it even better) and
    authority.pem: the bank then issues certificates itself.

    Example: ushield bank init mybank --ca bank-ca.pem
    """
    from ushield.bank import create_store
    from ushield.bank.configuration import FILE_NAME
    from ushield.bank.moments import system_clock

    is_new = not (Path(folder) / FILE_NAME).exists()
    if is_new:
        if (ca is None) is (own_ca is None):
            raise click.UsageError("a new bank wants --ca or --own-ca")
        if ca_passphrase_file is not None and own_ca is None:
            raise click.UsageError("--ca-passphrase-file goes with --own-ca")
        settings = settings_of(store, accept_virtual=accept_virtual)
        if ca is not None:
            make_bank(Path(folder), read_file(ca, at_most=_MAX_CA), settings)
        else:
            make_bank_with_own_ca(Path(folder), own_ca or "", ca_passphrase_file, settings)
    elif ca or own_ca or ca_passphrase_file or store or accept_virtual:
        raise click.UsageError(f"{folder} is a bank already; edit its {FILE_NAME}")
    configuration = load_bank(folder)
    sweep(Path(folder))
    if configuration.unblock_key == UNBLOCK_KEY:
        make_unblock_key(Path(folder))
    made = create_store(configuration.url, system_clock())
    facts = {"bank": folder, "new": is_new, "tables": "made" if made else "up to date"}
    text = f"Made the bank {folder}" if is_new else f"The bank {folder} is up to date"
    invocation.output.result(facts, text)


@click.command(cls=BankCommand)
@click.argument("customer")
@click.option("--name", help="The customer's name, if the bank's log should have it.")
@click.option(
    "--certificate",
    metavar="FILE",
    required=True,
    type=click.Path(exists=True, dir_okay=False),
    help="The certificate of the token's signing key, PEM or DER.",
)
@click.option("--serial", metavar="SERIAL", required=True, help="The token's serial number.")
@click.option("--profile", metavar="NAME", help="The policy's profile for this customer.")
@click.option("--person", metavar="ID", help="Who of the customer has the token.")
@click.option("--checks", is_flag=True, help="That person may check payments of others.")
@pass_invocation
def register(
    invocation: Invocation,
    *,
    bank: str,
    customer: str,
    name: str | None,
    certificate: str,
    serial: str,
    profile: str | None,
    person: str | None,
    checks: bool,
) -> None:
    """Take the signatures of CUSTOMER by this token and this certificate from now on.

    A company's tokens are registered one by one, each with the person who has it. Doing it again
    changes nothing, but for --person and --checks.

    Example: ushield bank register alice --certificate alice.pem --serial US00000001
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    if checks and person is None:
        raise click.UsageError("--checks wants --person")
    der = read_certificate(certificate).public_bytes(Encoding.DER)
    with load_bank(bank).open() as opened:
        opened.add_customer(customer, name, profile=profile)
        enrolled = opened.enrol(customer, der, token=serial)
        if person is not None:
            opened.assign(serial, person, checks=checks)
    facts = {
        "customer": customer,
        "token": serial,
        **({} if person is None else {"person": person, "checks": checks}),
        "certificate_sha256": enrolled.sha256.hex(),
        "certificate_serial": enrolled.serial_number,
        "state": enrolled.state.value,
    }
    rows = [(key.replace("_", " "), str(value)) for key, value in facts.items()]
    invocation.output.result(facts, f"Registered\n{table(rows)}")


@click.command("report-loss", cls=BankCommand)
@click.argument("serial")
@pass_invocation
def report_loss(invocation: Invocation, *, bank: str, serial: str) -> None:
    """Take no signature any more of the token with this SERIAL number, from now on.

    Example: ushield bank report-loss US00000001
    """
    from ushield.bank.record_facts import token_facts

    with load_bank(bank).open() as opened:
        token = opened.report_loss(serial)
    since = token.changed_at.isoformat()
    invocation.output.result(
        token_facts(token), f"Lost since {since}: {serial} of {token.customer_id}"
    )


@click.command("report-pin-change", cls=BankCommand)
@click.argument("serial")
@pass_invocation
def report_pin_change(invocation: Invocation, *, bank: str, serial: str) -> None:
    """Note that the PIN of the token with this SERIAL number was changed.

    The customer's side says so; `ushield bank due` reminds when that is too long ago.

    Example: ushield bank report-pin-change US00000001
    """
    from ushield.bank.record_facts import token_facts

    with load_bank(bank).open() as opened:
        token = opened.report_pin_change(serial)
    invocation.output.result(token_facts(token), f"Noted: another PIN, {serial}")


@click.command(cls=BankCommand)
@click.option(
    "--nothing-lost",
    is_flag=True,
    help="Keep live challenges: the database was moved at rest, or its standby had every commit.",
)
@pass_invocation
def restored(invocation: Invocation, *, bank: str, nothing_lost: bool) -> None:
    """Take a restored, copied or promoted database for the bank's true one from now on.

    Its live challenges are voided: some may have been accepted after the copy was made. First make
    sure that nobody uses the database it was copied from.

    Example: ushield bank restored
    """
    from ushield.bank import confirm_restored
    from ushield.bank.moments import system_clock

    voided = confirm_restored(load_bank(bank).url, system_clock(), nothing_lost=nothing_lost)
    invocation.output.result(
        {"voided": voided}, f"Confirmed; challenges voided: {voided}. Check the log next."
    )
