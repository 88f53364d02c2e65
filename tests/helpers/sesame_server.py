"""A Sesame server: the text that nph-sesame answers (`-oI`'s lines, as astropy reads them), over HTTP on this machine."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

#: As the CDS answers for M67: right ascension and declination of %J are decimal degrees.
_FOUND = """# {name}\t#Q1
#=S=Simbad (via url):    1     0ms
%@ 1308391
%C.0 OpC
%J 132.8460000 +11.8140000 = 08:51:23.04 +11:48:50.4
%J.E [0.00 0.00 90] C 2020A&A...640A...1C
%I.0 NGC  2682

#====Done (2026-Nov-28,12:00:00z)====
"""
_NOT_FOUND = """# {name}\t#Q1
#=S=Simbad (via url):    0     1ms
#=N=NED :    *** Nothing found
#=V=VizieR (local):    *** Nothing found ***

#====Done (2026-Nov-28,12:00:00z)====
"""


@contextmanager
def sesame_server() -> Iterator[tuple[str, list[str]]]:
    """Run the server; give its URL, and the list of the queries that it is asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            parts = urlsplit(self.path)
            name = unquote(parts.query)
            asked.append(f"{parts.path.rpartition('/')[2]}?{name}")
            text = (_FOUND if name in ("M67", "NGC 2682") else _NOT_FOUND).format(name=name)
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain;charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/cgi-bin/nph-sesame/", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
