"""Inside the guest: one process that pays with a token that is pulled out at every step of it.

Its arguments are the token's serial number, a file with its PIN, the payment as JSON, a file to
write what happens to, and one for the signature. Each line is a step that was come to, after which
the token has to go, or what became of it then. The last payment is let through.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import ushield
from ushield.errors import TokenNotFound, UShieldError
from ushield.signing.session import SigningSession, SigningToken
from ushield.transaction import from_json
from ushield.transport.usb.scheme import SCHEME

serial, pin_file, payment_file, story, signature_file = sys.argv[1:]
pin = Path(pin_file).read_text()
payment = from_json(Path(payment_file).read_text())

Then = Callable[[], object]


def open_token() -> SigningToken:
    deadline = time.monotonic() + 60
    while True:
        try:
            return ushield.open_token(serial)
        except TokenNotFound:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def opened(token: SigningToken, session: SigningSession) -> Then:
    return lambda: token.session(pin)


def logged_in(token: SigningToken, session: SigningSession) -> Then:
    session.login(pin)
    return lambda: session.request_certificate(session.private_keys().one(), "CN=Li Si")


def certificate_requested(token: SigningToken, session: SigningSession) -> Then:
    session.login(pin)
    pending = session.request_certificate(session.private_keys().one(), "CN=Li Si")
    return lambda: pending.result(timeout=30)


def shown(token: SigningToken, session: SigningSession) -> Then:
    session.login(pin)
    pending = session.sign(payment)
    return lambda: pending.result(timeout=30)


def tell(file: Path, what: str) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.write(f"{what}\n")


def pulled_out_after(name: str, come_to: Callable[[SigningToken, SigningSession], Then]) -> None:
    with open_token() as token, token.session() as session:
        then = come_to(token, session)
        tell(Path(story), name)
        while SCHEME.find():
            time.sleep(0.05)
        try:
            then()
        except UShieldError as error:
            tell(Path(story), error.code)
        else:
            tell(Path(story), "went on")


pulled_out_after("opened", opened)
pulled_out_after("logged-in", logged_in)
pulled_out_after("certificate-requested", certificate_requested)
pulled_out_after("shown", shown)
pulled_out_after("last-page", shown)
pulled_out_after("confirmed", shown)
with open_token() as token, token.session(pin) as session:
    before = token.counters.signatures
    pending = session.sign(payment)
    tell(Path(story), "let-through")
    Path(signature_file).write_bytes(pending.result(timeout=60).der)
    tell(Path(story), f"{token.counters.signatures - before} of {before + 1}")
