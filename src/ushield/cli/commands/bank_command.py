"""``ushield bank``: the bank's side."""

from __future__ import annotations

import click

from ushield.cli.commands import (
    bank_approvals,
    bank_archive_command,
    bank_audit_command,
    bank_ca_command,
    bank_challenges,
    bank_due_command,
    bank_enrol_command,
    bank_people_command,
    bank_policy_command,
    bank_register,
    bank_service_command,
    bank_unblock_command,
)

__all__ = ["command"]


@click.group()
def command() -> None:
    """The bank's side: issue challenges, accept signatures once, keep the log of it.

    A bank is a folder that `ushield bank init` has made, named by --bank or USHIELD_BANK.

    Example: ushield bank init mybank --ca bank-ca.pem
    """


for each in (
    bank_register.init,
    bank_register.register,
    bank_people_command.customer,
    bank_people_command.assign,
    bank_challenges.issue,
    bank_challenges.accept,
    bank_challenges.challenge,
    bank_approvals.propose,
    bank_approvals.approve,
    bank_approvals.withdraw,
    bank_approvals.reject,
    bank_approvals.proposals,
    bank_register.report_loss,
    bank_register.report_pin_change,
    bank_register.restored,
    bank_service_command.serve,
    bank_service_command.openapi,
    bank_ca_command.crl,
    bank_due_command.due,
    bank_due_command.revocations,
):
    command.add_command(each)
command.add_command(bank_archive_command.command, "archive")
command.add_command(bank_audit_command.command, "audit")
command.add_command(bank_ca_command.command, "ca")
command.add_command(bank_enrol_command.command, "enrol")
command.add_command(bank_enrol_command.renew, "renew")
command.add_command(bank_unblock_command.command, "unblock")
command.add_command(bank_policy_command.command, "policy")
command.add_command(bank_service_command.client, "client")
