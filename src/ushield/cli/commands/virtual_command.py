"""``ushield virtual``: making virtual tokens, and looking at them from outside."""

from __future__ import annotations

from contextlib import ExitStack

import click

from ushield.cli.commands.virtual_serving import press, screen, serve
from ushield.cli.files import NewFile, read_file
from ushield.cli.invocation import Command, Invocation, pass_invocation
from ushield.cli.presentation import describe_pin, pin_facts, table
from ushield.cli.secrets import SecretSource, pin_options, puk_option
from ushield.pin import Pin

__all__ = ["command"]

_MAX_KEY = 1 << 14


@click.group()
def command() -> None:
    """Make a virtual token, see what is in one, or serve one to other programs.

    A virtual token is a file that is named with --token virtual:PATH. No hardware guards its keys.

    Example: ushield virtual create alice.token
    """


@command.command(cls=Command)
@click.argument("path", type=click.Path(dir_okay=False))
@click.option(
    "--profile", default="default", show_default=True, help="What kind: screen, PIN rules, room."
)
@click.option("--serial", help="Its serial number; a random one without it.")
@click.option("--label", default="", help="What to call it.")
@click.option(
    "--unblock-key",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="The bank's public key (PEM) by which a forgotten PIN is unblocked from afar.",
)
@click.option(
    "--device-certificate",
    "device",
    metavar="FILE",
    help="Write the device's certificate (PEM), which the bank knows the token by.",
)
@pin_options
@puk_option
@pass_invocation
def create(
    invocation: Invocation,
    *,
    path: str,
    profile: str,
    serial: str | None,
    label: str,
    unblock_key: str | None,
    device: str | None,
    pin: SecretSource,
    puk: SecretSource,
) -> None:
    """Make a virtual token in the new file PATH.

    A PIN or PUK that is not given is made up and printed.

    Example: ushield virtual create alice.token --pin-file pin.txt
    """
    from ushield.virtual.create import create_token

    with ExitStack() as secrets:

        def given(source: SecretSource) -> Pin | None:
            return secrets.enter_context(source.read()) if source.given else None

        out = None if device is None else secrets.enter_context(NewFile(device, replace=False))
        created = create_token(
            path,
            profile=profile,
            serial=serial,
            pin=given(pin),
            puk=given(puk),
            label=label,
            unblock_key=None if unblock_key is None else _public_key(unblock_key),
        )
        if out is not None:
            out.commit(_device_certificate(path))
    rows = [("serial", created.serial), ("profile", profile)]
    facts = {"path": path, "serial": created.serial, "profile": profile}
    with created.pin, created.puk:
        for name, source, made in (("pin", pin, created.pin), ("puk", puk, created.puk)):
            if not source.given:
                facts[name] = made.reveal().decode("ascii")
                rows.append((name.upper(), facts[name]))
    invocation.output.result(facts, f"Made the virtual token {path}\n{table(rows)}")


def _public_key(path: str) -> bytes:
    from ushield.keystore.bundle import public_key_der_of

    return public_key_der_of(read_file(path, at_most=_MAX_KEY))


def _device_certificate(path: str) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from ushield.virtual.create import describe_token

    der = describe_token(path).device_certificate
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


@command.command(cls=Command)
@click.argument("path", type=click.Path())
@pass_invocation
def show(invocation: Invocation, *, path: str) -> None:
    """Print a virtual token's state without touching it.

    The token may be in use meanwhile.

    Example: ushield virtual show alice.token
    """
    from ushield.virtual.create import describe_token

    summary = describe_token(path)
    keys = [
        {
            "id": key.key_id.hex(),
            "label": key.label,
            "algorithm": key.algorithm.value,
            "usage": key.usage.name.lower(),
        }
        for key in summary.keys
    ]
    piv_keys = [
        {
            "slot": f"{key.slot:02x}",
            "algorithm": key.algorithm.value,
            "touch": key.touch_policy.name.lower(),
            "generated": key.generated,
        }
        for key in summary.piv_keys
    ]
    certificates = [
        {"slot": entry.slot, "id": entry.key_id.hex(), "label": entry.label}
        for entry in summary.certificates
    ]
    counters = summary.counters
    rows = [
        ("serial", summary.serial),
        ("label", summary.label),
        ("model", summary.profile.model),
        ("profile", summary.profile.name),
        ("PIN", describe_pin(summary.pin)),
        ("PUK", describe_pin(summary.puk)),
        ("keys", ", ".join(f"{key['label']} ({key['algorithm']}, {key['usage']})" for key in keys)),
        ("PIV keys", ", ".join(f"{key['slot']} ({key['algorithm']})" for key in piv_keys)),
        ("certificates", ", ".join(str(entry["label"]) for entry in certificates)),
        ("signatures", str(counters.signatures)),
        ("vouchers", str(summary.vouchers)),
    ]
    invocation.output.result(
        {
            "path": path,
            "serial": summary.serial,
            "label": summary.label,
            "model": summary.profile.model,
            "profile": summary.profile.name,
            "pin": {"user": pin_facts(summary.pin), "puk": pin_facts(summary.puk)},
            "keys": keys,
            "piv_keys": piv_keys,
            "certificates": certificates,
            "signatures": counters.signatures,
            "vouchers": summary.vouchers,
            "bank_can_unblock": summary.bank_can_unblock,
        },
        table(rows),
    )


for each in (serve, press, screen):
    command.add_command(each)
