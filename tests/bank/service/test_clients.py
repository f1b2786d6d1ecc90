"""Who may call: clients in a file, each with a name, roles and something to prove it by."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield.bank.service import Client, ClientFile, Role, ServiceConfiguration
from ushield.bank.service.clients import Clients, new_token, token_digest
from ushield.bank.service.configuration import FILE_NAME, client_table
from ushield.bank.service.errors import CallerUnknown, ServiceConfigurationInvalid

DIGEST = "ab" * 32
NAMES = st.text("019azAZ._-", min_size=1, max_size=64)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
SUBJECTS = st.text(min_size=1, max_size=40).filter(str.isprintable)
CLIENTS = st.builds(
    Client,
    name=NAMES,
    roles=st.frozensets(st.sampled_from(Role), min_size=1),
    token_sha256=DIGESTS,
    certificate_sha256=st.none() | DIGESTS,
    certificate_subject=st.none() | SUBJECTS,
)


@given(client=CLIENTS)
def test_a_client_is_read_as_it_was_written(client: Client) -> None:
    found = ServiceConfiguration.parse(client_table(client)).clients
    assert found.by_name == {client.name: client}


def test_a_token_is_found_by_its_digest_alone() -> None:
    token = new_token()
    client = Client(name="a", roles=frozenset((Role.CLERK,)), token_sha256=token_digest(token))
    assert token not in client_table(client) + repr(client)
    clients = Clients([client])
    assert clients.by_token(token) is client
    for other in (new_token(), "", token_digest(token), "\udcff"):
        with pytest.raises(CallerUnknown):
            clients.by_token(other)
    with pytest.raises(CallerUnknown):
        clients.by_certificate(b"no certificate")


@pytest.mark.parametrize(
    "text",
    [
        "rubbish",
        "nonsense = 1",
        "client = 1",
        "client.a = 1",
        "[client.a]\nroles = []",
        f"[client.a]\nroles = ['king']\ntoken_sha256 = '{DIGEST}'",
        f"[client.a]\nroles = 'clerk'\ntoken_sha256 = '{DIGEST}'",
        "[client.a]\nroles = ['clerk']",
        "[client.a]\nroles = ['clerk']\ntoken_sha256 = 'AB'",
        "[client.a]\nroles = ['clerk']\ntoken_sha256 = 5",
        "[client.a]\nroles = ['clerk']\ntoken = 'secret'",
        f"[client.'a b']\nroles = ['clerk']\ntoken_sha256 = '{DIGEST}'",
        f"[client.a]\nroles = ['clerk']\ntoken_sha256 = '{DIGEST}'\n"
        f"[client.b]\nroles = ['clerk']\ntoken_sha256 = '{DIGEST}'",
        "[limits]\nworkers = 0",
        "[limits]\nworkers = true",
        "[limits]\nnonsense = 1",
    ],
)
def test_a_file_that_says_something_else_is_refused(text: str) -> None:
    with pytest.raises(ServiceConfigurationInvalid):
        ServiceConfiguration.parse(text)


def test_a_file_that_others_may_change_is_refused(tmp_path: Path) -> None:
    file = tmp_path / FILE_NAME
    assert not ServiceConfiguration.load(tmp_path).clients.by_name
    file.write_text(f"[client.a]\nroles = ['clerk']\ntoken_sha256 = '{DIGEST}'")
    file.chmod(0o644)
    clients = ClientFile(tmp_path)
    assert set(clients.now().by_name) == {"a"}
    file.chmod(0o664)
    with pytest.raises(ServiceConfigurationInvalid, match="other users"):
        clients.now()
    file.unlink()
    assert not clients.now().by_name
