"""``ushield bank ca`` and ``ushield bank crl``: the CA that issues certificates for the bank."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ushield.cli.bank_folder import BankCommand, load_bank
from ushield.cli.invocation import Invocation, pass_invocation
from ushield.cli.presentation import table

if TYPE_CHECKING:
    from ushield.bank.authorities.configuration import EmbeddedSettings
    from ushield.bank.configuration import BankConfiguration

__all__ = ["command", "crl"]


@click.group()
def command() -> None:
    """The CA that issues certificates for the bank.

    Example: ushield bank ca show
    """


@command.command(cls=BankCommand)
@pass_invocation
def show(invocation: Invocation, *, bank: str) -> None:
    """Tell which CA issues certificates for the bank, and by which certificates.

    Example: ushield bank ca show
    """
    import hashlib

    from cryptography import x509

    from ushield.bank.authorities.configuration import EmbeddedSettings
    from ushield.bank.store.store import Store

    configuration = load_bank(bank)
    settings = configuration.issuing()
    with Store.open(configuration.url) as store:
        chain = settings.open(store).chain
    certificates = [
        {
            "subject": certificate.subject.rfc4514_string(),
            "sha256": hashlib.sha256(der).hexdigest(),
            "not_after": certificate.not_valid_after_utc.isoformat(),
        }
        for der, certificate in ((each, x509.load_der_x509_certificate(each)) for each in chain)
    ]
    kind = "embedded" if isinstance(settings, EmbeddedSettings) else "cmp"
    lines = [f"kind: {kind}"]
    lines += [
        table(
            [
                ("subject", each["subject"]),
                ("SHA-256", each["sha256"]),
                ("until", each["not_after"]),
            ]
        )
        for each in certificates
    ]
    invocation.output.result({"kind": kind, "chain": certificates}, "\n".join(lines))


@click.command(cls=BankCommand)
@click.option(
    "-o",
    "--output",
    "out",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Where it goes; the file that bank.toml names, or bank.crl in the bank's folder.",
)
@click.option("--pem", is_flag=True, help="Write PEM, not DER.")
@pass_invocation
def crl(invocation: Invocation, *, bank: str, out: str | None, pem: bool) -> None:
    """Publish a new CRL of the bank's own CA; the file is replaced whole, never by an older one.

    Do it at least twice in a CRL's life, which is a day unless bank.toml says otherwise: payments
    are refused when the last one has ended.

    Example: ushield bank crl -o /srv/www/bank.crl
    """
    from cryptography import x509

    from ushield.bank.store.store import Store

    configuration = load_bank(bank)
    settings = _embedded(configuration)
    path = settings.crl if out is None else Path(out)
    with Store.open(configuration.url) as store:
        published = settings.crl_publisher(store).publish(path, pem=pem)
    number = published.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    end = published.next_update_utc
    facts = {
        "file": str(path),
        "number": number,
        "entries": len(published),
        "this_update": published.last_update_utc.isoformat(),
        "next_update": end and end.isoformat(),
    }
    rows = [(name.replace("_", " "), str(value)) for name, value in facts.items()]
    invocation.output.result(facts, table(rows))


def _embedded(configuration: BankConfiguration) -> EmbeddedSettings:
    from ushield.bank.authorities.configuration import EmbeddedSettings

    settings = configuration.issuing()
    if not isinstance(settings, EmbeddedSettings):
        raise click.UsageError("the bank's CA is elsewhere, and publishes its CRL itself")
    return settings
