"""``ushield apdu`` and ``ushield trace``: for who writes a driver."""

from __future__ import annotations

import json
import ssl
import stat

import pytest

from tests.cli.conftest import Enrolled, run, told
from ushield.drivers import registry

SELECT = "00 A4 04 00 08 F0 55 53 48 49 45 4C 44 00"


def test_an_answer_comes_with_its_status_word_in_words(enrolled: Enrolled) -> None:
    result = enrolled.run("apdu", SELECT, "00:CA:00:00")
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert "9000 (done)" in first
    assert "(instruction not supported)" in second


def test_a_driver_selects_its_application_first_unless_told_not_to(enrolled: Enrolled) -> None:
    asked = ["--json", "apdu", "00200081"]
    selected = told(enrolled.run(*asked))
    assert selected["exchanges"][0]["sw"] == "63c6"
    assert selected["atr"].startswith("3b")
    bare = told(enrolled.run(*asked, "--no-driver"))
    assert bare["exchanges"][0]["sw"] != "63c6"


def test_a_card_that_no_driver_knows_can_be_talked_to_all_the_same(
    enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "drivers", lambda: ())
    assert enrolled.run("info").exit_code == 14
    result = enrolled.run("--json", "apdu", SELECT)
    assert result.exit_code == 0
    assert told(result)["exchanges"][0]["sw"] == "9000"


@pytest.mark.parametrize("text", ["xyz", "00", "0020", "abc"])
def test_what_is_no_apdu_is_not_sent(enrolled: Enrolled, text: str) -> None:
    assert enrolled.run("apdu", text).exit_code == 50


def test_a_pin_is_not_given_as_an_argument_and_is_not_shown(enrolled: Enrolled) -> None:
    apdu = f"00200081{len(enrolled.pin):02x}{enrolled.pin.encode().hex()}"
    refused = enrolled.run("apdu", apdu)
    assert refused.exit_code == 2
    assert "standard input" in refused.stderr
    result = enrolled.run("--json", "apdu", "-", stdin=f"{SELECT}\n\n{apdu}\n")
    exchange = told(result)["exchanges"][1]
    assert (exchange["command"], exchange["masked"], exchange["sw"]) == ("00200081", True, "9000")
    assert enrolled.pin.encode().hex() not in result.output


def test_a_trace_tells_what_a_command_said_and_hides_the_pin(enrolled: Enrolled) -> None:
    file = enrolled.folder / "pin.trace"
    pin = enrolled.secret(enrolled.pin)
    recorded = enrolled.run("trace", "record", str(file), "pin", "verify", "--pin-file", pin)
    assert (recorded.exit_code, recorded.stdout) == (0, "The PIN is right.\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert enrolled.pin.encode().hex() not in file.read_text()
    text = run("trace", "show", str(file)).stdout
    assert text.startswith("ATR 3B")
    assert f"00 20 00 81 [{1 + len(enrolled.pin)} bytes hidden] -> 9000 (done)" in text
    facts = told(run("trace", "show", str(file), "--json"))
    assert {"command": "00200081", "masked": True, "response": "9000"}.items() <= next(
        one for one in facts["records"] if one.get("masked")
    ).items()


def test_a_command_that_fails_leaves_its_trace_and_its_exit_code(enrolled: Enrolled) -> None:
    file = enrolled.folder / "pin.trace"
    wrong = enrolled.secret("97531086")
    arguments = ["--json", "trace", "record", str(file), "pin", "verify", "--pin-file", wrong]
    result = enrolled.run(*arguments)
    assert result.exit_code == 20
    assert told(result)["error"]["facts"]["tries_left"] == 5
    assert "63C5 (not verified, 5 tries left)" in run("trace", "show", str(file)).stdout


def test_an_older_trace_is_replaced_only_on_request(enrolled: Enrolled) -> None:
    file = enrolled.folder / "pin.trace"
    file.write_text("older")
    assert enrolled.run("trace", "record", str(file), "pin", "status").exit_code == 2
    assert file.read_text() == "older"
    assert enrolled.run("trace", "record", "--force", str(file), "pin", "status").exit_code == 0
    assert run("trace", "show", str(file)).exit_code == 0


@pytest.mark.parametrize("name", ["nonsense", "trace"])
def test_only_a_command_can_be_recorded(enrolled: Enrolled, name: str) -> None:
    file = enrolled.folder / "pin.trace"
    assert enrolled.run("trace", "record", str(file), name).exit_code == 2
    assert not file.exists()


@pytest.mark.parametrize(("arguments", "code"), [(["pin", "nonsense"], 2), (["list"], 0)])
def test_where_nothing_was_exchanged_no_trace_is_left(
    enrolled: Enrolled, arguments: list[str], code: int
) -> None:
    file = enrolled.folder / "pin.trace"
    assert enrolled.run("trace", "record", str(file), *arguments).exit_code == code
    assert not file.exists()


@pytest.mark.parametrize("text", ["", "hello\n", json.dumps({"trace": "ushield"}) + "\n"])
def test_what_is_no_trace_is_refused(enrolled: Enrolled, text: str) -> None:
    file = enrolled.folder / "bad.trace"
    file.write_text(text)
    assert run("trace", "show", str(file)).exit_code == 50


def test_commands_go_through_the_channel_if_asked_to(enrolled: Enrolled) -> None:
    file = enrolled.folder / f"{len(list(enrolled.folder.iterdir()))}.trace"
    verify = f"00200081{len(enrolled.pin):02x}{enrolled.pin.encode().hex()}"
    lines = f"{verify}\n00200081\n"
    result = enrolled.run(
        "--json", "trace", "record", "--ciphertext", str(file), "apdu", "--secure", "-",
        stdin=lines,
    )  # fmt: skip
    assert [one["sw"] for one in told(result)["exchanges"]] == ["9000", "9000"]
    on_the_wire = [json.loads(line)["command"][:4] for line in file.read_text().splitlines()[1:]]
    assert on_the_wire[-3:-1] == ["0420", "0420"] or on_the_wire[-2:] == ["0420", "0420"]
    assert "8088" in on_the_wire
    assert enrolled.run("apdu", "--secure", "--no-driver", "00200081").exit_code == 2


def test_a_secure_channel_that_there_is_not_is_an_error(
    enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "drivers", lambda: ())
    assert enrolled.run("apdu", "--secure", "00200081").exit_code == 14


class TestDeviceCa:
    def device(self, enrolled: Enrolled, name: str) -> str:
        answer = told(enrolled.run("--json", "apdu", "00CB3FFF0000045C02DF050000"))
        der = bytes.fromhex(answer["exchanges"][0]["data"])
        path = enrolled.folder / name
        path.write_text(ssl.DER_cert_to_PEM_cert(der))
        return str(path)

    def test_the_device_s_own_certificate_will_do(self, enrolled: Enrolled) -> None:
        device = self.device(enrolled, "device.pem")
        assert enrolled.run("--device-ca", device, "pin", "status").exit_code == 0
        assert enrolled.run("pin", "status", "--device-ca", device).exit_code == 0

    def test_commands_to_a_device_that_must_be_trusted_go_through_its_channel(
        self, enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        device = self.device(enrolled, "device.pem")
        file = enrolled.folder / "channel.trace"
        verify = f"00200081{len(enrolled.pin):02x}{enrolled.pin.encode().hex()}"
        record = ["trace", "record", "--ciphertext", str(file)]
        result = enrolled.run("--device-ca", device, *record, "apdu", "-", stdin=f"{verify}\n")
        assert result.exit_code == 0, result.stderr
        sent = [json.loads(line).get("command", "") for line in file.read_text().splitlines()[1:]]
        assert not any(command.startswith("0020") for command in sent)
        for bare in (["--no-driver"], []):
            # As if the man on the wire hid the application.
            monkeypatch.setattr(registry, "drivers", lambda: ())
            refused = enrolled.run("apdu", "--device-ca", device, *bare, "-", stdin=f"{verify}\n")
            assert refused.exit_code == (2 if bare else 14)
            assert "9000" not in refused.stdout

    def test_another_certificate_will_not_and_no_pin_is_sent(self, enrolled: Enrolled) -> None:
        pin = ["pin", "verify", "--pin-file", enrolled.secret(enrolled.pin)]
        result = enrolled.run("--json", *pin, "--device-ca", str(enrolled.ca))
        assert result.exit_code == 41
        assert told(result)["error"]["code"] == "token-untrusted"

    def test_a_file_without_certificates_is_told(self, enrolled: Enrolled) -> None:
        assert enrolled.run("info", "--device-ca", enrolled.payment()).exit_code == 50
        assert enrolled.run("info", "--device-ca", "/nowhere").exit_code == 50
