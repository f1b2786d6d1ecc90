"""A served token's panel from another process."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield.errors import ProtocolViolation, TokenNotFound
from ushield.shield.events import PanelKey
from ushield.virtual.confirmation import PinVerified
from ushield.virtual.create import create_token
from ushield.virtual.faces import panel_socket
from ushield.virtual.faces.panel_messages import MAX_KEYS, PanelRequest, PanelView
from ushield.virtual.faces.panel_socket import PanelServer, TokenNotServed, ask_panel
from ushield.virtual.token import VirtualToken


@pytest.fixture
def token(tmp_path: Path) -> Iterator[VirtualToken]:
    create_token(tmp_path / "alice.token").pin.wipe()
    with VirtualToken.open(tmp_path / "alice.token") as opened:
        yield opened


@pytest.fixture
def served(token: VirtualToken) -> Iterator[PanelServer]:
    with PanelServer.listen(token) as server:
        yield server


@given(st.lists(st.sampled_from(PanelKey), max_size=MAX_KEYS))
def test_a_request_is_read_as_it_was_written(keys: list[PanelKey]) -> None:
    request = PanelRequest(tuple(keys))
    assert PanelRequest.decode(request.encode()) == request


@given(st.text(), st.lists(st.text()), st.integers(), st.integers())
def test_a_view_is_read_as_it_was_written(
    serial: str, screen: list[str], page: int, pages: int
) -> None:
    view = PanelView(serial, tuple(screen), page, pages)
    assert PanelView.decode(view.encode()) == view


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"[]\n",
        b"{}\n",
        b'{"press": "ok"}\n',
        b'{"press": ["power"]}\n',
        b'{"press": [3]}\n',
        b'{"press": [], "hold": true}\n',
        b'{"press": [' + b'"ok", ' * MAX_KEYS + b'"ok"]}\n',
        b"[" * 10_000 + b"\n",
        b"\xff\n",
    ],
)
def test_other_words_are_refused(line: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        PanelRequest.decode(line)
    with pytest.raises(ProtocolViolation):
        PanelView.decode(line)


def test_the_screen_is_seen(served: PanelServer, token: VirtualToken) -> None:
    assert ask_panel(token.path) == PanelView(token.serial, tuple(token.panel.screen), 0, 0)


def test_keys_are_pressed_in_their_order(served: PanelServer, token: VirtualToken) -> None:
    token.panel.apply(PinVerified())
    assert token.panel.begin(b"request.", (("one",), ("two",), ("three",))) is None
    assert ask_panel(token.path, PanelKey.DOWN).screen == ("two",)
    view = ask_panel(token.path, PanelKey.UP, PanelKey.DOWN, PanelKey.DOWN)
    assert (view.page, view.pages, view.screen) == (3, 3, ("three",))
    ask_panel(token.path, PanelKey.OK)
    request = token.panel.state.live_request
    assert request is not None
    assert request.stage.name == "CONFIRMED"


def test_the_token_may_be_named_by_any_path_to_it(
    served: PanelServer, token: VirtualToken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(token.path)
    monkeypatch.chdir(tmp_path)
    assert ask_panel("link").serial == token.serial


def test_only_this_user_can_reach_the_socket(served: PanelServer) -> None:
    assert stat.S_IMODE(served.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(served.path.parent.stat().st_mode) == 0o700
    assert served.path.stat().st_uid == os.geteuid()


def test_a_directory_that_others_can_enter_is_not_used(
    token: VirtualToken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    monkeypatch.setattr(panel_socket, "_temporary", lambda: folder)
    assert list(panel_socket._folders()) == []
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    monkeypatch.setattr(panel_socket, "_temporary", lambda: link)
    assert list(panel_socket._folders()) == []


def test_a_token_that_nobody_serves_is_told(token: VirtualToken, tmp_path: Path) -> None:
    with pytest.raises(TokenNotServed):
        ask_panel(token.path)
    with pytest.raises(TokenNotFound, match="no such token"):
        ask_panel(tmp_path / "none.token")


def test_what_a_killed_server_left_is_in_nobodys_way(token: VirtualToken) -> None:
    folder = next(panel_socket._folders())
    with closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(os.fspath(folder / panel_socket._name(token.path)))
    with pytest.raises(TokenNotServed):
        ask_panel(token.path)
    with PanelServer.listen(token) as server:
        assert ask_panel(token.path).serial == token.serial
    assert not server.path.exists()


@pytest.mark.parametrize("words", [b"", b"nonsense\n", b"x" * 20_000])
def test_nonsense_is_answered_by_nothing_and_the_next_one_is_served(
    served: PanelServer, token: VirtualToken, words: bytes
) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as stranger:
        stranger.settimeout(30)
        stranger.connect(os.fspath(served.path))
        stranger.sendall(words)
        stranger.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            assert stranger.recv(1) == b""
    assert ask_panel(token.path).serial == token.serial


def test_closing_ends_its_thread(token: VirtualToken) -> None:
    before = threading.active_count()
    server = PanelServer.listen(token)
    server.close()
    server.close()
    assert threading.active_count() == before
