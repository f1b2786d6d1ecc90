"""The whole story through every kind of reader: enrol, pay, OK heard of by polling, verify."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.readers.bench import KINDS, Kind, TokenAsCard
from tests.signing.conftest import payment
from ushield.algorithms import KeyAlgorithm
from ushield.bank import TrustStore, verify_transaction
from ushield.drivers.base import Capability
from ushield.errors import Rejected, SeveralTokens, TokenRemoved
from ushield.virtual.usb import VirtualReader


@pytest.fixture
def token(tmp_path: Path) -> Iterator[TokenAsCard]:
    with TokenAsCard.create(tmp_path / "card.token") as made:
        assert isinstance(made, TokenAsCard)
        yield made


def pay(card: TokenAsCard, memo: str | None = None) -> None:
    """Sign a payment on the card, and have the bank verify it."""
    transfer = payment(memo)
    with card.open() as token, token.session(card.pin) as session:
        assert Capability.PANEL_EVENTS not in token.info.capabilities
        pending = session.sign(transfer)
        card.panel.expect(payee="张三", amount="1,234.56").press_ok()
        signature = pending.result(timeout=10)
    trust = TrustStore.load(card.authority.ca_pem)
    assert verify_transaction(signature.der, trust, accept_virtual=True).transaction == transfer


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_payment_passes_through_a_reader_of_any_kind(kind: Kind, token: TokenAsCard) -> None:
    with kind.plug() as reader:
        token.put(kind, reader)
        # RSA, for its answers are longer than one short APDU.
        algorithm = KeyAlgorithm.RSA_2048 if "no interrupt" not in kind.name else KeyAlgorithm.P256
        token.enrol(algorithm)
        pay(token)
        pay(token, memo="房租" * 40)


def test_maker_and_checker_sign_in_one_reader_with_two_slots(tmp_path: Path) -> None:
    kind = Kind(
        "two slots", KINDS[0].model.of(KINDS[0].model.descriptor.level, slots=2), lambda c: c
    )
    with (
        TokenAsCard.create(tmp_path / "maker.token") as maker,
        TokenAsCard.create(tmp_path / "checker.token", pin="864209") as checker,
        kind.plug() as reader,
    ):
        assert isinstance(maker, TokenAsCard)
        assert isinstance(checker, TokenAsCard)
        maker.put(kind, reader, 0)
        checker.put(kind, reader, 1)
        checker.bus = maker.bus
        maker.enrol()
        checker.enrol()
        with maker.open() as first, checker.open() as second:
            assert first.info.serial == maker.serial
            assert second.info.serial == checker.serial
            with first.session(maker.pin) as one, second.session(checker.pin) as two:
                asked, asked_too = one.sign(payment("制单")), two.sign(payment("复核"))
                checker.panel.expect(memo="复核").press_ok()
                maker.panel.expect(memo="制单").press_ok()
                assert asked.result(timeout=10).der != asked_too.result(timeout=10).der
        with pytest.raises(SeveralTokens):
            maker.bus.open("0-1")


def test_a_card_pulled_while_it_asks_signs_nothing_and_works_again(token: TokenAsCard) -> None:
    kind = KINDS[4]
    with kind.plug() as reader:
        token.put(kind, reader)
        token.enrol()
        with token.open() as opened, opened.session(token.pin) as session:
            pending = session.sign(payment())
            token.panel.expect(payee="张三")
            reader.remove()
            with pytest.raises(TokenRemoved):
                pending.result(timeout=10)
            assert opened.removed
            reader.insert(kind.contacts(token.virtual.contacts))
            with pytest.raises(TokenRemoved):
                session.login(token.pin)
        assert token.panel.pages == ()
        pay(token)


def test_a_rejection_is_heard_of_by_polling(token: TokenAsCard) -> None:
    kind = KINDS[5]
    with kind.plug() as reader:
        token.put(kind, reader)
        token.enrol()
        with token.open() as opened, opened.session(token.pin) as session:
            pending = session.sign(payment())
            token.panel.expect(payee="张三").press_cancel()
            with pytest.raises(Rejected):
                pending.result(timeout=10)


def test_a_reader_unplugged_while_the_card_asks_is_a_removed_token(token: TokenAsCard) -> None:
    kind = KINDS[7]
    reader: VirtualReader
    with kind.plug() as reader:
        token.put(kind, reader)
        token.enrol()
        with token.open() as opened, opened.session(token.pin) as session:
            pending = session.sign(payment())
            reader.detach()
            with pytest.raises(TokenRemoved):
                pending.result(timeout=10)
