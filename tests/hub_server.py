"""A hub of one dataset, `org/name`: answers what `datasets` and `huggingface_hub` ask about a folder."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

SHA = "a" * 40
API, FILES = "/api/datasets/org/name", "/datasets/org/name/resolve/"


@contextmanager
def hub_of(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Its address, to be set as HF_ENDPOINT, and the paths that were asked for."""
    asked: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Answers, folder, asked)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


class _Answers(BaseHTTPRequestHandler):
    def __init__(self, folder: Path, asked: list[str], *args: Any) -> None:
        self.folder, self.asked = folder, asked
        super().__init__(*args)

    def log_message(self, format: str, *args: Any) -> None:
        return

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path = unquote(urlsplit(self.path).path)
        if path.startswith(FILES):
            self._file(self.folder / path.removeprefix(FILES).partition("/")[2])
        elif path.startswith(f"{API}/tree/"):
            below = path.removeprefix(f"{API}/tree/").partition("/")[2]
            self._answer(200, json.dumps(_tree(self.folder, below)).encode())
        elif path.startswith(API):
            self._answer(200, json.dumps({"id": "org/name", "sha": SHA, "siblings": []}).encode())
        else:
            self._answer(404, b"{}")

    def _file(self, file: Path) -> None:
        if not file.is_file():
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        data = file.read_bytes()
        facts = {"ETag": f'"{_digest(file)}"', "X-Repo-Commit": SHA, "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range")
        if wanted is None:
            self._answer(200, data, facts)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        end = min(int(last or len(data)), len(data) - 1)
        facts["Content-Range"] = f"bytes {first}-{end}/{len(data)}"
        self._answer(206, data[int(first) : end + 1], facts)

    def _answer(self, status: int, body: bytes, facts: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (facts or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _tree(folder: Path, below: str) -> list[dict[str, Any]]:
    """What the hub lists of a folder of the dataset."""
    found: list[dict[str, Any]] = []
    for path in sorted((folder / below).iterdir()) if (folder / below).is_dir() else ():
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            found.append({"type": "directory", "path": name, "oid": "0" * 40})
        else:
            found.append({"type": "file", "path": name, "oid": _digest(path), "size": path.stat().st_size})
    return found


def _digest(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()
