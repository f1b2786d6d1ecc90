"""Values of every structure in the reference token's protocol."""

from __future__ import annotations

from hypothesis import strategies as st

from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.pin import PinReference, PinRules, PinState
from ushield.shield.application import ApplicationInfo, Counters, ScreenInfo
from ushield.shield.commands import (
    REQUEST_ID_SIZE,
    UNBLOCK_NONCE_SIZE,
    Feature,
    KeyUsageCode,
)
from ushield.shield.events import PanelEvent, PanelEventKind, PanelKey
from ushield.shield.objects import (
    CertificateEntry,
    ChallengeToSign,
    DigestToSign,
    GenerateKey,
    KeyEntry,
    StoredCertificate,
)
from ushield.shield.requests import (
    Begin,
    Begun,
    DisplayRefusal,
    RefusalReason,
    RequestStage,
    RequestState,
    Signed,
    UnblockChallenge,
    UnblockResponse,
    Voucher,
)

octet = st.integers(0, 0xFF)
count = st.integers(1, 0xFF)
two_octets = st.integers(0, 0xFFFF)
four_octets = st.integers(0, 0xFFFFFFFF)
text = st.text(max_size=40)
some = st.binary(min_size=1, max_size=300)
request_ids = st.binary(min_size=REQUEST_ID_SIZE, max_size=REQUEST_ID_SIZE)

pin_rules = st.builds(
    lambda shortest, more, tries, puk_tries, change, each: PinRules(
        shortest, shortest + more, tries, puk_tries, change, each
    ),
    st.integers(1, 100),
    st.integers(0, 100),
    count,
    count,
    st.booleans(),
    st.booleans(),
)
pin_states = st.builds(
    lambda reference, left, more, change, verified: PinState(
        reference, left, left + more, change, verified
    ),
    st.sampled_from(PinReference),
    st.integers(0, 100),
    st.integers(0, 100),
    st.booleans(),
    st.booleans(),
)
screens = st.builds(
    ScreenInfo,
    st.integers(2, 0xFF),
    st.integers(2, 0xFF),
    st.text(st.characters(max_codepoint=0x7F), max_size=20),
    text,
)
application_infos = st.builds(
    ApplicationInfo,
    protocol=st.tuples(octet, octet),
    firmware=st.tuples(octet, octet, octet),
    manufacturer=text,
    model=text,
    serial=text,
    label=text,
    features=two_octets.map(Feature),
    screen=screens,
    pin_rules=pin_rules,
    max_message=two_octets,
    max_keys=octet,
    max_certificate=two_octets,
    timeout=octet,
)
counters = st.builds(Counters, four_octets, four_octets, four_octets)
algorithms = st.sampled_from(KeyAlgorithm)
usages = st.sampled_from(KeyUsageCode)
key_entries = st.builds(
    KeyEntry, octet, algorithms, usages, st.binary(max_size=20), text, st.binary(max_size=300)
)
certificate_entries = st.builds(
    CertificateEntry,
    octet,
    st.binary(max_size=20),
    text,
    two_octets,
    st.binary(min_size=32, max_size=32),
)
stored_certificates = st.builds(StoredCertificate, octet, some, text, st.booleans())
generate_keys = st.builds(GenerateKey, algorithms, usages, text)
digests = st.sampled_from(HashAlgorithm).flatmap(
    lambda algorithm: st.builds(
        DigestToSign,
        octet,
        st.just(algorithm),
        st.binary(min_size=algorithm.digest_size, max_size=algorithm.digest_size),
    )
)
challenges = st.builds(ChallengeToSign, octet, st.binary(min_size=16, max_size=255))
begins = st.builds(Begin, octet, st.binary(max_size=600))
beguns = st.builds(Begun, request_ids, count, octet)
request_states = st.builds(
    lambda stage, page, more, left: RequestState(stage, page, page + more, left),
    st.sampled_from(RequestStage),
    st.integers(1, 100),
    st.integers(0, 100),
    four_octets,
)
refusals = st.builds(DisplayRefusal, st.sampled_from(RefusalReason), st.characters().map(ord))
signeds = st.builds(Signed, some, some)
vouchers = st.builds(
    Voucher, four_octets, st.integers(0, 253_402_300_799_999), octet, st.binary(max_size=600)
)
unblock_challenges = st.builds(
    UnblockChallenge,
    text,
    st.binary(min_size=UNBLOCK_NONCE_SIZE, max_size=UNBLOCK_NONCE_SIZE),
    four_octets,
)
unblock_responses = st.builds(UnblockResponse, st.binary(max_size=80), st.binary(max_size=12))
panel_events = st.one_of(
    st.builds(
        lambda request_id, page, more, counter: PanelEvent(
            PanelEventKind.PAGE_SHOWN, request_id, page, page + more, counter
        ),
        request_ids,
        st.integers(1, 100),
        st.integers(0, 100),
        four_octets,
    ),
    st.builds(
        PanelEvent,
        st.just(PanelEventKind.KEY_DOWN),
        request_ids,
        st.sampled_from(PanelKey).map(int),
        octet,
        four_octets,
    ),
    st.builds(
        PanelEvent,
        st.sampled_from(PanelEventKind).filter(lambda kind: kind >= PanelEventKind.CONFIRMED),
        request_ids,
        st.just(0),
        octet,
        four_octets,
    ),
)
