"""Files are read whole or refused, and written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ushield.bank.configuration import BankConfiguration, ConfigurationInvalid
from ushield.bank.service.configuration import ServiceConfiguration
from ushield.bank.service.errors import ServiceConfigurationInvalid
from ushield.bank.whole_files import PART_PATTERN, read_whole, write_durably
from ushield.errors import InputInvalid


def test_what_is_longer_than_is_looked_at_is_not_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(10))
    assert read_whole(path, at_most=10) == bytes(10)
    with pytest.raises(InputInvalid):
        read_whole(path, at_most=9)
    with pytest.raises(ConfigurationInvalid):
        read_whole(tmp_path / "none", at_most=9, refusal=ConfigurationInvalid)


def test_settings_at_the_end_of_a_long_file_are_not_lost(tmp_path: Path) -> None:
    (tmp_path / "bank.toml").write_text("#\n" * (1 << 15) + "lifetime = 60\n")
    with pytest.raises(ConfigurationInvalid):
        BankConfiguration.load(tmp_path)
    clients = tmp_path / "service.toml"
    clients.write_text("#\n" * (1 << 19) + "[limits]\nworkers = 1\n")
    clients.chmod(0o600)
    with pytest.raises(ServiceConfigurationInvalid):
        ServiceConfiguration.load(tmp_path)


def test_a_file_that_was_not_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with write_durably(path) as stream:
            stream.write(b"half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.glob(PART_PATTERN)) == []
    with write_durably(path) as stream:
        stream.write(b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
