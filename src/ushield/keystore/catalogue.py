"""Finding objects: the token's directories, filtered by PKCS #11 attributes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import cast

from ushield.drivers.base import CertificateInfo, Demand, KeyInfo, KeyUsage, TokenDriver
from ushield.errors import ProtocolViolation
from ushield.keystore.attributes import Attribute, ObjectClass, Template, check_template
from ushield.keystore.objects import Certificate, PrivateKey, PublicKey, StoredObject
from ushield.keystore.query import Query

__all__ = ["Catalogue"]


class Catalogue:
    """The objects of one token. Its directories are read once, and again after `changing`.

    An open token is this process's alone, so nobody else changes them. Certificates are kept by
    their SHA-256, which the directory tells: one that has not changed is read from the token once.
    """

    __slots__ = ("_certificates", "_keys", "_known", "_reach")

    def __init__(self, reach: Callable[[], AbstractContextManager[TokenDriver]]) -> None:
        self._reach = reach
        self._certificates: tuple[CertificateInfo, ...] | None = None
        self._keys: tuple[KeyInfo, ...] | None = None
        self._known: dict[bytes, bytes] = {}

    @contextmanager
    def changing(self) -> Iterator[TokenDriver]:
        """The driver for commands that write to the directories, which are read again after it.

        Other threads are kept out meanwhile, so that none keeps what it read before.
        """
        with self._reach() as driver, driver.connection.hold():
            try:
                yield driver
            finally:
                self._certificates = self._keys = None

    def find(self, template: Template) -> Query[StoredObject]:
        """All objects that have every attribute of ``template``; all there are if it is empty.

        `AttributeInvalid` for a value of the wrong type.
        """
        check_template(template)
        wanted = ", ".join(f"{name.name} {_shown(value)}" for name, value in template.items())
        with self._reach() as driver, driver.connection.hold():
            return Query(self._matching(driver, template), f"object with {wanted or 'anything'}")

    def certificates(self, label: str | None, key_id: bytes | None) -> Query[Certificate]:
        """The certificates, those of the chain too, with this label and this ``CKA_ID``."""
        found = self.find(_template(ObjectClass.CERTIFICATE, label, key_id))
        return Query(cast("Query[Certificate]", found), _wanted("certificate", label, key_id))

    def private_keys(
        self, label: str | None, key_id: bytes | None, usage: KeyUsage | None
    ) -> Query[PrivateKey]:
        """The private keys with this label, ``CKA_ID`` and usage."""
        found = cast(
            "Query[PrivateKey]", self.find(_template(ObjectClass.PRIVATE_KEY, label, key_id))
        )
        what = f"{usage} key" if usage else "private key"
        return Query(
            (key for key in found if usage in (None, key.info.usage)),
            _wanted(what, label, key_id),
        )

    def public_keys(self, label: str | None, key_id: bytes | None) -> Query[PublicKey]:
        """The public keys with this label and this ``CKA_ID``."""
        found = self.find(_template(ObjectClass.PUBLIC_KEY, label, key_id))
        return Query(cast("Query[PublicKey]", found), _wanted("public key", label, key_id))

    def _matching(self, driver: TokenDriver, template: Template) -> Iterator[StoredObject]:
        wanted = template.get(Attribute.CLASS)
        if wanted in (None, ObjectClass.CERTIFICATE):
            if self._certificates is None:
                self._certificates = driver.certificates()
            for entry in self._certificates:
                if _agrees(template, entry.label, entry.key_id):
                    found = Certificate(
                        entry.slot, entry.key_id, entry.label, self._read(driver, entry)
                    )
                    if _has(found, template):
                        yield found
        if wanted is ObjectClass.CERTIFICATE:
            return
        each_signature = driver.info.pin_rules.pin_per_signature
        if self._keys is None:
            self._keys = driver.keys()
        for info in self._keys:
            if not _agrees(template, info.label, info.key_id):
                continue
            if wanted in (None, ObjectClass.PUBLIC_KEY) and _has(PublicKey(info), template):
                yield PublicKey(info)
            always = info.pin is Demand.ALWAYS or (
                info.pin is None and each_signature and info.usage is KeyUsage.DISPLAY
            )
            private = PrivateKey(info, always)
            if wanted in (None, ObjectClass.PRIVATE_KEY) and _has(private, template):
                yield private

    def _read(self, driver: TokenDriver, entry: CertificateInfo) -> bytes:
        der = self._known.get(entry.sha256)
        if der is None:
            der = driver.read_certificate(entry.slot)
            if hashlib.sha256(der).digest() != entry.sha256:
                raise ProtocolViolation(
                    f"certificate {entry.slot} is not the one that the token's directory names"
                )
            self._known[entry.sha256] = der
        return der


def _template(object_class: ObjectClass, label: str | None, key_id: bytes | None) -> Template:
    optional = {Attribute.LABEL: label, Attribute.ID: key_id}
    return {Attribute.CLASS: object_class} | {
        name: value for name, value in optional.items() if value is not None
    }


def _wanted(what: str, label: str | None, key_id: bytes | None) -> str:
    named = f" labelled {label!r}" if label is not None else ""
    return what + named + (f" with id {key_id.hex()}" if key_id is not None else "")


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


_DIRECTORY = frozenset((Attribute.CLASS, Attribute.LABEL, Attribute.ID))


def _agrees(template: Template, label: str, key_id: bytes) -> bool:
    return template.get(Attribute.LABEL, label) == label and (
        template.get(Attribute.ID, key_id) == key_id
    )


def _has(found: StoredObject, template: Template) -> bool:
    # The directory has answered for these already; the others cost parsing.
    asked = template.keys() - _DIRECTORY
    if not asked:
        return True
    attributes = found.attributes
    return all(name in attributes and attributes[name] == template[name] for name in asked)
