"""SELECT, version and serial number, and the data objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.virtual.piv_host import NOT_SATISFIED, OK, PivHost
from ushield.iso7816.apdu import CommandApdu
from ushield.iso7816.status import StatusWord
from ushield.iso7816.tlv import encode, parse_one, read_template
from ushield.piv.commands import AID, AIDS, ALGORITHM_CODE, CERTIFICATE_TAG, Instruction, Slot

NOT_FOUND = StatusWord.FILE_NOT_FOUND


@pytest.fixture
def host(tmp_path: Path) -> Iterator[PivHost]:
    with PivHost.create(tmp_path) as host:
        yield host


@pytest.mark.parametrize("aid", AIDS, ids=bytes.hex)
def test_it_is_selected_by_its_aid_whole_or_truncated(host: PivHost, aid: bytes) -> None:
    template = read_template(parse_one(host.select(aid).data).value)
    assert template.take(0x4F) == AID[5:]
    assert parse_one(template.take(0x79)).value == AID[:5]
    assert "virtual" in template.take_text(0x50)
    algorithms = read_template(template.take(0xAC))
    assert {value[0] for value in algorithms.all(0x80)} == set(ALGORITHM_CODE.values())


@pytest.mark.parametrize("aid", [AID[:4], AID + b"\0", bytes.fromhex("A0000001510000")])
def test_other_names_leave_it_selected(host: PivHost, aid: bytes) -> None:
    host.verify()
    assert host.select(aid).sw == NOT_FOUND
    assert host.ask() == OK


def test_version_and_serial_number_are_told(host: PivHost) -> None:
    assert host.send(Instruction.GET_VERSION).data == bytes((5, 7, 0))
    serial = host.send(Instruction.GET_SERIAL).data
    assert len(serial) == 4
    assert host.send(Instruction.GET_SERIAL).data == serial
    assert host.send(Instruction.GET_SERIAL, 1).sw == StatusWord.WRONG_PARAMETERS


def test_a_bare_header_is_answered_too(host: PivHost) -> None:
    command = CommandApdu(0, Instruction.GET_VERSION).encode()
    assert host.token.card.transmit(command) == bytes((5, 7, 0, 0x90, 0x00))


def test_the_discovery_object_is_the_same_at_every_read(host: PivHost) -> None:
    # SP 800-73pt1-5, 3.3.2: 7E with the AID in 4F and the PIN usage policy in 5F2F.
    expected = bytes.fromhex("7E124F0BA0000003080000100001005F2F024000")
    assert host.get(0x7E).data == expected
    host.verify()
    assert host.get(0x7E).data == expected


def test_identifier_and_capabilities_name_the_card_until_others_are_written(host: PivHost) -> None:
    chuid = read_template(parse_one(host.get(0x5FC102).data).value, nested=False)
    assert len(chuid.take(0x30)) == 25
    assert len(chuid.take(0x34)) == 16
    capabilities = read_template(parse_one(host.get(0x5FC107).data).value, nested=False)
    assert capabilities.take(0xF0).startswith(bytes.fromhex("A000000116FF02"))
    host.authenticate()
    assert host.put(0x5FC102, b"mine") == OK
    assert host.get(0x5FC102).data == encode(0x53, b"mine")


def test_objects_are_written_by_the_management_key_and_read_by_anyone(host: PivHost) -> None:
    tag = CERTIFICATE_TAG[Slot.AUTHENTICATION]
    assert host.get(tag).sw == NOT_FOUND
    assert host.put(tag, b"value") == NOT_SATISFIED
    host.authenticate()
    assert host.put(tag, b"value" * 500) == OK
    assert host.get(tag).data == encode(0x53, b"value" * 500)
    assert host.put(tag, b"other") == OK
    assert host.get(tag).data == encode(0x53, b"other")
    assert host.put(tag, b"") == OK
    assert host.get(tag).sw == NOT_FOUND
    assert host.put(tag, b"") == OK


def test_objects_outlive_the_power(host: PivHost) -> None:
    host.authenticate()
    host.put(0x5FC10C, b"history")
    host.token.unplug()
    host.token.plug()
    host.token.card.power_on()
    host.select()
    assert host.get(0x5FC10C).data == encode(0x53, b"history")


@pytest.mark.parametrize("tag", [0x5FC103, 0x5FC108, 0x5FC109, 0x5FC121])
def test_personal_objects_want_the_pin(host: PivHost, tag: int) -> None:
    host.authenticate()
    host.put(tag, b"face")
    assert host.get(tag).sw == NOT_SATISFIED
    host.verify()
    assert host.get(tag).data == encode(0x53, b"face")


@pytest.mark.parametrize("tag", [0x7E, 0x5FFF01, 0x7F61, 0x5FC0FF, 0x600000, 0xDF02])
def test_other_tags_are_not_written(host: PivHost, tag: int) -> None:
    host.authenticate()
    assert host.put(tag, b"x") == NOT_FOUND


@pytest.mark.parametrize(
    "data", [b"", b"\x5c", b"\x5c\x00", b"\x5c\x03\x5f\xc1", b"\x5d\x01\x7e", b"\x5c\x01\x7e\x00"]
)
def test_a_malformed_tag_list_is_refused(host: PivHost, data: bytes) -> None:
    assert host.send(Instruction.GET_DATA, 0x3F, 0xFF, data).sw == StatusWord.WRONG_DATA


def test_what_is_too_large_or_too_many_is_refused(host: PivHost) -> None:
    host.authenticate()
    full = StatusWord.NOT_ENOUGH_MEMORY
    assert host.put(0x5FC105, bytes(8192)) == OK
    assert host.put(0x5FC105, bytes(8193)) == full
    assert [host.put(0x5FFF10 + number, b"x") for number in range(64)] == [OK] * 63 + [full]
    assert host.put(0x5FC105, b"x") == OK


def test_the_device_s_certificate_stands_where_tools_look_for_it(host: PivHost) -> None:
    value = parse_one(host.get(0x5FFF01).data).value
    certificate = x509.load_der_x509_certificate(read_template(value, nested=False).take(0x70))
    assert "virtual" in certificate.subject.rfc4514_string()


def test_commands_that_there_are_not_are_refused(host: PivHost) -> None:
    assert host.send(0x2A, 0x9E, 0x9A).sw == StatusWord.INS_NOT_SUPPORTED
    command = CommandApdu(0x80, 0x50, ne=256).encode()
    assert host.token.card.transmit(command) == b"\x6e\x00"
