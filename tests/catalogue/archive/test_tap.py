"""The TAP client apart from a whole service: logging in as the Gaia archive wants it, names in capitals, patience."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import numpy as np
import pytest
from astropy.table import Table

from redflower.catalogue.archive.patience import Patience, RefusedError
from redflower.catalogue.archive.tap import TapService, _read_whole
from redflower.errors import FetchError, InputError, RowLimitError
from tests.helpers.tap_server import as_votable

COUNT = "SELECT COUNT(*) AS n FROM gaiadr3.gaia_source"
QUICK = Patience(attempts=2, backoff_s=0.01, request_s=5.0)


class GaiaLike:
    """A service that answers a count only to who has logged in with a form, and remembers by a cookie."""

    def __init__(self) -> None:
        self.logins: list[dict[str, list[str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def answer(self, status: int, body: bytes, cookie: str | None = None) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if cookie:
                    self.send_header("Set-Cookie", cookie)
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                if self.path == "/tap-server/login":
                    outer.logins.append(form)
                    right = form.get("password") == ["right"]
                    self.answer(200 if right else 401, b"", "JSESSIONID=abc; Path=/" if right else None)
                elif "JSESSIONID=abc" in self.headers.get("Cookie", ""):
                    self.answer(200, as_votable(Table({"n": np.array([42])}), "OK", overflow=False))
                else:
                    self.answer(401, b"log in first")

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/tap-server/tap"

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[GaiaLike]:
    for name in ("REDFLOWER_TAP_USER", "REDFLOWER_TAP_PASSWORD", "REDFLOWER_TAP_AUTHORIZATION"):
        monkeypatch.delenv(name, raising=False)
    running = GaiaLike()
    yield running
    running.stop()


def test_the_gaia_archive_s_form_is_filled_in_once(service, monkeypatch):
    with pytest.raises(RefusedError, match="REDFLOWER_TAP_USER"):
        TapService(service.url, QUICK).count(COUNT)
    monkeypatch.setenv("REDFLOWER_TAP_USER", "me")
    monkeypatch.setenv("REDFLOWER_TAP_PASSWORD", "right")
    client = TapService(service.url, QUICK)
    assert client.count(COUNT) == client.count(COUNT) == 42
    assert service.logins == [{"username": ["me"], "password": ["right"]}]


def test_a_wrong_password_is_not_tried_again(service, monkeypatch):
    monkeypatch.setenv("REDFLOWER_TAP_USER", "me")
    monkeypatch.setenv("REDFLOWER_TAP_PASSWORD", "wrong")
    with pytest.raises(RefusedError, match="refuses the user and password"):
        TapService(service.url, QUICK).count(COUNT)
    assert len(service.logins) == 1


def test_names_in_capitals_are_the_archive_s_own(tmp_path):
    """The Gaia archive sends SOURCE_ID for source_id."""
    path = tmp_path / "a.vot"
    path.write_bytes(as_votable(Table({"SOURCE_ID": [1, 2], "ra": [1.0, 2.0]}), "OK", overflow=False))
    assert _read_whole(path, "there", 10).colnames == ["source_id", "ra"]
    with pytest.raises(RowLimitError, match="2 rows, the most that were asked for"):
        _read_whole(path, "there", 2)


def test_pauses_grow_and_end(monkeypatch):
    patience = Patience(backoff_s=5.0, backoff_max_s=60.0)
    waits = [patience.wait_s(n) for n in range(1, 9)]
    for wait, least in zip(waits, (5, 10, 20, 40, 60, 60, 60, 60), strict=True):
        assert least <= wait <= 1.25 * least
    with pytest.raises(InputError, match="at least one attempt"):
        Patience(attempts=0)
    assert issubclass(RefusedError, FetchError)
