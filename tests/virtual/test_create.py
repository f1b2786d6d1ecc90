"""Making a token file, and telling what is in one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.virtual.memory import remaining
from ushield.algorithms import KeyAlgorithm
from ushield.errors import InputInvalid, PinIncorrect, PinInvalid, TokenFileInvalid
from ushield.pin import Pin, PinReference
from ushield.shield.commands import KeyUsageCode
from ushield.virtual.create import create_token, describe_token
from ushield.virtual.keys import KeyStore, encode_public_key
from ushield.virtual.nvram import Nvram
from ushield.virtual.pins import PinStore
from ushield.virtual.profile import profile_names

BANK_KEY = encode_public_key(ec.generate_private_key(ec.SECP256R1()).public_key())


@pytest.mark.parametrize("profile", profile_names())
def test_token_made_without_secrets_gets_random_ones_that_work(
    tmp_path: Path, profile: str
) -> None:
    made = [create_token(tmp_path / f"{number}.token", profile=profile) for number in range(3)]
    assert len({created.serial for created in made}) == 3
    assert len({created.pin.reveal() for created in made}) > 1
    for created in made:
        assert created.profile.name == profile
        with Nvram.open(created.path) as nvram:
            pins = PinStore(nvram, created.profile.pin_rules)
            pins.verify(PinReference.USER, created.pin.reveal())
            pins.verify(PinReference.PUK, created.puk.reveal())
            assert not pins.state(PinReference.USER).must_change


def test_token_is_what_was_asked_for(tmp_path: Path) -> None:
    created = create_token(
        tmp_path / "a.token",
        serial="TEST-1",
        pin="135790",
        puk=Pin("24681357"),
        label="工资 2024",
        unblock_key=BANK_KEY,
    )
    assert (created.pin, created.puk) == (Pin("135790"), Pin("24681357"))
    with Nvram.open(created.path) as nvram:
        identity = nvram.identity
        assert (identity.serial, identity.label, identity.profile) == (
            "TEST-1",
            "工资 2024",
            "default",
        )
        assert identity.unblock_key == BANK_KEY
        rules = created.profile.pin_rules
        assert nvram.reference(PinReference.USER).tries_left == rules.max_tries
        assert nvram.reference(PinReference.PUK).tries_left == rules.puk_max_tries


def test_default_pin_may_be_weak_and_must_be_changed(tmp_path: Path) -> None:
    created = create_token(tmp_path / "a.token", pin="111111", default_pin=True)
    assert describe_token(created.path).pin.must_change
    with Nvram.open(created.path) as nvram:
        pins = PinStore(nvram, created.profile.pin_rules)
        pins.change(PinReference.USER, b"111111", b"271828")
        assert not pins.state(PinReference.USER).must_change


def test_profile_may_let_a_default_pin_stay(tmp_path: Path) -> None:
    created = create_token(tmp_path / "a.token", profile="lenient", pin="111111", default_pin=True)
    assert not describe_token(created.path).pin.must_change


@pytest.mark.parametrize(
    ("secrets", "reference", "rule"),
    [
        ({"pin": ""}, "user", "length"),
        ({"pin": "12345"}, "user", "length"),
        ({"pin": "12345x"}, "user", "characters"),
        ({"pin": "123456"}, "user", "weak"),
        ({"pin": "12345", "default_pin": True}, "user", "length"),
        ({"puk": ""}, "puk", "length"),
        ({"pin": Pin("")}, "user", "length"),
        ({"pin": "13579\udcff"}, "user", "characters"),
        ({"puk": "88888888"}, "puk", "weak"),
    ],
)
def test_secrets_against_the_rules_make_no_file(
    tmp_path: Path, secrets: dict[str, str], reference: str, rule: str
) -> None:
    with pytest.raises(PinInvalid) as refusal:
        create_token(tmp_path / "a.token", **secrets)  # type: ignore[arg-type]
    assert (refusal.value.reference, refusal.value.rule) == (reference, rule)
    assert not os.listdir(tmp_path)


WRONG_KEYS = {
    "garbage": b"key",
    "empty": b"",
    "p384": encode_public_key(ec.generate_private_key(ec.SECP384R1()).public_key()),
    "rsa": encode_public_key(
        rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    ),
}


@pytest.mark.parametrize(
    "asked",
    [
        {"profile": "golden"},
        {"serial": ""},
        {"serial": "a" * 33},
        {"serial": "virtual:1"},
        {"serial": "一"},
        {"label": "长" * 11},
        {"label": "two\nlines"},
        {"label": "\ud800"},
        *({"unblock_key": key} for key in WRONG_KEYS.values()),
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_what_no_token_can_be_makes_no_file(tmp_path: Path, asked: dict[str, str]) -> None:
    with pytest.raises(InputInvalid):
        create_token(tmp_path / "a.token", **asked)  # type: ignore[arg-type]
    assert not os.listdir(tmp_path)


def test_token_is_never_made_over_another(tmp_path: Path) -> None:
    first = create_token(tmp_path / "a.token")
    with pytest.raises(TokenFileInvalid):
        create_token(tmp_path / "a.token")
    assert describe_token(first.path).serial == first.serial


def test_secrets_do_not_show_in_what_creation_returns(tmp_path: Path) -> None:
    created = create_token(tmp_path / "a.token", pin="135790", puk="24681357")
    assert "135790" not in repr(created)
    assert "24681357" not in repr(created)


def test_description_of_a_token_in_use_touches_nothing(tmp_path: Path) -> None:
    created = create_token(tmp_path / "a.token", label="工资", unblock_key=BANK_KEY)
    with Nvram.open(created.path) as nvram:
        key = KeyStore(nvram).generate(KeyAlgorithm.P256, KeyUsageCode.DISPLAY, "signing")
        nvram.put_certificate(b"certificate", key_id=key.key_id, label="signing")
        nvram.record_signature(key.reference, b"message", 0)
        with pytest.raises(PinIncorrect):
            PinStore(nvram, created.profile.pin_rules).verify(PinReference.PUK, b"90214311")
        before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
        summary = describe_token(created.path)
        after = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
        assert before == after
    assert (summary.serial, summary.label) == (created.serial, "工资")
    assert summary.profile is created.profile
    assert (summary.pin.tries_left, summary.puk.tries_left) == (6, 9)
    assert [entry.label for entry in summary.keys] == ["signing"]
    assert [(entry.slot, entry.size) for entry in summary.certificates] == [(1, 11)]
    assert (summary.counters.signatures, summary.vouchers) == (1, 1)
    assert summary.bank_can_unblock
    assert remaining(tmp_path / "a.token") == {"a.token"}
