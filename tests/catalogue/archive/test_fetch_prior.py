"""The distance prior from a server, checked whole, and what stands in for it."""

import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from redflower.catalogue import default_distance_prior, distance_prior_or_fallback, read_distance_prior
from redflower.catalogue.archive.patience import Patience
from redflower.catalogue.archive.prior import fetch_prior
from redflower.errors import FetchError, InputError

QUICK = Patience(attempts=3, backoff_s=0.01, request_s=5.0)


def prior_table(rows: int = 12_288) -> bytes:
    """A made table in the columns of Bailer-Jones et al. 2021."""
    rng = np.random.default_rng(0)
    lines = ["healpix,glon,glat,GGDrlen,GGDalpha,GGDbeta"]
    lines += [
        f"{i},0,0,{rng.uniform(1, 100):.6g},{rng.uniform(0.5, 2):.6g},{rng.uniform(1, 3):.6g}"
        for i in range(rows)
    ]
    return ("\n".join(lines) + "\n").encode()


@pytest.fixture
def serve() -> Iterator[object]:
    """A function that serves answers (status, body, announced length), one by one, the last for ever."""
    servers = []

    def start(*answers: tuple[int, bytes, int]) -> str:
        queue = list(answers)

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                status, body, length = queue.pop(0) if len(queue) > 1 else queue[0]
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(body)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/prior.csv"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_failing_then_cut_then_whole_answer_gives_the_prior(serve, tmp_path: Path, caplog) -> None:
    body = prior_table()
    url = serve((503, b"busy", 4), (200, body[:1000], len(body)), (200, body, len(body)))
    with caplog.at_level(logging.WARNING):
        prior = fetch_prior(tmp_path / "prior.csv", url=url, patience=QUICK)
    assert prior.nside == 32
    assert prior.name == "Bailer-Jones et al. 2021 (prior.csv)"
    assert prior.sha256 == read_distance_prior(tmp_path / "prior.csv").sha256
    assert [p.name for p in tmp_path.iterdir()] == ["prior.csv"]
    assert "is not the file that redflower knows" in caplog.text, (
        "a made table has another checksum, and is told so"
    )


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, prior_table(12_287), "has 12288 rows; this file has 12287"),
        (200, b"<html>moved</html>", "must have the columns"),
        (404, b"gone", r"404.*By hand: prior_summary\.csv"),
        (500, b"oops", r"3 attempts\) By hand"),
    ],
)
def test_what_is_no_whole_prior_is_refused_and_leaves_nothing(serve, tmp_path, status, body, message) -> None:
    with pytest.raises(FetchError, match=message):
        fetch_prior(tmp_path / "prior.csv", url=serve((status, body, len(body))), patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_kept(serve, tmp_path) -> None:
    (tmp_path / "prior.csv").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        fetch_prior(tmp_path / "prior.csv", url="http://127.0.0.1:9/")
    with pytest.raises(InputError, match="no folder"):
        fetch_prior(tmp_path / "no" / "prior.csv", url="http://127.0.0.1:9/")


def test_the_real_table_has_the_known_checksum(shared_data, serve, tmp_path, caplog) -> None:
    body = (shared_data / "bailerjones2021_prior_summary.csv").read_bytes()
    with caplog.at_level(logging.WARNING):
        prior = fetch_prior(tmp_path / "p.csv", url=serve((200, body, len(body))), patience=QUICK)
    assert len(prior.alpha) == 12_288
    assert "is not the file" not in caplog.text


def test_the_fallback_names_itself(tmp_path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        prior = distance_prior_or_fallback()
    assert prior.sha256 == default_distance_prior().sha256
    assert "mock_distance_prior.csv is used" in caplog.text
    assert "redflower fetch prior" in caplog.text
    caplog.clear()
    (tmp_path / "p.csv").write_bytes(prior_table())
    assert distance_prior_or_fallback(tmp_path / "p.csv").nside == 32
    assert caplog.text == ""
