"""One transaction's messages: each answer is protected, and answers what was asked (5.1.1)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ushield.bank.authorities.cmp.bodies import Status, read_error
from ushield.bank.authorities.cmp.http import CmpEndpoint
from ushield.bank.authorities.cmp.message import Envelope, Message, read_message, write_message
from ushield.bank.authorities.cmp.protection import Protection
from ushield.bank.authorities.cmp.structures import PKIBody
from ushield.bank.authorities.errors import CaAnswerInvalid, CaRefused, CaUnavailable
from ushield.bank.moments import Clock
from ushield.errors import AuthorityError

__all__ = ["Exchange", "refusal"]

_NONCE = 16


@dataclass(slots=True)
class Exchange:
    """The messages of one transaction, which all end before ``deadline`` (`time.monotonic`).

    ``nonce`` is that of the CA's last message, which the next one of ours answers.
    """

    endpoint: CmpEndpoint
    protection: Protection
    recipient: bytes
    transaction_id: bytes
    deadline: float
    clock: Clock = field(repr=False)
    nonce: bytes | None = None

    def ask(self, body: PKIBody, *expected: str) -> Message:
        """Send ``body``; the answer, whose body is one of ``expected``.

        `CaAnswerInvalid` for any other; an error message is `refusal`.
        """
        nonce = secrets.token_bytes(_NONCE)
        envelope = Envelope(
            recipient=self.recipient,
            transaction_id=self.transaction_id,
            sender_nonce=nonce,
            recip_nonce=self.nonce,
            at=self.clock(),
        )
        sent = write_message(body, envelope, self.protection)
        answer = read_message(self.endpoint.exchange(sent, self.deadline))
        # Nothing in it is looked at before it is known to be the CA's.
        self.protection.verify(answer)
        if answer.transaction_id != self.transaction_id:
            raise CaAnswerInvalid("the answer is of another transaction", fault="transaction")
        if answer.recip_nonce != nonce:
            raise CaAnswerInvalid("the answer is to another message", fault="nonce")
        if not answer.sender_nonce or len(answer.sender_nonce) > 64:
            raise CaAnswerInvalid("the answer has no nonce of its own", fault="nonce")
        self.nonce = answer.sender_nonce
        if answer.body == "error":
            raise refusal(read_error(answer))
        if answer.body not in expected:
            raise CaAnswerInvalid(
                f"answered by {answer.body}, not by {' or '.join(expected)}", fault="unexpected"
            )
        return answer

    def pause(self, seconds: int, *, sleep: Callable[[float], None] = time.sleep) -> bool:
        """Wait for ``seconds``, if there is time for that and for an answer; whether there was."""
        if time.monotonic() + seconds >= self.deadline:
            return False
        sleep(seconds)
        return True


def refusal(status: Status) -> AuthorityError:
    """The error for a CA that says no: `CaUnavailable` if it only cannot now, or `CaRefused`."""
    reasons = ", ".join(status.failures) or status.name
    message = f"the CA refuses: {reasons}" + (f" ({status.text})" if status.text else "")
    if "systemUnavail" in status.failures:
        return CaUnavailable(message)
    return CaRefused(message, failures=status.failures, status=status.name, text=status.text)
