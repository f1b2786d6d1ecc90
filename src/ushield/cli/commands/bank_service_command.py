"""``ushield bank serve``, ``openapi``, ``client``: the bank's verbs over HTTP."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from ushield.cli.bank_folder import BankCommand, load_bank
from ushield.cli.files import FileFailed, read_file
from ushield.cli.invocation import Command, Invocation, pass_invocation
from ushield.cli.output import reason_of
from ushield.cli.pem_files import read_certificate
from ushield.cli.presentation import table

__all__ = ["client", "openapi", "serve"]

_MAX_CERTIFICATE = 1 << 16
_MAX_FILE = 1 << 20
_ROLES = ("payments", "registrar", "hotline", "clerk", "auditor")


@click.command(cls=BankCommand)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="An address of this machine; with mutual TLS any other. 127.0.0.1:8080 without it.",
)
@click.option("--uds", metavar="PATH", help="A socket in the file system instead.")
@click.option("--certificate", metavar="FILE", help="The server's certificate and chain, PEM.")
@click.option("--key", metavar="FILE", help="Its key, PEM, without a password.")
@click.option("--client-ca", metavar="FILE", help="The CAs of the clients' certificates, PEM.")
@click.option(
    "--host",
    "hosts",
    metavar="NAME",
    multiple=True,
    help="A name by which clients call it; those in the certificate are known.",
)
@pass_invocation
def serve(
    invocation: Invocation,
    *,
    bank: str,
    listen: str | None,
    uds: str | None,
    certificate: str | None,
    key: str | None,
    client_ca: str | None,
    hosts: tuple[str, ...],
) -> None:
    """Serve the bank's verbs over HTTP and JSON, until it is interrupted.

    Without TLS only this machine reaches it. With TLS every client must have a certificate. Who
    may do what is in service.toml in the bank's folder: `ushield bank client add`.

    Example: ushield bank serve --listen 127.0.0.1:8080
    """
    from ushield.bank.service import Address, MutualTls, ServiceSettings
    from ushield.bank.service import serve as serve_bank

    if listen is not None and uds is not None:
        raise click.UsageError("--listen or --uds, not both")
    tls = None
    if certificate is not None and key is not None and client_ca is not None:
        tls = MutualTls(certificate, key, client_ca)
    elif any((certificate, key, client_ca)):
        raise click.UsageError("--certificate, --key and --client-ca go together")
    settings = ServiceSettings(
        address=Address(path=uds) if uds is not None else Address.parse(listen or "127.0.0.1:8080"),
        tls=tls,
        hosts=hosts,
    )
    serve_bank(
        load_bank(bank),
        settings,
        started=lambda url: invocation.output.result({"url": url}, f"Serving {url}"),
    )


@click.command(cls=Command)
def openapi() -> None:
    """Print the OpenAPI 3.1 document of the service, which is its own reference.

    Example: ushield bank openapi > openapi.json
    """
    from ushield.bank.service import document

    click.echo(json.dumps(document(), ensure_ascii=False, indent=2))


@click.group()
def client() -> None:
    """Who may call the service: programs and clerks, each with a token or certificate of its own.

    Example: ushield bank client add payments --role payments --token-out payments.token
    """


@client.command(cls=BankCommand)
@click.argument("name")
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    type=click.Choice(_ROLES),
    help="What it may do; may be given several times.",
)
@click.option("--token-out", metavar="FILE", help="Make a token, and put it into this new file.")
@click.option(
    "--certificate",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="Its certificate (PEM or DER), which it shows in TLS.",
)
@click.option(
    "--subject", metavar="NAME", help="The subject of its certificates instead (RFC 4514)."
)
@pass_invocation
def add(
    invocation: Invocation,
    *,
    bank: str,
    name: str,
    roles: tuple[str, ...],
    token_out: str | None,
    certificate: str | None,
    subject: str | None,
) -> None:
    """Let a client of this NAME call the service; the bank's log knows it by that name.

    One person or program has one name: two names are two people where two must agree. A running
    service takes it at once. To shut a client out, delete its table from service.toml.

    Example: ushield bank client add payments --role payments --token-out payments.token
    """
    from ushield.bank.key_files import write_private
    from ushield.bank.service import Client, Role
    from ushield.bank.service.clients import new_token, token_digest
    from ushield.bank.service.configuration import (
        FILE_NAME,
        ServiceConfiguration,
        client_table,
    )

    if token_out is None and certificate is None and subject is None:
        raise click.UsageError("--token-out, --certificate or --subject is due")
    if token_out is not None and os.path.lexists(token_out):
        raise click.UsageError(f"{token_out} exists")
    load_bank(bank)
    ServiceConfiguration.load(bank)
    token = None if token_out is None else new_token()
    new = Client(
        name=name,
        roles=frozenset(map(Role, roles)),
        token_sha256=token and token_digest(token),
        certificate_sha256=None if certificate is None else _digest(certificate),
        certificate_subject=subject,
    )
    path = Path(bank) / FILE_NAME
    before = read_file(str(path), at_most=_MAX_FILE).decode() if path.exists() else ""
    text = before + ("\n" if before else "") + client_table(new)
    ServiceConfiguration.parse(text)
    if token is not None and token_out is not None:
        write_private(token_out, f"{token}\n".encode())
    _write_clients(path, text)
    facts = {"client": name, "roles": sorted(roles), "token_file": token_out}
    rows = [("client", name), ("roles", ", ".join(sorted(roles))), ("token", token_out or "")]
    invocation.output.result(facts, table(rows))


@client.command("list", cls=BankCommand)
@pass_invocation
def list_clients(invocation: Invocation, *, bank: str) -> None:
    """Tell the service's clients and their roles.

    Example: ushield bank client list
    """
    from ushield.bank.service import ServiceConfiguration

    load_bank(bank)
    clients = ServiceConfiguration.load(bank).clients.by_name.values()
    facts = {
        "clients": [
            {
                "client": each.name,
                "roles": sorted(each.roles),
                "by": [proof.partition(":")[0] for proof in each.proofs if proof],
            }
            for each in clients
        ]
    }
    rows = [(each.name, ", ".join(sorted(each.roles))) for each in clients]
    invocation.output.result(facts, table(rows) or "The service has no clients.")


def _digest(path: str) -> str:
    from cryptography.hazmat.primitives.hashes import SHA256

    return read_certificate(path).fingerprint(SHA256()).hex()


def _write_clients(path: Path, text: str) -> None:
    from ushield.bank.whole_files import write_durably

    try:
        # What others may change would not be believed, whatever the umask lets them.
        mode = path.stat().st_mode if path.exists() else 0o600
        with write_durably(path) as stream:
            os.fchmod(stream.fileno(), mode & 0o644)
            stream.write(text.encode())
    except OSError as error:
        raise FileFailed(f"{path}: {reason_of(error)}") from error
