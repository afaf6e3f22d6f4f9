"""A proxy before a storage emulator: it counts what is asked of the store, and fails what a test wants to fail."""

import http.client
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

OBJECT = re.compile(r"/b/[^/]+/o/([^/]+)$")
CHUNK = "/upload/resumable/"
# Of an upload in one request, what holds the object's name.
HEAD = 1000
# What can be done to a request. The last three close the connection: before anything is read of the store's answer,
# after the store has done it, in the middle of what it says.
REFUSE, SLOW_DOWN, STALL, DROP, LOSE, CUT = "503", "429", "stall", "drop", "lose", "cut"
FORBID, EXISTS = "403", "412"


@dataclass(frozen=True)
class Request:
    """kind: put, start, chunk, get, range, info, list, delete or other; name: the object's, where there is one."""

    kind: str
    name: str
    number: int


@dataclass
class Proxy:
    """`fails(request)` says what is done to a request, or None; what was asked and moved since `reset` is counted."""

    url: str = ""
    fails: Callable[[Request], str | None] = lambda request: None
    requests: list[Request] = field(default_factory=list)
    failed: list[Request] = field(default_factory=list)
    sent: int = 0
    received: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self, fails: Callable[[Request], str | None] | None = None) -> None:
        self.fails = fails or (lambda request: None)
        self.requests, self.failed, self.sent, self.received = [], [], 0, 0

    @property
    def kinds(self) -> Counter[str]:
        return Counter(request.kind for request in self.requests)

    def asked(self, method: str, target: str, head: bytes, ranged: bool) -> str | None:
        kind, name = kind_of(method, target, ranged)
        if kind in ("put", "start"):
            name = name or name_in(head)
        with self.lock:
            request = Request(kind, name, 1 + sum(one.kind == kind for one in self.requests))
            self.requests.append(request)
        fault = self.fails(request)
        if fault:
            self.failed.append(request)
        return fault


def kind_of(method: str, target: str, ranged: bool) -> tuple[str, str]:
    """What a request of the JSON API of Google's store is about."""
    url = urlsplit(target)
    query = parse_qs(url.query)
    found = OBJECT.search(url.path)
    name = unquote(found[1]) if found else ""
    if url.path.startswith(CHUNK) or "upload_id" in query:
        return "chunk", ""
    if "uploadType" in query:
        return ("start" if query["uploadType"] == ["resumable"] else "put"), "".join(query.get("name", []))
    if method == "DELETE":
        return "delete", name
    if method == "GET" and name:
        media = url.path.startswith("/download/") or query.get("alt") == ["media"]
        return ("range" if ranged else "get") if media else "info", name
    if method == "GET" and url.path.endswith("/o"):
        return "list", ""
    return "other", ""


@contextmanager
def serve(upstream: str) -> Iterator[Proxy]:
    """A proxy before the server at `upstream`, http://HOST:PORT, until the end."""
    proxy, place = Proxy(), urlsplit(upstream).netloc
    connections = threading.local()

    def ask(method: str, target: str, body: bytes, headers: dict[str, str]) -> http.client.HTTPResponse:
        if not hasattr(connections, "to_store"):
            connections.to_store = http.client.HTTPConnection(place, timeout=60)
        connections.to_store.request(method, target, body, headers)
        return connections.to_store.getresponse()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            # A client that has what it wants gives up its other requests.
            with suppress(ConnectionError):
                self._handle()

        def _handle(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            head = self.rfile.read(min(size, HEAD))
            fault = proxy.asked(self.command, self.path, head, "Range" in self.headers)
            if fault == DROP:
                self.rfile.read(size // 2 - len(head) if size // 2 > len(head) else 0)
                return self._hang_up()
            body = head + self.rfile.read(size - len(head))
            if fault == STALL:
                time.sleep(2)
                return self._hang_up()
            if fault in (REFUSE, SLOW_DOWN, FORBID, EXISTS):
                return self._answer(int(fault), {}, b"the store is not well")
            headers = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
            answer = ask(self.command, self.path, body, headers)
            data = answer.read()
            if fault == LOSE:
                return self._hang_up()
            proxy.sent += size
            proxy.received += len(data)
            kept = {
                name: value.replace(upstream, proxy.url)
                for name, value in answer.getheaders()
                if name.lower() not in ("content-length", "connection", "date", "transfer-encoding")
            }
            self._answer(answer.status, kept, data, cut=fault == CUT)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any

        def _answer(self, status: int, headers: dict[str, str], data: bytes, *, cut: bool = False) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)
            if cut:
                self._hang_up()

        def _hang_up(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            """Clients that hang up are what this is about."""

    server = Server(("127.0.0.1", 0), Handler)
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield proxy
    server.shutdown()
    server.server_close()


def name_in(head: bytes) -> str:
    """The object that an upload is for, where its request's address does not say so."""
    found = re.search(rb'"name": ?"([^"]+)"', head)
    return found[1].decode() if found else ""
