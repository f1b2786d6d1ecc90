"""``ushield bank enrol`` and ``renew``: certificates for customers' tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ushield.cli.bank_folder import BankCommand, load_bank
from ushield.cli.files import NewFile, new_file_options
from ushield.cli.invocation import Invocation, pass_invocation
from ushield.cli.pem_files import read_certificate, read_certificates, read_request
from ushield.cli.presentation import table
from ushield.cli.secrets import SecretSource, secret_options

if TYPE_CHECKING:
    from ushield.bank.attestation import EnrolledAttestation
    from ushield.bank.facade import Bank
    from ushield.bank.lifecycle.enrolments import Enrolments
    from ushield.bank.lifecycle.records import Enrolment

__all__ = ["command", "renew"]

_code_option = secret_options("registration code", "code", "--code")
_request_argument = click.argument("request_path", metavar="REQUEST", type=click.Path(exists=True))
_attestation_argument = click.argument(
    "attestation_path", metavar="ATTESTATION", type=click.Path(exists=True)
)


@click.group()
def command() -> None:
    """Certify customers' tokens: by a code, a request and the token's own attestation.

    Example: ushield bank enrol register alice
    """


@command.command(cls=BankCommand)
@click.argument("customer")
@click.option("--name", help="The customer's name, if certificate and log should have it.")
@click.option("--serial", metavar="SERIAL", help="The token that was handed out, and no other.")
@click.option(
    "--replaces", metavar="SERIAL", help="The customer's token that the new one takes the place of."
)
@pass_invocation
def register(
    invocation: Invocation,
    *,
    bank: str,
    customer: str,
    name: str | None,
    serial: str | None,
    replaces: str | None,
) -> None:
    """Let CUSTOMER enrol a token by a code, which is printed once and kept nowhere.

    See that it reaches the customer, and nobody else.

    Example: ushield bank enrol register alice --serial US00000001
    """
    with _opened(bank) as (opened, enrolments):
        opened.add_customer(customer, name)
        registration = enrolments.register(customer, token=serial, replaces=replaces)
    facts = {
        "enrolment": registration.id,
        "customer": customer,
        "code": registration.code.text,
        "expires": registration.expires_at.isoformat(),
    }
    invocation.output.result(facts, table(list(facts.items())))


@command.command(cls=BankCommand)
@_request_argument
@_attestation_argument
@_code_option
@new_file_options("certificate and chain go (PEM)")
@pass_invocation
def certify(
    invocation: Invocation,
    *,
    bank: str,
    request_path: str,
    attestation_path: str,
    code: SecretSource,
    out: str,
    force: bool,
) -> None:
    """Issue the certificate for a REQUEST of whoever was told the code.

    REQUEST is what `ushield cert request` wrote, ATTESTATION what `ushield key attest` did. Doing
    it again gives the same certificate. Exit code 40 for a code that is not taken, 42 for a token
    that the bank does not enrol, 61 if the CA is in the way.

    Example: ushield bank enrol certify alice.csr attestation.pem --code-file code.txt -o alice.pem
    """
    request, attestation = read_request(request_path), _read_attestation(attestation_path)
    with (
        NewFile(out, replace=force) as target,
        _opened(bank) as (_, enrolments),
        code.read() as secret,
    ):
        text = secret.reveal().decode("utf-8", "replace")
        found = enrolments.enrol(text, request, attestation)
        target.commit(found.pem)
    _tell(invocation, found, f"Written to {out}.")


@command.command(cls=BankCommand)
@click.argument("enrolment_id", metavar="ENROLMENT", required=False)
@click.option("--anew", is_flag=True, help="By a new transaction: the CA lost the answer for good.")
@pass_invocation
def resume(invocation: Invocation, *, bank: str, enrolment_id: str | None, anew: bool) -> None:
    """Ask the CA again for what ENROLMENT waits for; without it, for all that wait.

    What goes wrong with one of them is told once all were asked for.

    Example: ushield bank enrol resume
    """
    from ushield.bank.record_facts import enrolment_facts

    if anew and enrolment_id is None:
        raise click.UsageError("--anew is for one enrolment: name it")
    with _opened(bank) as (_, enrolments):
        if enrolment_id is None:
            resumed = enrolments.resume_all()
        else:
            resumed = [enrolments.resume(enrolment_id, anew=anew)]
        found = [enrolment_facts(each) for each in resumed]
    lines = [f"{each['enrolment']}  {each['customer']}  {each['state']}" for each in found]
    invocation.output.result({"enrolments": found}, "\n".join(lines) or "Nothing waits.")


@command.command(cls=BankCommand)
@click.argument("enrolment_id", metavar="ENROLMENT")
@click.argument("certificate", type=click.Path(exists=True, dir_okay=False))
@pass_invocation
def confirm(invocation: Invocation, *, bank: str, enrolment_id: str, certificate: str) -> None:
    """Note that CERTIFICATE is on the token, as `ushield cert export` read it from there.

    What it renews or replaces is revoked by that.

    Example: ushield bank enrol confirm 5d41402abc4b2a76b9719d911017c592 from-token.pem
    """
    digest = _certificate_digest(certificate)
    with _opened(bank) as (_, enrolments):
        found = enrolments.confirm(enrolment_id, digest)
    _tell(invocation, found)


@command.command(cls=BankCommand)
@click.argument("enrolment_id", metavar="ENROLMENT")
@click.option("--withdraw", is_flag=True, help="Take its code no more.")
@pass_invocation
def show(invocation: Invocation, *, bank: str, enrolment_id: str, withdraw: bool) -> None:
    """Tell how ENROLMENT stands, or withdraw it.

    Example: ushield bank enrol show 5d41402abc4b2a76b9719d911017c592
    """
    with _opened(bank) as (_, enrolments):
        found = enrolments.withdraw(enrolment_id) if withdraw else enrolments.find(enrolment_id)
    _tell(invocation, found)


@click.group()
def renew() -> None:
    """Have a certificate followed by a new one, which the old key authorises.

    Example: ushield bank renew begin old.pem new.csr attestation.pem -o to-sign.json
    """


@renew.command(cls=BankCommand)
@click.argument("certificate", type=click.Path(exists=True, dir_okay=False))
@_request_argument
@_attestation_argument
@new_file_options("the renewal to sign goes (JSON)")
@pass_invocation
def begin(
    invocation: Invocation,
    *,
    bank: str,
    certificate: str,
    request_path: str,
    attestation_path: str,
    out: str,
    force: bool,
) -> None:
    """Ask for the key of REQUEST to follow that of CERTIFICATE, on the same token.

    What comes out is for `ushield sign` with the old key, and `ushield bank accept`.

    Example: ushield bank renew begin old.pem new.csr attestation.pem -o to-sign.json
    """
    import json

    from ushield.transaction import to_json

    digest = _certificate_digest(certificate)
    request, attestation = read_request(request_path), _read_attestation(attestation_path)
    with NewFile(out, replace=force) as target, _opened(bank) as (_, enrolments):
        renewal = enrolments.begin_renewal(digest, request, attestation)
        transaction = to_json(renewal.challenge.transaction)
        target.commit((json.dumps(transaction, ensure_ascii=False, indent=2) + "\n").encode())
    facts = {
        "enrolment": renewal.id,
        "challenge": renewal.challenge.id,
        "expires": renewal.challenge.expires_at.isoformat(),
    }
    text = f"To be signed: {out}\n{table(list(facts.items()))}"
    invocation.output.result({**facts, "transaction": transaction}, text)


@renew.command(cls=BankCommand)
@click.argument("enrolment_id", metavar="ENROLMENT")
@new_file_options("certificate and chain go (PEM)")
@pass_invocation
def finish(invocation: Invocation, *, bank: str, enrolment_id: str, out: str, force: bool) -> None:
    """Issue the new certificate, once the signature for the renewal was accepted.

    The old one stays good until `ushield bank enrol confirm`.

    Example: ushield bank renew finish 5d41402abc4b2a76b9719d911017c592 -o new.pem
    """
    with NewFile(out, replace=force) as target, _opened(bank) as (_, enrolments):
        found = enrolments.finish_renewal(enrolment_id)
        target.commit(found.pem)
    _tell(invocation, found, f"Written to {out}.")


@contextmanager
def _opened(folder: str) -> Iterator[tuple[Bank, Enrolments]]:
    configuration = load_bank(folder)
    with configuration.open() as bank:
        yield bank, configuration.enrolments(bank)


def _tell(invocation: Invocation, found: Enrolment, text: str = "") -> None:
    from ushield.bank.record_facts import enrolment_facts

    facts = enrolment_facts(found)
    rows = [(name.replace("_", " "), facts[name] or "") for name in facts if name != "pem"]
    invocation.output.result(facts, "\n".join(filter(None, (table(rows), text))))


def _read_attestation(path: str) -> EnrolledAttestation:
    from cryptography.hazmat.primitives.serialization import Encoding

    from ushield.bank.attestation import EnrolledAttestation
    from ushield.errors import CertificateInvalid

    found = [each.public_bytes(Encoding.DER) for each in read_certificates(path)]
    if len(found) != 2:
        raise CertificateInvalid(
            f"{path}: an attestation has two certificates, the key's and the device's",
            remedy="Have the token write it: `ushield key attest KEY -o FILE`.",
        )
    return EnrolledAttestation(*found)


def _certificate_digest(path: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256

    return read_certificate(path).fingerprint(SHA256())
