"""A server that speaks the protocol of the Gaia archive's data server: identifiers in, a ZIP of one CSV file out.

`tests.catalogue.archive.test_fetch_spectra` holds it to what astroquery's client expects. On demand it fails in the ways that
real servers do: see `DataFault`.
"""

import io
import threading
import zipfile
from collections import deque
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

#: The archive's own limit on identifiers of one request.
IDS_MAX = 5000


class DataFault(Enum):
    """What goes wrong with one request."""

    HTTP_500 = auto()
    HTML = auto()  # a page of apologies with status 200
    TRUNCATED = auto()  # the connection closes within the body
    SHORT_ZIP = auto()  # a body that is whole and a ZIP that is not
    BAD_BYTE = auto()  # a ZIP whose checksum does not hold
    HALF_A_ROW = auto()  # a whole ZIP of a CSV that was cut
    ONE_LESS = auto()  # a spectrum missing, and no word about it


class DataServer:
    """The server, on a free port of this machine; ``with DataServer(header, rows) as server: server.url``.

    Attributes
    ----------
    faults : taken one by one, each by one request.
    asked : the form of each request.
    """

    def __init__(self, header: str, rows: dict[int, str]) -> None:
        self.header, self.rows = header, rows
        self.faults: deque[DataFault] = deque()
        self.asked: list[dict[str, str]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._http.server_address[1]}"
        self.url = f"{self.base}/data-server/data"

    def __enter__(self) -> "DataServer":
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def body(self, form: dict[str, str], fault: DataFault | None) -> bytes:
        """The ZIP file for a request; it has no file where no star has a spectrum."""
        found = [self.rows[int(star)] for star in form["ID"].split(",") if int(star) in self.rows]
        if fault is DataFault.ONE_LESS:
            found = found[1:]
        text = "\n".join([self.header, *found]) + "\n"
        if fault is DataFault.HALF_A_ROW:
            text = text[: len(text) - len(found[-1]) // 2]
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
            if found:
                packed.writestr(f"{form['RETRIEVAL_TYPE']}_{form['DATA_STRUCTURE']}.csv", text)
        body = buffer.getvalue()
        if fault is DataFault.SHORT_ZIP:
            return body[: len(body) // 2]
        if fault is DataFault.BAD_BYTE:
            at = len(body) // 3
            return body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]
        return body


def _handler(server: DataServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def send(self, body: bytes, status: int = 200, kind: str = "application/zip") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            form = {name.upper(): values[0] for name, values in parse_qs(content).items()}
            server.asked.append(form)
            fault = server.faults.popleft() if server.faults else None
            known = (form.get("RETRIEVAL_TYPE"), form.get("DATA_STRUCTURE"), form.get("FORMAT", "").lower())
            if self.path.rstrip("/") != "/data-server/data" or known != ("XP_CONTINUOUS", "RAW", "csv"):
                self.send(b"unknown request", 400, "text/plain")
            elif len(form["ID"].split(",")) > IDS_MAX:
                self.send(b"too many identifiers", 400, "text/plain")
            elif fault is DataFault.HTTP_500:
                self.send(b"internal error", 500, "text/plain")
            elif fault is DataFault.HTML:
                self.send(b"<html><body>We are down for maintenance.</body></html>", 200, "text/html")
            elif fault is DataFault.TRUNCATED:
                body = server.body(form, fault)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
            else:
                self.send(server.body(form, fault))

    return Handler
