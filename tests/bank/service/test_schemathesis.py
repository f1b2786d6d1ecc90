"""The service keeps what its OpenAPI document promises, whatever is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig

from tests.bank.banking import Bench, confirm_copy
from tests.bank.service.backings import backing_of
from tests.bank.service.conftest import copied
from tests.bank.service.served import Served
from tests.bank.test_company_acceptance import POLICY
from ushield.bank.service import Client, Limits, Role
from ushield.bank.service.clients import token_digest
from ushield.bank.service.configuration import client_table
from ushield.bank.service.openapi import document

TOKEN = "ushield_everything"
EVERYTHING = Client(name="everything", roles=frozenset(Role), token_sha256=token_digest(TOKEN))

CONFIGURATION = SchemathesisConfig.from_dict(
    {
        "checks": {
            # 400 is for what the document does not allow, and for that alone: what the bank refuses
            # of what it does allow has 422.
            "positive_data_acceptance": {"expected-statuses": ["2xx", 404, 409, 422]},
            "negative_data_rejection": {"expected-statuses": [400, 401, 404, 405, 415, 422]},
        },
        # Transactions have so many members that the rest of this file is quicker than they are.
        "operations": [
            {
                "include-path": "/v1/challenges",
                "include-method": "POST",
                "phases": {"coverage": {"enabled": False}},
            }
        ],
    }
)


@schemathesis.serializer(
    "application/pkcs7-signature", "application/ocsp-request", "application/vnd.apache.parquet"
)
def as_it_is(context: object, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def everything(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("everything")
    if request.param == "sqlite":
        url = copied(request.getfixturevalue("sqlite_template"), folder)
    else:
        server = request.getfixturevalue("server")
        server.sql("CREATE DATABASE everything TEMPLATE template")
        url = server.url("everything")
        confirm_copy(url)
    limits = Limits(per_client=100_000, together=100_000, strangers=100_000)
    with (
        Bench.open(url, policy=POLICY) as bench,
        Served(
            bench,
            folder,
            limits=limits,
            text=client_table(EVERYTHING),
            backing=backing_of(bench),
        ) as served,
    ):
        bench.customer()
        assert served.told(200, "GET", "/openapi.json") == document()
        yield served


schema = schemathesis.openapi.from_dict(document(), config=CONFIGURATION)


@schema.parametrize()
@settings(
    max_examples=2,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_an_operation_does_what_the_document_says(
    case: schemathesis.Case[Any], everything: Served
) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    case.call_and_validate(base_url=everything.url, headers=headers)
