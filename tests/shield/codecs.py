"""Every structure of the reference token's protocol: its values, its writer, its reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.shield.strategies import (
    application_infos,
    begins,
    beguns,
    certificate_entries,
    challenges,
    counters,
    digests,
    generate_keys,
    key_entries,
    octet,
    pin_states,
    refusals,
    request_ids,
    request_states,
    signeds,
    unblock_challenges,
    unblock_responses,
    vouchers,
)
from ushield.shield.application import (
    ApplicationInfo,
    Counters,
    decode_pin_states,
    encode_pin_state,
)
from ushield.shield.objects import (
    ChallengeToSign,
    DigestToSign,
    GenerateKey,
    KeyEntry,
    decode_certificates,
    decode_key_reference,
    decode_keys,
    encode_key_reference,
)
from ushield.shield.pins import decode_change, encode_change
from ushield.shield.requests import (
    Begin,
    Begun,
    DisplayRefusal,
    RequestState,
    Signed,
    UnblockChallenge,
    UnblockResponse,
    Voucher,
    decode_request_id,
    encode_request_id,
)

__all__ = ["CODECS"]

CODECS: list[tuple[st.SearchStrategy[Any], Callable[[Any], bytes], Callable[[bytes], Any]]] = [
    (application_infos, ApplicationInfo.encode, ApplicationInfo.decode),
    (counters, Counters.encode, Counters.decode),
    (key_entries, KeyEntry.encode, KeyEntry.decode),
    (generate_keys, GenerateKey.encode, GenerateKey.decode),
    (digests, DigestToSign.encode, DigestToSign.decode),
    (challenges, ChallengeToSign.encode, ChallengeToSign.decode),
    (begins, Begin.encode, Begin.decode),
    (beguns, Begun.encode, Begun.decode),
    (request_states, RequestState.encode, RequestState.decode),
    (refusals, DisplayRefusal.encode, DisplayRefusal.decode),
    (signeds, Signed.encode, Signed.decode),
    (vouchers, Voucher.encode, Voucher.decode),
    (unblock_challenges, UnblockChallenge.encode, UnblockChallenge.decode),
    (unblock_responses, UnblockResponse.encode, UnblockResponse.decode),
    (request_ids, encode_request_id, decode_request_id),
    (octet, encode_key_reference, decode_key_reference),
    (
        st.tuples(st.binary(max_size=20), st.binary(max_size=20)),
        lambda p: encode_change(*p),
        decode_change,
    ),
    (
        st.lists(key_entries, max_size=4).map(tuple),
        lambda entries: b"".join(entry.encode() for entry in entries),
        decode_keys,
    ),
    (
        st.lists(certificate_entries, max_size=4).map(tuple),
        lambda entries: b"".join(entry.encode() for entry in entries),
        decode_certificates,
    ),
    (
        st.lists(pin_states, max_size=3).map(tuple),
        lambda states: b"".join(map(encode_pin_state, states)),
        decode_pin_states,
    ),
]
