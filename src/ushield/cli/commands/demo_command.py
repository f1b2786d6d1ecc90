"""``ushield demo``: from an empty token to a payment the bank accepts, in one go."""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ushield.algorithms import KeyAlgorithm
from ushield.cli.access import open_token
from ushield.cli.commands.vouchers_command import describe_voucher
from ushield.cli.confirming import Confirmer, Press, press_option, timeout_option
from ushield.cli.demo_bank import DemoBank, FolderBank, PassingBank
from ushield.cli.files import FileFailed, write_file
from ushield.cli.invocation import Command, Invocation, pass_invocation
from ushield.cli.live_panel import boxed
from ushield.cli.output import reason_of
from ushield.cli.terminal import has_terminal
from ushield.errors import PinInvalid
from ushield.pin import PinReference, PinRules

if TYPE_CHECKING:
    from ushield.signing import Pending, SigningSession, TransactionSignature
    from ushield.virtual.token import VirtualToken

__all__ = ["command"]

_FILES = ("token", "bank-ca.pem", "token.pem", "screens.txt", "message.xml", "payment.p7s")
_FIRST_PIN = "123456"
_SUBJECT = "CN=李四,O=Demo Bank,C=CN"
_LABEL = "signing"
_PAYMENT = {
    "kind": "transfer",
    "payer": {"name": "李四", "account": "6222020200112233445"},
    "payee": {
        "name": "张三",
        "account": "6222021001098765432",
        "bank": "中国工商银行北京分行",
    },
    "amount": "1234.56",
    "currency": "CNY",
    "order": "A20261121001",
    "memo": "房租",
}

T = TypeVar("T")


@click.command(cls=Command)
@press_option
@timeout_option
@click.option(
    "--key",
    "algorithm",
    type=click.Choice([KeyAlgorithm.RSA_2048.value, KeyAlgorithm.P256.value]),
    default=KeyAlgorithm.RSA_2048.value,
    show_default=True,
    help="What kind of key to make on the token.",
)
@click.option("--out", metavar="DIR", help="Where to leave the files; a new directory without it.")
@click.option(
    "--bank",
    "whole_bank",
    is_flag=True,
    help="With the bank's database, CA and log, in DIR/bank: pip install 'ushield[bank]'.",
)
@pass_invocation
def command(
    invocation: Invocation,
    *,
    press: Press | None,
    timeout: float | None,
    algorithm: str,
    out: str | None,
    whole_bank: bool,
) -> None:
    """Play customer, bank and token: enrol, pay, press OK, verify.

    The token is a virtual one; in a terminal its screen is shown and Enter is its OK key. DIR gets
    message.xml, payment.p7s, bank-ca.pem, token.pem, screens.txt and token.

    With --bank the customer enrols by a code, the payment has a challenge that is used up once, and
    every decision is in a log, which is verified. `ushield bank --help` tells what else a bank can.

    Example: ushield demo --out demo
    """
    say = invocation.output.say
    if press is None and not has_terminal():
        say("There is no terminal here, so the demo presses the token's OK key itself.\n")
        press = Press.OK
    names = (*_FILES, "bank") if whole_bank else _FILES
    folder = _prepare(out, names)
    if out is None:
        say(f"Its files are kept in {folder}: a temporary directory, yours to delete.\n")
    story = _Story(invocation, folder, names, press, timeout)
    with ExitStack() as open_bank:
        bank: DemoBank
        if whole_bank:
            bank = FolderBank.make(folder / "bank", story.step)
            open_bank.callback(bank.close)
        else:
            bank = PassingBank(story.step)
        facts, text = story.tell(bank, KeyAlgorithm(algorithm))
    invocation.output.result(facts, text)


def _prepare(out: str | None, names: tuple[str, ...]) -> Path:
    if out is None:
        return Path(tempfile.mkdtemp(prefix="ushield-demo-"))
    folder = Path(out)
    for name in names:
        if (folder / name).exists():
            raise click.UsageError(f"{folder / name} exists: name another directory")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileFailed(f"{folder}: {reason_of(error)}") from error
    return folder


@dataclass(slots=True)
class _Story:
    """The demo's run, step by step."""

    invocation: Invocation
    folder: Path
    names: tuple[str, ...]
    press: Press | None
    timeout: float | None
    screens: str = ""
    steps: int = 0

    def tell(self, bank: DemoBank, algorithm: KeyAlgorithm) -> tuple[dict[str, Any], str]:
        """All of it; the result for programs, and for people."""
        from ushield.virtual.create import create_token
        from ushield.virtual.token import VirtualToken

        path = self.folder / "token"
        self.step(f"The bank hands out a token with the first PIN {_FIRST_PIN}.")
        created = create_token(
            path, pin=_FIRST_PIN, default_pin=True, label="demo", unblock_key=bank.unblock_key()
        )
        with created.puk as secret:
            puk = secret.reveal().decode("ascii")
        self.invocation.spec = f"virtual:{path}"
        with VirtualToken.open(path) as virtual, open_token(self.invocation) as token:
            pin = _new_pin(token.info.pin_rules)
            self.step(f"Its owner, 李四, changes the PIN to {pin}, as the token insists.")
            token.pin.change(_FIRST_PIN, pin)
            with token.session(pin) as session:
                self._enrol(bank, session, virtual, algorithm, pin)
                signature = self._pay(bank, session, virtual, pin)
                session.login(pin)
                voucher = next(session.vouchers())
        verified = bank.carry_out(signature.der)
        facts, text = describe_voucher(voucher)
        self.step(f"The token's own log, read back:\n{text}")
        files = {name: str(self.folder / name) for name in _FILES}
        return (
            {
                "out": str(self.folder),
                "files": files,
                "serial": created.serial,
                "pin": pin,
                "puk": puk,
                "pressed": (self.press or Press.OK).value,
                "by": "person" if self.press is None else "demo",
                "voucher": facts,
            }
            | verified,
            f"\nLeft in {self.folder}: {', '.join(self.names)}."
            f"\nThe token's PIN is {pin}, its PUK {puk}; try:"
            f"\n  ushield --token {self.invocation.spec} info"
            f"\n  ushield verify {files['payment.p7s']} --ca {files['bank-ca.pem']}",
        )

    def _enrol(
        self,
        bank: DemoBank,
        session: SigningSession,
        virtual: VirtualToken,
        algorithm: KeyAlgorithm,
        pin: str,
    ) -> None:
        from ushield.drivers.base import KeyUsage

        self.step(f"The token makes a key pair ({algorithm.value}); the private key stays in it.")
        key = session.generate_key(algorithm, KeyUsage.DISPLAY, label=_LABEL)
        self.step("It shows whose certificate is asked for, and signs the request after OK.")
        pending = session.request_certificate(key, _SUBJECT, pin=pin)
        # Only the payment is up to --virtual-press: without a certificate there is none.
        press = None if self.press is None else Press.OK
        request = self._confirm(pending, virtual, press, "certificate request")
        issued = bank.certify(session, key, request.der)
        session.login(pin)
        certificate, *_ = session.import_certificates(issued)
        self._write("bank-ca.pem", bank.ca_pem())
        self._write("token.pem", certificate.pem.encode("ascii"))

    def _pay(
        self, bank: DemoBank, session: SigningSession, virtual: VirtualToken, pin: str
    ) -> TransactionSignature:
        from ushield.transaction import to_json

        transaction = bank.issue(_PAYMENT)
        payment = json.dumps(to_json(transaction), ensure_ascii=False, indent=2)
        self.step(f"The net bank asks for a payment:\n{payment}")
        self.step("李四 types the PIN, and the token shows what it is about to sign.")
        pending = session.sign(transaction, pin=pin)
        signature = self._confirm(pending, virtual, self.press, "payment")
        self._write("message.xml", signature.message)
        self._write("payment.p7s", signature.der)
        return signature

    def _confirm(
        self, pending: Pending[T], virtual: VirtualToken, press: Press | None, what: str
    ) -> T:
        pages = virtual.panel.pages
        for number, page in enumerate(pages, 1):
            self.screens += f"== {what}, page {number} of {len(pages)}\n" + "\n".join(page) + "\n"
        write_file(str(self.folder / "screens.txt"), self.screens.encode(), replace=True)
        if press is not None:
            columns = virtual.profile.screen.columns
            for page in pages:
                for line in boxed(page, columns, sys.stdout):
                    self.invocation.output.say(f"   {line}")
        confirmer = Confirmer(self.invocation.output, virtual, press, self.timeout)
        return confirmer.wait(pending)

    def _write(self, name: str, data: bytes) -> None:
        write_file(str(self.folder / name), data, replace=False)

    def step(self, text: str) -> None:
        """Tell the next step."""
        self.steps += 1
        first, *rest = text.splitlines()
        self.invocation.output.say(
            "\n".join([f"{self.steps}. {first}", *(f"   {line}" for line in rest)])
        )


def _new_pin(rules: PinRules) -> str:
    """Six digits that the token takes."""
    while True:
        pin = f"{secrets.randbelow(10**6):06d}"
        try:
            rules.check_new(pin.encode(), PinReference.USER)
        except PinInvalid:
            continue
        return pin
