"""A dataset hub on this machine: the few addresses of the real one that a download asks, over HTTP."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit

from defectlib.data.download import REPOSITORY, REVISION

_PAGE = 40  # entries of a listing; the real hub gives 1,000 at a time


class HubServer(ThreadingHTTPServer):
    """Serves the files below a folder as a dataset at one revision, PNG as large files behind another address.

    Attributes:
        files: Content by path.
        listed: What the listing says of a path in place of the truth: ``size`` or ``oid``.
        revision: What the hub says that the revision is.
        refusal: HTTP status and error code with which the hub answers whatever is asked of it, or None.
        broken: How often the transfer of a path breaks off half-way, from now on.
        failing: HTTP status with which a path is answered when its content is asked for.
        further: Entries at the end of the listing, whatever they are.
        listing: Bytes that stand in place of the listing, or None.
        circular: The last page of the listing leads to the first.
        sent: How often each path's content was asked for.
    """

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        self.listed: dict[str, dict] = {}
        self.revision = REVISION
        self.refusal: tuple[int, str] | None = None
        self.broken: Counter[str] = Counter()
        self.failing: dict[str, int] = {}
        self.further: list[object] = []
        self.listing: bytes | None = None
        self.circular = False
        self.sent: Counter[str] = Counter()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def running(self) -> Iterator[HubServer]:
        thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()

    def entry(self, path: str) -> dict:
        content = self.files[path]
        entry = {"type": "file", "path": path, "size": len(content), "oid": git_name(content)}
        if is_large(path):
            digest = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
        said = self.listed.get(path, {})
        if "oid" in said and is_large(path):
            return entry | {"lfs": entry["lfs"] | said}
        return entry | said


def is_large(path: str) -> bool:
    return path.endswith(".png")


def git_name(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, *_) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        if self.server.refusal:
            status, code = self.server.refusal
            self._answer(status, b"{}", {"X-Error-Code": code, "X-Error-Message": "refused"})
        elif path == f"/api/datasets/{REPOSITORY}/revision/{REVISION}":
            self._json({"id": REPOSITORY, "sha": self.server.revision, "siblings": []})
        elif path == f"/api/datasets/{REPOSITORY}/tree/{REVISION}":
            self._tree(int(parse_qs(url.query).get("cursor", ["0"])[0]))
        elif path.startswith(start := f"/datasets/{REPOSITORY}/resolve/{REVISION}/"):
            self._resolve(path.removeprefix(start))
        elif path.startswith("/storage/"):
            self._content(path.removeprefix("/storage/"))
        else:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _tree(self, first: int) -> None:
        folders = [{"type": "directory", "path": "DS-MVTec", "oid": "0" * 40, "size": 0}]
        entries = [*folders, *(self.server.entry(path) for path in self.server.files), *self.server.further]
        cursor = first + _PAGE if first + _PAGE < len(entries) else 0
        more = f"{self.server.address}{urlsplit(self.path).path}?recursive=True&cursor={cursor}"
        headers = {"Link": f'<{more}>; rel="next"'} if cursor or self.server.circular else {}
        if self.server.listing is not None:
            self._answer(200, self.server.listing, {"Content-Type": "application/json"})
            return
        self._json(entries[first : first + _PAGE], headers)

    def _resolve(self, path: str) -> None:
        if path not in self.server.files:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        elif is_large(path):
            content = self.server.files[path]
            where = {"Location": f"{self.server.address}/storage/{path}", "X-Linked-Size": str(len(content))}
            self._answer(302, b"", where | {"X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"'})
        else:
            self._content(path)

    def _content(self, path: str) -> None:
        content = self.server.files[path]
        headers = {"ETag": f'"{git_name(content)}"'}
        if self.command == "HEAD":
            self._answer(200, content, headers)
            return
        self.server.sent[path] += 1
        if path in self.server.failing:
            self._answer(self.server.failing[path], b"")
            return
        half = len(content) // 2 if self.server.broken[path] > 0 else None
        self.server.broken[path] -= 1
        self._answer(200, content, headers, half)

    def _json(self, value: object, headers: dict[str, str] | None = None) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"} | (headers or {}))

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, sent: int | None = None) -> None:
        self.send_response(status)
        for name, value in ({"X-Repo-Commit": REVISION, "Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:sent])
        if sent is not None:
            self.close_connection = True
