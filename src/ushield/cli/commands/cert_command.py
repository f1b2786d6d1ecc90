"""``ushield cert``: certificates on the token, and requests for them."""

from __future__ import annotations

import click

from ushield.cli.access import open_token, open_virtual
from ushield.cli.choosing import CertificateChoice, certificate_options, choose_key
from ushield.cli.confirming import Confirmer, Press, press_option, timeout_option
from ushield.cli.files import NewFile, read_file, write_file
from ushield.cli.invocation import Invocation, TokenCommand, pass_invocation
from ushield.cli.management import (
    Management,
    authorise,
    management_options,
    open_administered,
)
from ushield.cli.presentation import certificate_facts, finding_facts
from ushield.cli.secrets import SecretSource, last_try_option, pin_options
from ushield.cli.touching import Toucher

__all__ = ["command"]

_MAX_FILE = 1 << 21


_force_option = click.option("--force", is_flag=True, help="Replace the file if it exists.")


@click.group()
def command() -> None:
    """List, import, export, request, check or delete certificates.

    Example: ushield cert list
    """


@command.command("list", cls=TokenCommand)
@pass_invocation
def list_certificates(invocation: Invocation) -> None:
    """List the certificates on the token.

    Example: ushield cert list
    """
    with open_token(invocation) as token, token.session() as session:
        found = [certificate_facts(certificate) for certificate in session.certificates()]
    lines = [
        f"{facts['slot']:>2}  {facts['id'] or '-' * 40}  {facts['label']}"
        f"  {facts.get('subject', '(unreadable)')}"
        f"  until {facts.get('not_after', '?')[:10]}"
        for facts in found
    ]
    invocation.output.result(
        {"certificates": found}, "\n".join(lines) or "No certificates on the token."
    )


@command.command("import", cls=TokenCommand)
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--label", metavar="LABEL", default="", help="What to call it; its key's label.")
@click.option(
    "--slot",
    "place",
    metavar="SLOT",
    help="Where its key is, on a card that does not tell its keys (9a, 9c, ..).",
)
@management_options
@pin_options
@last_try_option
@pass_invocation
def import_certificate(
    invocation: Invocation,
    *,
    file: str,
    label: str,
    place: str | None,
    management: Management,
    pin: SecretSource,
) -> None:
    """Store a certificate, with its chain if FILE has that too.

    FILE is PEM or DER. All of it is stored, or nothing. A PIV card has no room for a chain.

    Example: ushield cert import alice.pem --pin-file pin.txt
    """
    from ushield.keystore.bundle import leaf_public_key

    data = read_file(file, at_most=_MAX_FILE)
    with open_administered(invocation, pin, management) as session:
        if place is not None:
            session.introduce_key(place, leaf_public_key(data))
        stored = [
            certificate_facts(certificate)
            for certificate in session.import_certificates(data, label=label)
        ]
    lines = [f"Stored {facts['label']!r}: {facts.get('subject', '?')}" for facts in stored]
    invocation.output.result({"certificates": stored}, "\n".join(lines))


@command.command(cls=TokenCommand)
@certificate_options
@click.option("--chain", is_flag=True, help="With the authorities above it that are on the token.")
@click.option("-o", "--output", "path", metavar="FILE", help="Where to; stdout without it.")
@_force_option
@pass_invocation
def export(
    invocation: Invocation,
    *,
    choice: CertificateChoice,
    chain: bool,
    path: str | None,
    force: bool,
) -> None:
    """Write a certificate as PEM.

    Example: ushield cert export --label signing -o alice.pem
    """
    with open_token(invocation) as token, token.session() as session:
        certificate = choice.one(session)
        pem = session.export_chain(certificate) if chain else certificate.pem
        facts = certificate_facts(certificate)
    if path is None:
        invocation.output.result(facts | {"pem": pem}, pem.rstrip("\n"))
    else:
        write_file(path, pem.encode("ascii"), replace=force)
        invocation.output.result(facts | {"file": path}, f"Written to {path}.")


@command.command(cls=TokenCommand)
@click.option("--key", "name", metavar="KEY", required=True, help="The key's label or id.")
@click.option(
    "--subject", metavar="NAME", required=True, help='Whose it is, as in RFC 4514: "CN=..,C=CN".'
)
@click.option("-o", "--output", "path", metavar="FILE", required=True, help="Where to (PEM).")
@click.option(
    "--public-key",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="The public key (PEM), as `key generate` wrote it, on a card that does not tell its keys.",
)
@_force_option
@timeout_option
@press_option
@pin_options
@last_try_option
@pass_invocation
def request(
    invocation: Invocation,
    *,
    name: str,
    subject: str,
    path: str,
    public_key: str | None,
    force: bool,
    timeout: float | None,
    press: Press | None,
    pin: SecretSource,
) -> None:
    """Write a PKCS #10 request for a key, after OK on the token.

    A token without a screen signs it unseen, after a touch if the key wants one.

    Example: ushield cert request --key signing --subject CN=张三,C=CN -o a.csr
    """
    from ushield.drivers.base import Capability
    from ushield.keystore.bundle import public_key_der_of

    with NewFile(path, replace=force) as out, open_virtual(invocation) as virtual:
        toucher = Toucher(invocation.output, virtual, press)
        with open_token(invocation) as token, token.session() as session:
            if public_key is None:
                key = choose_key(session, name)
            else:
                told = public_key_der_of(read_file(public_key, at_most=_MAX_FILE))
                key = session.introduce_key(name, told)
            if Capability.DISPLAY_SIGNING in token.info.capabilities:
                confirmer = Confirmer(invocation.output, virtual, press, timeout)
                with pin.read() as secret:
                    session.login(secret, allow_last_try=invocation.allow_last_try)
                made = confirmer.wait(session.request_certificate(key, subject))
            else:
                with pin.read() as secret, toucher.attending():
                    made = session.request_certificate_without_display(
                        key,
                        subject,
                        pin=secret,
                        allow_last_try=invocation.allow_last_try,
                        progress=toucher.told,
                    )
        out.commit(made.pem.encode("ascii"))
    invocation.output.result(
        {"file": path, "subject": made.subject, "id": made.key_id.hex()},
        f"The request for {made.subject} is written to {path}.",
    )


@command.command(cls=TokenCommand)
@certificate_options
@click.option(
    "--ca",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="CA certificates that are not on the token, PEM or DER.",
)
@pass_invocation
def health(invocation: Invocation, *, choice: CertificateChoice, ca: str | None) -> None:
    """Tell what is wrong with certificates, or soon will be.

    Exit code 0 whatever is found; the findings say what to do.

    Example: ushield cert health --ca bank-ca.pem
    """
    from datetime import UTC, datetime

    from ushield.keystore import Certificate, Severity
    from ushield.keystore.bundle import read_bundle
    from ushield.keystore.health import check_health

    others: list[Certificate] = []
    if ca is not None:
        from cryptography.hazmat.primitives.serialization import Encoding

        others = [
            Certificate(0, b"", "", authority.public_bytes(Encoding.DER))
            for authority in read_bundle(read_file(ca, at_most=_MAX_FILE))
        ]
    with open_token(invocation) as token, token.session() as session:
        keys = [key.info for key in session.public_keys()]
        chain = [*session.certificates(), *others]
        checked = [
            (certificate, check_health(certificate, keys, chain, at=datetime.now(UTC)))
            for certificate in choice.some(session)
        ]
    lines = []
    for certificate, findings in checked:
        lines.append(f"{certificate.label}: {'in order' if not findings else ''}".rstrip())
        for finding in findings:
            word = "wrong" if finding.severity is Severity.ERROR else "note"
            lines += [f"  {word}: {finding.message}", f"    {finding.remedy}"]
    invocation.output.result(
        {
            "certificates": [
                certificate_facts(certificate)
                | {"findings": [finding_facts(finding) for finding in findings]}
                for certificate, findings in checked
            ]
        },
        "\n".join(lines) or "No certificates on the token.",
    )


@command.command(cls=TokenCommand)
@certificate_options
@management_options
@pin_options
@last_try_option
@pass_invocation
def delete(
    invocation: Invocation,
    *,
    choice: CertificateChoice,
    management: Management,
    pin: SecretSource,
) -> None:
    """Delete a certificate from the token; its key stays.

    Example: ushield cert delete --label old
    """
    with open_token(invocation) as token, token.session() as session:
        certificate = choice.one(session)
        facts = certificate_facts(certificate)
        authorise(invocation, session, pin, management)
        session.delete_certificate(certificate)
    invocation.output.result(facts, f"Deleted {facts['label']!r}: {facts.get('subject', '?')}")
