"""Messages come back as they were written, and no bytes make reading fail otherwise than it may."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.bank.authorities.cmp.serving import MAC, ScriptedCa, granted, issued, status
from tests.bank.authorities.issuing import request
from tests.pki import NOW, authority, name
from ushield.bank.authorities import CaAnswerInvalid
from ushield.bank.authorities.cmp.bodies import (
    Template,
    certificate_confirmation,
    certificate_request,
    pkcs10_request,
    poll_request,
    read_certificate,
    read_error,
    read_poll,
    read_revocation,
    revocation_request,
)
from ushield.bank.authorities.cmp.message import (
    Envelope,
    read_message,
    write_message,
)
from ushield.bank.authorities.cmp.structures import PKIBody, PKIMessage

KEY = authority().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
REQUEST = request()
IDS = st.binary(min_size=16, max_size=16)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20).map(
    lambda text: name(text).public_bytes()
)
SERIALS = st.integers(1, (1 << 160) - 1)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)
TEMPLATES = st.builds(
    Template,
    subject=NAMES,
    public_key=st.just(KEY),
    not_after=TIMES,
    old=st.none() | st.tuples(NAMES, SERIALS),
)
BODIES = st.one_of(
    st.just(REQUEST).map(pkcs10_request),
    TEMPLATES.map(certificate_request),
    st.builds(
        revocation_request,
        NAMES,
        SERIALS,
        st.sampled_from(["unspecified", "key_compromise", "remove_from_crl"]),
    ),
    st.builds(
        certificate_confirmation,
        st.integers(-1, 3),
        st.binary(min_size=32, max_size=64),
        rejected=st.booleans(),
    ),
    st.integers(-1, 3).map(poll_request),
)
ENVELOPES = st.builds(
    Envelope,
    recipient=NAMES,
    transaction_id=IDS,
    sender_nonce=IDS,
    recip_nonce=st.none() | IDS,
    at=TIMES,
)


@given(BODIES, ENVELOPES)
@settings(max_examples=20)
def test_a_message_comes_back_as_it_was_written(body: PKIBody, envelope: Envelope) -> None:
    encoded = write_message(body, envelope, MAC)
    message = read_message(encoded)
    MAC.verify(message)
    assert message.body == body.name
    assert message.content.native == body.chosen.native
    assert (message.transaction_id, message.sender_nonce, message.recip_nonce) == (
        envelope.transaction_id,
        envelope.sender_nonce,
        envelope.recip_nonce,
    )
    # It is DER, and all of it is understood.
    again = PKIMessage.load(encoded, strict=True)
    assert again.native
    assert again.dump(force=True) == encoded


def faults(*reads: Callable[[], object]) -> set[str]:
    """How those fail that do."""
    found = set()
    for read in reads:
        try:
            read()
        except CaAnswerInvalid as error:
            found.add(error.fault)
    return found


ASKED = read_message(
    write_message(
        poll_request(0),
        Envelope(recipient=MAC.sender, transaction_id=bytes(16), sender_nonce=bytes(16), at=NOW),
        MAC,
    )
)
ANSWERS = [
    ScriptedCa([]).reply(ASKED, body(ASKED))
    for body in (
        granted(issued()),
        status("rejection", "badPOP", text="no"),
        status("accepted", kind="rp"),
        status("rejection", "badRequest", kind="error"),
    )
]


@given(st.sampled_from(ANSWERS), st.data())
@settings(max_examples=80)
def test_an_answer_that_was_garbled_is_read_or_refused_by_its_own_error(
    answer: bytes, data: st.DataObject
) -> None:
    changed = bytearray(answer)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(answer) - 1))] = data.draw(st.integers(0, 255))
    if faults(lambda: read_message(bytes(changed))):
        assert faults(lambda: read_message(bytes(changed))) == {"encoding"}
        return
    message = read_message(bytes(changed))
    readings = (read_certificate, read_revocation, read_error, read_poll)
    for each in readings:
        assert faults(functools.partial(each, message)) <= {"encoding", "unexpected"}
    assert faults(lambda: MAC.verify(message)) <= {"protection"}


def test_an_object_descriptor_where_another_type_is_due_is_refused() -> None:
    for answer in ANSWERS:
        for at, tag in enumerate(answer):
            if tag in {0x05, 0x06}:
                changed = answer[:at] + b"\x07" + answer[at + 1 :]
                assert faults(functools.partial(_read_all, changed)) <= {"encoding", "unexpected"}


def _read_all(data: bytes) -> None:
    message = read_message(data)
    for each in (read_certificate, read_revocation, read_error, read_poll):
        with suppress(CaAnswerInvalid):
            each(message)


@given(st.binary(max_size=64))
@example(b"\x30\x80" * 4000)
@example(b"\x30\x82\xff\xff" + bytes(10))
@example(b"\xa0\x84\x7f\xff\xff\xff")
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(CaAnswerInvalid):
        read_message(data)


def test_the_validity_that_is_asked_for_is_written_as_its_year_wants() -> None:
    for year, kind in ((2049, "utc_time"), (2050, "general_time")):
        template = Template(
            subject=MAC.sender, public_key=KEY, not_after=datetime(year, 1, 1, tzinfo=UTC)
        )
        (asked,) = certificate_request(template).chosen
        end = asked["cert_req"]["cert_template"]["validity"]["not_after"]
        assert end.name == kind
        assert end.native - datetime(year, 1, 1, tzinfo=UTC) == timedelta(0)
