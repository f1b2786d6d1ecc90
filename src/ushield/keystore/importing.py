"""Bringing a bank's certificates onto the token: all of a bundle, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ushield.drivers.base import TokenDriver
from ushield.errors import CardError, CertificateInvalid, CertificateKeyMissing
from ushield.keystore.bundle import authority_problem, is_issued_by, public_key_der, read_bundle
from ushield.keystore.objects import Certificate

if TYPE_CHECKING:
    from cryptography import x509

    from ushield.drivers.base import KeyInfo

__all__ = ["MAX_LABEL", "import_bundle", "issuers"]

MAX_LABEL = 64
"""What an authority's name is cut to for its label, in bytes of UTF-8."""


def issuers(
    leaf: x509.Certificate, among: Sequence[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """The chain above ``leaf`` as far as ``among`` goes, nearest first; signatures verified."""
    chain: list[x509.Certificate] = []
    below = leaf
    while above := next(
        (one for one in among if one != leaf and one not in chain and is_issued_by(below, one)),
        None,
    ):
        chain.append(above)
        below = above
    return tuple(chain)


def import_bundle(
    driver: TokenDriver, stored: Sequence[Certificate], data: bytes, label: str
) -> tuple[int, ...]:
    """Store a leaf with its chain, or the chain of a leaf that is there; the slots, leaf first.

    The leaf replaces the one that its key had. One already ``stored`` is not written again.
    `CertificateKeyMissing` for a leaf whose key is elsewhere; `CertificateInvalid` for what cannot
    be read, or belongs to nothing on this token.
    """
    bundle = read_bundle(data)
    leaf = _leaf(driver.keys(), bundle)
    authorities = [one for one in bundle if leaf is None or one != leaf[0]]
    present = {one.der: one for one in stored}
    _check_chain(
        [leaf[0]] if leaf else [one.parsed() for one in stored if one.key_id],
        authorities,
        [one.parsed() for one in stored],
    )
    written: list[int] = []
    slots: list[int] = []
    try:
        # The leaf comes last: where there is not room for all, the key keeps what it had.
        for authority in authorities:
            der = _der(authority)
            if der in present:
                slots.append(present[der].slot)
                continue
            written.append(driver.write_certificate(der, _label(authority), is_ca=True))
            slots.append(written[-1])
        if leaf is not None:
            der = _der(leaf[0])
            same = present.get(der)
            if same is None or (label and same.label != label):
                slot = driver.write_certificate(der, label or leaf[1].label)
            else:
                slot = same.slot
            slots.insert(0, slot)
    except CardError:
        for slot in written:
            driver.delete_certificate(slot)
        raise
    return tuple(slots)


def _leaf(
    keys: Sequence[KeyInfo], bundle: Sequence[x509.Certificate]
) -> tuple[x509.Certificate, KeyInfo] | None:
    by_public_key = {key.public_key: key for key in keys}
    found = [
        (one, key) for one in bundle if (key := by_public_key.get(public_key_der(one))) is not None
    ]
    if len(found) > 1:
        raise CertificateInvalid(f"{len(found)} certificates for keys of this token, not one")
    return found[0] if found else None


def _check_chain(
    leaves: Sequence[x509.Certificate],
    authorities: Sequence[x509.Certificate],
    stored: Sequence[x509.Certificate],
) -> None:
    belongs = {above for leaf in leaves for above in issuers(leaf, [*authorities, *stored])}
    for one in authorities:
        problem = authority_problem(one)
        name = one.subject.rfc4514_string()
        if one not in belongs:
            if problem:
                raise CertificateKeyMissing(f"the key of {name} is not on this token")
            raise CertificateInvalid(
                f"{name} issued no certificate for a key of this token",
                remedy="Import the certificate of the token's key with it, or before it.",
            )
        if problem:
            raise CertificateInvalid(f"{name} cannot be an authority: {problem}")
    for leaf in leaves:
        if authority_problem(leaf) is None:
            raise CertificateInvalid("a certificate for a key of this token is an authority's")


def _der(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)


def _label(certificate: x509.Certificate) -> str:
    from cryptography.x509.oid import NameOID

    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else certificate.subject.rfc4514_string()
    printable = "".join(character for character in name if character.isprintable())
    return printable.encode()[:MAX_LABEL].decode(errors="ignore")
