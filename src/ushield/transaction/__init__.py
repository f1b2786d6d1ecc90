"""What is signed: the transaction, its message (the bytes signed), its pages (what is shown)."""

from __future__ import annotations

from ushield.transaction.forms import HIDDEN_LABELS, KIND_LABEL, Kind
from ushield.transaction.json_form import batch_from_json, from_json, schema, to_json
from ushield.transaction.message import (
    MAX_MESSAGE,
    Field,
    Message,
    compose_message,
    parse_message,
    write_message,
)
from ushield.transaction.model import (
    Batch,
    BatchRow,
    BillPayment,
    CertificateRenewal,
    Login,
    Party,
    ShopPayment,
    Transaction,
    Transfer,
    batch_digest,
)
from ushield.transaction.money import Currency, Money
from ushield.transaction.pages import Page, Screen, lay_out, pages_digest
from ushield.transaction.repertoire import Repertoire
from ushield.transaction.tally import MAX_BATCH_ROWS, BatchTally

__all__ = [
    "HIDDEN_LABELS",
    "KIND_LABEL",
    "MAX_BATCH_ROWS",
    "MAX_MESSAGE",
    "Batch",
    "BatchRow",
    "BatchTally",
    "BillPayment",
    "CertificateRenewal",
    "Currency",
    "Field",
    "Kind",
    "Login",
    "Message",
    "Money",
    "Page",
    "Party",
    "Repertoire",
    "Screen",
    "ShopPayment",
    "Transaction",
    "Transfer",
    "batch_digest",
    "batch_from_json",
    "compose_message",
    "from_json",
    "lay_out",
    "pages_digest",
    "parse_message",
    "schema",
    "to_json",
    "write_message",
]
