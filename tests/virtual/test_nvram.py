"""The NVRAM as a store: what is written is read back, now and after the file was opened again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.virtual.memory import (
    IDENTITY,
    MAX_TRIES,
    NEW_PIN,
    PIN,
    PUK_MAX_TRIES,
    contents,
    make_memory,
    remaining,
)
from ushield.algorithms import KeyAlgorithm
from ushield.errors import InputInvalid, ObjectNotFound, TokenFull, TokenRemoved
from ushield.pin import PinReference
from ushield.shield.application import Counters
from ushield.shield.commands import KeyUsageCode
from ushield.virtual.nvram import CertificateRecord, Nvram, SecretHash, StoredKey

KEY = StoredKey(
    reference=1,
    algorithm=KeyAlgorithm.P256,
    usage=KeyUsageCode.DISPLAY,
    key_id=b"\x01" * 20,
    label="signing",
    public_key=b"public",
    private_key=b"private",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_memory(tmp_path / "a.token")


def test_fresh_memory_holds_what_it_was_made_with(path: Path) -> None:
    with Nvram.open(path) as nvram:
        user, puk = map(nvram.reference, PinReference)
        assert nvram.identity == IDENTITY
        assert nvram.profile.name == "default"
        assert user.secret.matches(PIN)
        assert not user.secret.matches(NEW_PIN)
        assert (user.tries_left, user.max_tries, user.must_change) == (MAX_TRIES, MAX_TRIES, False)
        assert (puk.tries_left, puk.max_tries) == (PUK_MAX_TRIES, PUK_MAX_TRIES)
        assert contents(nvram)[2:4] == ((), ())
        assert not nvram.vouchers()
        assert nvram.counters() == Counters(signatures=0, unblocks=0, power_ups=0)


def test_nothing_is_lost_when_the_file_is_opened_again(path: Path) -> None:
    with Nvram.open(path) as nvram:
        nvram.spend_try(PinReference.USER)
        nvram.add_key(KEY)
        nvram.put_certificate(b"leaf", key_id=KEY.key_id, label="signing")
        nvram.put_certificate(b"issuer", label="bank", is_ca=True)
        nvram.record_signature(1, "转账".encode(), 1_700_000_000_123)
        nvram.count_power_up()
        nvram.set_label("工资")
        before = contents(nvram)
    with Nvram.open(path) as nvram:
        assert contents(nvram) == before
        assert nvram.identity.label == "工资"


def _add_key(nvram: Nvram) -> int:
    reference = nvram.free_key_reference()
    nvram.add_key(replace(KEY, reference=reference, key_id=bytes((reference,)) * 20))
    return reference


def test_keys_are_numbered_in_order_until_the_token_is_full(tmp_path: Path) -> None:
    with Nvram.open(make_memory(tmp_path / "small", profile="lenient")) as nvram:
        references = [_add_key(nvram) for _ in range(nvram.profile.max_keys)]
        assert references == list(range(1, nvram.profile.max_keys + 1))
        with pytest.raises(TokenFull):
            nvram.free_key_reference()


def test_a_deleted_key_s_reference_comes_again_after_all_others(tmp_path: Path) -> None:
    path = make_memory(tmp_path / "small", profile="lenient")
    with Nvram.open(path) as nvram:
        stays = _add_key(nvram)
        given = [_add_key(nvram) for _ in range(2)]
        for reference in given:
            nvram.delete_key(reference)
    with Nvram.open(path) as nvram:
        while len(given) < 255:
            given.append(_add_key(nvram))
            nvram.delete_key(given[-1])
        assert given == [*range(2, 256), 2]
        (key,) = nvram.keys()
        assert key.reference == stays


def test_a_deleted_key_is_in_the_file_no_more(path: Path) -> None:
    secret = bytes(range(256)) * 12
    with Nvram.open(path) as nvram:
        nvram.add_key(replace(KEY, private_key=secret))
    assert secret[:256] in path.read_bytes()
    with Nvram.open(path) as nvram:
        nvram.delete_key(KEY.reference)
    assert secret[:64] not in path.read_bytes()
    assert remaining(path) == {path.name}


def test_a_deleted_key_takes_its_own_certificate_with_it(path: Path) -> None:
    with Nvram.open(path) as nvram:
        for _ in range(2):
            _add_key(nvram)
        first, second = nvram.keys()
        nvram.put_certificate(b"first", key_id=first.key_id)
        nvram.put_certificate(b"second", key_id=second.key_id)
        nvram.put_certificate(b"issuer", is_ca=True)
        nvram.delete_key(first.reference)
        assert nvram.keys() == (second,)
        assert [record.der for record in nvram.certificates()] == [b"second", b"issuer"]


def test_a_key_reference_that_is_taken_is_never_overwritten(path: Path) -> None:
    with Nvram.open(path) as nvram:
        nvram.add_key(KEY)
        with pytest.raises(InputInvalid):
            nvram.add_key(replace(KEY, private_key=b"another"))
        assert nvram.keys() == (KEY,)
        assert nvram.key(1) == KEY


def test_unknown_objects_are_told_as_such(path: Path) -> None:
    with Nvram.open(path) as nvram:
        for look_up in (
            nvram.key,
            nvram.delete_key,
            nvram.certificate,
            nvram.delete_certificate,
            nvram.voucher,
        ):
            with pytest.raises(ObjectNotFound):
                look_up(7)


def test_certificate_of_the_same_key_is_replaced_in_its_slot(path: Path) -> None:
    with Nvram.open(path) as nvram:
        nvram.put_certificate(b"issuer", label="bank", is_ca=True)
        slot = nvram.put_certificate(b"old", key_id=KEY.key_id, label="2023")
        assert nvram.put_certificate(b"new", key_id=KEY.key_id, label="2024") == slot == 2
        assert nvram.certificate(slot) == CertificateRecord(slot, KEY.key_id, "2024", b"new")
        assert len(nvram.certificates()) == 2


def test_certificates_of_the_chain_never_replace_each_other(path: Path) -> None:
    with Nvram.open(path) as nvram:
        slots = [nvram.put_certificate(der, is_ca=True) for der in (b"root", b"issuer")]
        assert slots == [1, 2]


def test_certificate_slots_and_sizes_are_bounded_by_the_profile(tmp_path: Path) -> None:
    with Nvram.open(make_memory(tmp_path / "small", profile="lenient")) as nvram:
        profile = nvram.profile
        for number in range(profile.max_certificates):
            nvram.put_certificate(b"%d" % number)
        before = contents(nvram)
        with pytest.raises(TokenFull):
            nvram.put_certificate(b"one more")
        with pytest.raises(TokenFull):
            nvram.put_certificate(b"outside", slot=profile.max_certificates + 1)
        with pytest.raises(TokenFull):
            nvram.put_certificate(bytes(profile.max_certificate + 1), slot=1)
        assert contents(nvram) == before
        nvram.put_certificate(bytes(profile.max_certificate), slot=1)


def test_deleted_certificate_leaves_its_slot_free(path: Path) -> None:
    with Nvram.open(path) as nvram:
        nvram.put_certificate(b"a")
        nvram.put_certificate(b"b")
        nvram.delete_certificate(1)
        assert [record.der for record in nvram.certificates()] == [b"b"]
        assert nvram.put_certificate(b"c") == 1


def test_vouchers_are_a_ring_of_the_newest(tmp_path: Path) -> None:
    with Nvram.open(make_memory(tmp_path / "small", profile="lenient")) as nvram:
        kept = nvram.profile.vouchers
        made = [
            nvram.record_signature(3, b"message %d" % number, 1_000 + number)
            for number in range(1, kept + 4)
        ]
        assert made == list(range(1, kept + 4))
        assert [voucher.counter for voucher in nvram.vouchers()] == made[: -kept - 1 : -1]
        newest = nvram.voucher(0)
        assert (newest.counter, newest.time, newest.key_reference, newest.message) == (
            kept + 3,
            1_000 + kept + 3,
            3,
            b"message %d" % (kept + 3),
        )
        assert nvram.voucher(kept - 1).counter == 4
        with pytest.raises(ObjectNotFound):
            nvram.voucher(kept)


def test_counters_count_each_kind_apart(path: Path) -> None:
    with Nvram.open(path) as nvram:
        nvram.count_power_up()
        nvram.count_power_up()
        nvram.unblock_by_bank(SecretHash.of(NEW_PIN))
        nvram.unblock(SecretHash.of(NEW_PIN))
        assert nvram.counters() == Counters(signatures=0, unblocks=1, power_ups=2)


def test_tries_never_fall_below_zero(path: Path) -> None:
    with Nvram.open(path) as nvram:
        for _ in range(MAX_TRIES):
            nvram.spend_try(PinReference.USER)
        with pytest.raises(InputInvalid):
            nvram.spend_try(PinReference.USER)
        assert nvram.reference(PinReference.USER).tries_left == 0


def test_closed_memory_says_so_and_may_be_closed_again(path: Path) -> None:
    nvram = Nvram.open(path)
    nvram.close()
    nvram.close()
    for use in (nvram.count_power_up, nvram.keys):
        with pytest.raises(TokenRemoved):
            use()


class Interrupted:
    """Someone presses Ctrl-C in the middle of the first transaction."""

    def before_write(self, number: int) -> None:
        if number == 2:
            raise KeyboardInterrupt

    def after_write(self, number: int) -> None:
        """Nothing happens here."""


def test_interrupted_write_leaves_nothing_behind_and_the_next_one_works(path: Path) -> None:
    with Nvram.open(path, faults=Interrupted()) as nvram:
        before = contents(nvram)
        with pytest.raises(KeyboardInterrupt):
            nvram.count_power_up()
        assert contents(nvram) == before
        nvram.count_power_up()
        assert nvram.counters().power_ups == 1


def test_secrets_do_not_show_in_representations(path: Path) -> None:
    with Nvram.open(path) as nvram:
        nvram.add_key(KEY)
        told = repr((nvram.identity, nvram.reference(PinReference.USER), nvram.keys()))
    assert "device key" not in told
    assert "private" not in told.replace("private_key", "")
    assert "hash=" not in told


def test_same_secret_is_never_hashed_alike_twice() -> None:
    first, second = SecretHash.of(PIN), SecretHash.of(PIN)
    assert first.salt != second.salt
    assert first.hash != second.hash


class Memory(RuleBasedStateMachine):
    """Any order of writes and openings leaves what a plain dictionary would."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.path = make_memory(Path(self.directory.name) / "token", profile="lenient")
        self.nvram = Nvram.open(self.path)
        self.tries = dict.fromkeys(PinReference, 0) | {
            PinReference.USER: MAX_TRIES,
            PinReference.PUK: PUK_MAX_TRIES,
        }
        self.certificates: dict[int, bytes] = {}
        self.messages: list[bytes] = []

    def teardown(self) -> None:
        self.nvram.close()
        self.directory.cleanup()

    @rule()
    def open_again(self) -> None:
        self.nvram.close()
        self.nvram = Nvram.open(self.path)

    @rule(reference=st.sampled_from(PinReference))
    def spend(self, reference: PinReference) -> None:
        if self.tries[reference]:
            self.nvram.spend_try(reference)
            self.tries[reference] -= 1

    @rule(reference=st.sampled_from(PinReference))
    def restore(self, reference: PinReference) -> None:
        self.nvram.restore_tries(reference)
        full = {PinReference.USER: MAX_TRIES, PinReference.PUK: PUK_MAX_TRIES}
        self.tries[reference] = full[reference]

    @rule(slot=st.integers(1, 6), der=st.binary(min_size=1, max_size=4096))
    def put(self, slot: int, der: bytes) -> None:
        assert self.nvram.put_certificate(der, slot=slot) == slot
        self.certificates[slot] = der

    @precondition(lambda self: self.certificates)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.certificates)))
        self.nvram.delete_certificate(slot)
        del self.certificates[slot]

    @rule(message=st.binary(max_size=2048))
    def sign(self, message: bytes) -> None:
        self.messages.append(message)
        assert self.nvram.record_signature(1, message, 0) == len(self.messages)

    @invariant()
    def memory_holds_what_was_written(self) -> None:
        nvram = self.nvram
        for reference, tries in self.tries.items():
            assert nvram.reference(reference).tries_left == tries
        assert {c.slot: c.der for c in nvram.certificates()} == self.certificates
        kept = [voucher.message for voucher in nvram.vouchers()]
        assert kept == self.messages[: -nvram.profile.vouchers - 1 : -1]


Memory.TestCase.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
TestMemory = Memory.TestCase
