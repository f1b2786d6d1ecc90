"""``ushield info``: everything a token tells without a PIN."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ushield.cli.access import open_token
from ushield.cli.invocation import Invocation, TokenCommand, pass_invocation
from ushield.cli.presentation import (
    certificate_facts,
    describe_pin,
    finding_facts,
    pin_facts,
    table,
    token_facts,
)

if TYPE_CHECKING:
    from ushield.shield.application import Counters
    from ushield.signing import SigningToken

__all__ = ["command"]


@click.command(cls=TokenCommand)
@pass_invocation
def command(invocation: Invocation) -> None:
    """Show the token, its PIN's state, and its certificates.

    Example: ushield --token usb:1-4 info
    """
    with open_token(invocation) as token, token.session() as session:
        info, user, puk = token.info, token.pin.state, token.pin.puk
        counters = _counters(token)
        certificates = [
            (certificate_facts(certificate), session.health(certificate))
            for certificate in session.certificates()
        ]
    rules, screen = info.pin_rules, info.screen
    lines = [
        table(
            [
                ("serial", info.serial),
                ("model", f"{info.manufacturer} {info.model}".strip()),
                ("label", info.label),
                ("firmware", info.firmware),
                ("driver", info.driver),
                ("virtual", "yes: no hardware guards its keys" if info.virtual else ""),
                ("can", ", ".join(sorted(info.capabilities))),
                (
                    "screen",
                    f"{screen.lines} lines of {screen.columns} cells, {screen.repertoire}"
                    if screen
                    else "",
                ),
                ("PIN", describe_pin(user)),
                ("PUK", describe_pin(puk)),
                (
                    "PIN rules",
                    f"{rules.min_length} to {rules.max_length}"
                    f" {'digits' if rules.digits_only else 'characters'},"
                    " not all the same, not in a row",
                ),
                (
                    "counted",
                    f"signatures {counters.signatures}, unblocks by the bank {counters.unblocks},"
                    f" power-ups {counters.power_ups}"
                    if counters
                    else "",
                ),
            ]
        )
    ]
    for facts, findings in certificates:
        state = "; ".join(finding.message for finding in findings) or "in order"
        lines.append(f"certificate {facts['label']!r}: {facts.get('subject', '?')} ({state})")
    invocation.output.result(
        token_facts(info)
        | {
            "pin": {"user": pin_facts(user), "puk": pin_facts(puk)},
            "counters": counters and asdict(counters),
            "certificates": [
                facts | {"findings": [finding_facts(finding) for finding in findings]}
                for facts, findings in certificates
            ],
        },
        "\n".join(lines),
    )


def _counters(token: SigningToken) -> Counters | None:
    from ushield.errors import CapabilityMissing

    try:
        return token.counters
    except CapabilityMissing:
        return None
