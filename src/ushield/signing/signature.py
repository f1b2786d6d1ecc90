"""A transaction's signature, checked and put into the form that a bank takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ushield.drivers.base import TokenInfo
from ushield.errors import SignatureMismatch
from ushield.keystore.objects import Certificate, PrivateKey
from ushield.shield.requests import Signed
from ushield.signing.evidence import check_receipt, check_signature, read_receipt, redraw
from ushield.transaction import Message, Page, Transaction

if TYPE_CHECKING:
    from ushield.cms import Receipt

__all__ = ["SigningRequest", "TransactionSignature"]


@dataclass(frozen=True, slots=True)
class TransactionSignature:
    """What the person confirmed, and the proof of it.

    ``der`` is a CMS SignedData (RFC 5652) in DER with ``message``, the exact bytes signed,
    attached; ``pages`` is what stood on the screen, line by line.
    """

    der: bytes = field(repr=False)
    message: bytes = field(repr=False)
    transaction: Transaction
    receipt: Receipt
    certificate: Certificate = field(repr=False)
    pages: tuple[Page, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """What was put on the screen, and what a signature of it must hold.

    ``certificates`` are those of the key; the token says in the attributes which one it used.
    """

    message: Message
    key: PrivateKey
    certificates: Sequence[Certificate]
    info: TokenInfo

    def complete(self, request_id: bytes, signed: Signed) -> TransactionSignature:
        """Check what the token handed out and assemble the signature; `SignatureMismatch`.

        The signed attributes have one form for a message, a certificate and a receipt. So they
        are written again from what was asked for, and must come out the same byte for byte: that
        holds the message's digest, the certificate's hash, and that nothing else was signed.
        """
        from ushield.cms import assemble, signed_attributes

        data, algorithm = self.message.encoded, self.key.info.algorithm
        receipt = read_receipt(signed.signed)
        pages = redraw(self.message.shown, self.info)
        check_receipt(receipt, request_id, pages, self.info)
        certificate = next(
            (
                one
                for one in self.certificates
                if signed_attributes(data, one.der, receipt, algorithm.hash) == signed.signed
            ),
            None,
        )
        if certificate is None:
            raise SignatureMismatch("the token signed another message, or by another certificate")
        check_signature(certificate.der, signed.signature, signed.signed, algorithm.hash)
        der = assemble(
            message=data,
            certificate=certificate.der,
            signed_attributes=signed.signed,
            signature=signed.signature,
            is_rsa=algorithm.is_rsa,
            hash_algorithm=algorithm.hash,
        )
        return TransactionSignature(
            der, data, self.message.transaction, receipt, certificate, pages
        )
