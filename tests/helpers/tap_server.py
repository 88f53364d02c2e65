"""A real TAP server over made tables: HTTP, UWS jobs, ADQL parsed by a grammar, SQLite behind, VOTable out.

queryparser parses the ADQL (strictly: reserved words, unknown constructions) and translates it to SQL; SQLite runs it.
On demand the server fails in the ways that real ones do: see `Fault`.
"""

import io
import itertools
import re
import sqlite3
import threading
import time
import warnings
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
from astropy.io import votable
from astropy.table import Column, MaskedColumn, Table
from queryparser.adql import ADQLQueryTranslator
from queryparser.exceptions import QueryError, QuerySyntaxError

_NUMBER = re.compile(r"(?<![\w.`'])\d+(?:\.\d+)?(?![\w.`'])")


class Fault(Enum):
    """What goes wrong with one request for a table."""

    HTTP_500 = auto()
    HTTP_503 = auto()
    HTML = auto()  # a page of apologies with status 200
    JOB_ERROR = auto()
    JOB_NEVER_ENDS = auto()
    STALL = auto()  # headers, then silence
    TRUNCATED = auto()  # the connection closes within the body
    CUT_XML = auto()  # a whole body of a VOTable that lost its end
    BAD_CELL = auto()  # well-formed XML that is no VOTable
    SILENT_LIMIT = auto()  # half the rows, and no word about it
    OVERFLOW = auto()
    OUTAGE_OF_ERROR_VOTABLE = auto()  # QUERY_STATUS ERROR inside a 200


@dataclass
class Log:
    """What the server was asked: ADQL of every job, and of every synchronous query."""

    jobs: list[str] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)
    deleted: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hangs up early is part of the tests."""


class TapServer:
    """The server, on a free port of this machine; ``with TapServer(tables) as server: server.url``.

    Attributes
    ----------
    faults : taken one by one, each by one job; `sync_faults` likewise by synchronous queries.
    hard_limit : the service's own limit on rows.
    require_authorization : the value that the header must have, if any.
    stall_s : how long a stalled answer keeps silent.
    """

    def __init__(self, tables: dict[str, Table], hard_limit: int = 3_000_000) -> None:
        self.faults: deque[Fault] = deque()
        self.sync_faults: deque[Fault] = deque()
        self.hard_limit = hard_limit
        self.require_authorization: str | None = None
        self.stall_s = 30.0
        self.log = Log()
        self.delay_s = 0.0
        self._units = {c: t[c].unit for t in tables.values() for c in t.colnames}
        self._dtypes = {c: t[c].dtype for t in tables.values() for c in t.colnames}
        self._database = _database(tables)
        self._lock = threading.Lock()
        self._jobs: dict[str, dict] = {}
        self._numbers = itertools.count(1)
        self._stop = threading.Event()
        self._translations: dict[str, str] = {}
        self._http = _Http(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/tap"

    def __enter__(self) -> "TapServer":
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._http.shutdown()
        self._http.server_close()

    def reset(self) -> None:
        """Forget faults, limits and what was asked."""
        self.faults.clear()
        self.sync_faults.clear()
        self.hard_limit, self.require_authorization, self.delay_s = 3_000_000, None, 0.0
        self.log = Log()

    def query(self, adql: str, maxrec: int | None) -> tuple[Table, bool]:
        """The result of a query, and whether a limit cut it. Raises what the parser and the database raise."""
        limit = self.hard_limit if maxrec is None else min(maxrec, self.hard_limit)
        with self._lock:  # one parser and one database
            cursor = self._database.execute(self._sql(adql))
            names = [item[0] for item in cursor.description]
            rows = cursor.fetchmany(limit + 1)
        cut = len(rows) > limit
        rows = rows[:limit]
        table = Table()
        for i, name in enumerate(names):
            table[name] = self._column(name, [row[i] for row in rows], adql)
        return table, cut

    def _sql(self, adql: str) -> str:
        """Parsing a join takes seconds in pure Python, so each shape of query is parsed once, numbers put in after."""
        shape = _NUMBER.sub("?", adql)
        if shape not in self._translations:
            sql = ADQLQueryTranslator(adql).to_mysql().rstrip(";")
            found, wanted = (
                [float(x) for x in _NUMBER.findall(sql)],
                [float(x) for x in _NUMBER.findall(adql)],
            )
            assert found == wanted, "the translation must keep the numbers in order"
            self._translations[shape] = sql
        numbers = iter(_NUMBER.findall(adql))
        return _NUMBER.sub(lambda _: next(numbers), self._translations[shape])

    def _column(self, name: str, values: list, adql: str) -> Column:
        source = re.search(rf"\w+\.(\w+)\s+AS\s+{name}\b", adql)
        original = source.group(1) if source else name
        dtype = self._dtypes.get(original, np.dtype(np.int64))
        missing = np.array([value is None for value in values], dtype=bool)
        if dtype.kind == "U":
            filled = np.array(["" if v is None else v for v in values], dtype=str if values else "U1")
        else:
            filled = np.array([0 if v is None else v for v in values], dtype=dtype)
        unit = self._units.get(original)
        return MaskedColumn(filled, mask=missing, unit=unit) if missing.any() else Column(filled, unit=unit)


def as_votable(table: Table, status: str, *, overflow: bool) -> bytes:
    """A VOTable as TAP services send it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = votable.from_table(table)
    resource = file.resources[0]
    resource.type = "results"
    resource.infos.append(votable.tree.Info(name="QUERY_STATUS", value=status))
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.to_xml(buffer, tabledata_format="binary2")
    body = buffer.getvalue()
    if overflow:
        info = b'<INFO name="QUERY_STATUS" value="OVERFLOW"/>\n'
        at = body.rindex(b"</RESOURCE>")
        body = body[:at] + info + body[at:]
    return body


def error_votable(text: str) -> bytes:
    """The VOTable with which TAP services refuse a query."""
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return (
        '<?xml version="1.0"?><VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f'<RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR">{text}</INFO></RESOURCE></VOTABLE>'
    ).encode()


def _database(tables: dict[str, Table]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    for schema in sorted({name.split(".")[0] for name in tables}):
        connection.execute(f'ATTACH ":memory:" AS "{schema}"')
    for name, table in tables.items():
        schema, bare = name.split(".")
        columns = ", ".join(f'"{c}"' for c in table.colnames)
        connection.execute(f'CREATE TABLE "{schema}"."{bare}" ({columns})')
        rows = zip(*(_plain(table[c]) for c in table.colnames), strict=True)
        marks = ", ".join("?" * len(table.colnames))
        connection.executemany(f'INSERT INTO "{schema}"."{bare}" VALUES ({marks})', rows)
        connection.execute(f'CREATE INDEX "{schema}"."{bare}_key" ON "{bare}" ("{table.colnames[0]}")')
    connection.create_function("spoint", 2, lambda lon, lat: f"{lon!r} {lat!r}")
    connection.create_function("scircle", 2, lambda point, radius: f"{point} {radius!r}")
    connection.create_function("srcontainsl", 2, _contains)
    return connection


def _plain(column: Column) -> list:
    """Python values, None for NaN as in a database."""
    return [None if value != value else value for value in np.asarray(column).tolist()]


def _contains(point: str, circle: str) -> int:
    lon, lat = (float(x) for x in point.split())
    lon0, lat0, radius = (float(x) for x in circle.split())
    half = np.sin((lat - lat0) / 2) ** 2 + np.cos(lat) * np.cos(lat0) * np.sin((lon - lon0) / 2) ** 2
    return int(2 * np.arcsin(np.sqrt(half)) <= radius)


_JOB = (
    '<?xml version="1.0" encoding="UTF-8"?><uws:job xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" '
    'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="1.1">'
    '<uws:jobId>{id}</uws:jobId><uws:phase>{phase}</uws:phase><uws:quote xsi:nil="true"/>'
    '<uws:startTime xsi:nil="true"/><uws:endTime xsi:nil="true"/>'
    "<uws:executionDuration>3600</uws:executionDuration><uws:destruction>2027-01-01T00:00:00Z</uws:destruction>"
    "<uws:parameters/><uws:results>{results}</uws:results>{error}</uws:job>"
)


def _handler(server: TapServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def send(self, body: bytes, status: int = 200, kind: str = "text/xml", **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def form(self) -> dict[str, str]:
            length = int(self.headers.get("Content-Length") or 0)
            content = self.rfile.read(length).decode()
            fields = parse_qs(content) | parse_qs(urlsplit(self.path).query)
            return {name.upper(): values[0] for name, values in fields.items()}

        def allowed(self) -> bool:
            server.log.headers.append(dict(self.headers))
            if server.require_authorization in (None, self.headers.get("Authorization")):
                return True
            self.send(b"log in first", 401, "text/plain")
            return False

        def do_POST(self) -> None:
            form = self.form()
            if not self.allowed():
                return
            path = urlsplit(self.path).path.rstrip("/")
            if path == "/tap/sync":
                self.synchronous(form)
            elif path == "/tap/async":
                number = str(next(server._numbers))
                server._jobs[number] = {"form": form, "phase": "PENDING"}
                self.send(b"", 303, Location=f"{server.url}/async/{number}")
            elif path.endswith("/phase"):
                self.run(server._jobs[path.split("/")[3]])
                self.send(b"", 303, Location=f"{server.url}/async/{path.split('/')[3]}")
            else:
                self.send(b"no such resource", 404, "text/plain")

        def do_GET(self) -> None:
            if not self.allowed():
                return
            parts = urlsplit(self.path).path.strip("/").split("/")
            if parts[:2] == ["tap", "sync"]:
                self.synchronous(self.form())
            elif parts[:2] == ["tap", "async"] and len(parts) >= 3 and parts[2] in server._jobs:
                job = server._jobs[parts[2]]
                self.send_result(job) if len(parts) > 3 else self.send_job(parts[2], job)
            else:
                self.send(b"no such resource", 404, "text/plain")

        def do_DELETE(self) -> None:
            server.log.deleted += 1
            self.send(b"", 200)

        def run(self, job: dict) -> None:
            job["fault"] = server.faults.popleft() if server.faults else None
            job["phase"] = "EXECUTING"
            server.log.jobs.append(job["form"]["QUERY"])
            if job["fault"] is not Fault.JOB_NEVER_ENDS:
                threading.Thread(target=self.execute, args=(job,), daemon=True).start()

        def execute(self, job: dict) -> None:
            time.sleep(server.delay_s)
            if job["fault"] is Fault.JOB_ERROR:
                job.update(error="the database connection was lost", phase="ERROR")
                return
            try:
                maxrec = job["form"].get("MAXREC")
                job["table"], job["cut"] = server.query(job["form"]["QUERY"], int(maxrec) if maxrec else None)
                job["phase"] = "COMPLETED"
            except (QuerySyntaxError, QueryError, sqlite3.Error, AssertionError, ValueError) as problem:
                job.update(error=f"cannot parse or run the query: {problem}", phase="ERROR")

        def send_job(self, number: str, job: dict) -> None:
            if job.get("fault") is Fault.HTTP_503 and not job.get("refused"):
                job["refused"] = True
                self.send(b"busy", 503, "text/plain")
                return
            results = f'<uws:result id="result" xlink:href="{server.url}/async/{number}/results/result"/>'
            error = job.get("error")
            text = error.replace("&", "&amp;").replace("<", "&lt;") if error else ""
            self.send(_JOB.format(
                id=number, phase=job["phase"], results=results if job["phase"] == "COMPLETED" else "",
                error=f'<uws:errorSummary type="fatal" hasDetail="false"><uws:message>{text}</uws:message>'
                "</uws:errorSummary>" if error else "",
            ).encode())  # fmt: skip

        def send_result(self, job: dict) -> None:
            fault, table, cut = job["fault"], job["table"], job["cut"]
            if fault is Fault.HTTP_500:
                self.send(b"internal error", 500, "text/plain")
                return
            if fault is Fault.HTML:
                self.send(b"<html><body>We are down for maintenance.</body></html>", 200, "text/html")
                return
            if fault is Fault.OUTAGE_OF_ERROR_VOTABLE:
                self.send(error_votable("disk full"))
                return
            if fault is Fault.SILENT_LIMIT:
                table = table[: len(table) // 2]
            body = as_votable(table, "OK", overflow=cut or fault is Fault.OVERFLOW)
            if fault is Fault.CUT_XML:
                body = body[: len(body) * 2 // 3]
            if fault is Fault.BAD_CELL:
                body = body.replace(b'datatype="', b'datatype="no-such-type-', 1)
            if fault in (Fault.STALL, Fault.TRUNCATED):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                if fault is Fault.STALL:
                    server._stop.wait(server.stall_s)
                self.close_connection = True
                return
            self.send(body)

        def synchronous(self, form: dict[str, str]) -> None:
            fault = server.sync_faults.popleft() if server.sync_faults else None
            server.log.counts.append(form["QUERY"])
            if fault is Fault.HTTP_500:
                self.send(b"internal error", 500, "text/plain")
                return
            if fault is Fault.HTML:
                self.send(b"<html><body>We are down for maintenance.</body></html>", 200, "text/html")
                return
            try:
                table, cut = server.query(form["QUERY"], int(form["MAXREC"]) if "MAXREC" in form else 2000)
            except (QuerySyntaxError, QueryError, sqlite3.Error, AssertionError) as problem:
                self.send(error_votable(f"cannot parse or run the query: {problem}"), 400)
                return
            self.send(as_votable(table, "OK", overflow=cut))

    return Handler
