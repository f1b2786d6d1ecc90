"""The examples on the page of the bank's CA run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.docs.test_examples import REPOSITORY, blocks
from tests.openssl import needs_openssl
from ushield.bank.authorities import (
    CaAnswerInvalid,
    CaOutcomeUnknown,
    CaPending,
    CaRefused,
    CaUnavailable,
)
from ushield.bank.authorities.configuration import (
    CmpSettings,
    EmbeddedSettings,
    read_authority,
)

PAGE = REPOSITORY / "docs" / "authorities.md"


@needs_openssl
def test_the_examples_lead_from_a_new_ca_to_a_revoked_certificate(tmp_path: Path) -> None:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = os.environ | {"PATH": path, "PYTHONUTF8": "1"}
    *first, publish = blocks(PAGE, "sh")
    program = "".join(blocks(PAGE, "python"))
    told = ""
    for command in (
        ["bash", "-euo", "pipefail", "-c", "".join(first)],
        [sys.executable, "-c", program],
        ["bash", "-euo", "pipefail", "-c", "export USHIELD_BANK=mybank\n" + publish],
    ):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        told += done.stdout
    assert "revoked since 20" in told
    assert "Key Compromise" in told


def test_the_sections_are_what_the_program_reads() -> None:
    embedded, by_secret, by_key = (
        read_authority(Path("bank.toml"), tomllib.loads(block)["authority"])
        for block in blocks(PAGE, "toml")
    )
    assert isinstance(embedded, EmbeddedSettings)
    assert embedded.crl_urls == ("http://ca.example/bank.crl",)
    assert embedded.passphrase_file == Path("/run/keys/ca")
    assert isinstance(by_secret, CmpSettings)
    assert (by_secret.reference, by_secret.ra_key) == ("example-bank", None)
    assert isinstance(by_key, CmpSettings)
    assert (by_key.responders, by_key.secret_file) == (Path("ca-signers.pem"), None)


def test_every_error_of_a_ca_is_told() -> None:
    told = set(re.findall(r"^\| `(ca-[a-z-]+)` \|", PAGE.read_text(), re.MULTILINE))
    kinds = (CaAnswerInvalid, CaOutcomeUnknown, CaPending, CaRefused, CaUnavailable)
    assert told == {kind.code for kind in kinds}
