# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of a server that nobody vouches for: every request is bounded, in time and in bytes.

The token goes to the server it is meant for and to no other, wherever that server redirects to. No message has it.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import re
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._values import shown

MOST_REDIRECTS = 5
_CHUNK = 1 << 16
_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")


class RefusedError(InferenceError):
    """The server answered with an error: its ``status``, and the ``code`` that a hub adds to it."""

    def __init__(self, message: str, status: int, code: str) -> None:
        super().__init__(message, status=status)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class FilePart:
    """Some bytes of a file, and the size of the whole file in bytes; None where the server did not say."""

    content: bytes
    whole: int | None


class HubClient:
    """Asks one server; ``seconds`` and ``most_bytes`` hold for all requests together.

    Use it as a context: at its end, or after ``seconds``, every connection is shut, whoever still reads from it.
    """

    def __init__(self, base: str, token: str | None, seconds: float, most_bytes: int, patience: float = 10) -> None:
        parts = urllib.parse.urlsplit(base)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InferenceError(f"The hub's address must be like https://huggingface.co, not {shown(base)}.")
        self.base = base.rstrip("/")
        self.host = parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"
        self._token = token
        self._seconds, self._patience = seconds, patience
        self._left = self._most = most_bytes
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._closed = False
        self._opener = urllib.request.build_opener(
            _Redirects(), _PlainHandler(self._watched), _SecureHandler(self._watched)
        )

    def __enter__(self) -> HubClient:
        self._end = time.monotonic() + self._seconds
        self._timer = threading.Timer(self._seconds, self.shut)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._timer.cancel()
        self.shut()

    @property
    def _over(self) -> bool:
        return time.monotonic() >= self._end

    def get(self, path: str, most: int) -> bytes:
        """Return the whole of a file of at most ``most`` bytes."""
        with self._open(path, {}) as answer:
            content = self._read(answer, most + 1)
        if len(content) > most:
            raise InferenceError(f"{self.host} sent more than {most} bytes for {path}; it is not read further.")
        stated = answer.headers.get("Content-Length", "")
        if stated.isdigit() and int(stated) != len(content):
            raise InferenceError(f"{self.host} broke off {path} after {len(content)} of {stated} bytes. Try again.")
        return content

    def part(self, path: str, first: int, end: int) -> FilePart:
        """Return the bytes from ``first`` up to ``end`` of a file, fewer where the file is shorter.

        A server that knows no ranges sends the whole file; it is read as far as needed.
        """
        with self._open(path, {"Range": f"bytes={first}-{end - 1}"}) as answer:
            stated = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if answer.status != 206:
                length = answer.headers.get("Content-Length", "")
                whole = int(length) if length.isdigit() else None
                return FilePart(self._read(answer, end)[first:], whole)
            if stated is None or int(stated.group(1)) != first:
                found = shown(answer.headers.get("Content-Range"))
                raise InferenceError(f"{self.host} was asked for byte {first} of {path} and answered with {found}.")
            return FilePart(self._read(answer, end - first), int(stated.group(3)))

    def _open(self, path: str, headers: Mapping[str, str]) -> Any:
        request = urllib.request.Request(f"{self.base}/{path}", headers={"Accept-Encoding": "identity", **headers})
        request.add_header("User-Agent", "llmops.inference")
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        with self._explained(path):
            return self._opener.open(request, timeout=self._patience)

    def _read(self, answer: Any, most: int) -> bytes:
        """Return up to ``most`` bytes of an answer, charged to what all requests may read together."""
        found: list[bytes] = []
        size = 0
        with self._explained(answer.url):
            while size < most:
                chunk = answer.read1(min(_CHUNK, most - size))
                if not chunk:
                    break
                found.append(chunk)
                size += len(chunk)
                with self._lock:
                    self._left -= len(chunk)
                if self._left < 0:
                    raise InferenceError(
                        f"{self.host} sent more than {self._most} bytes in all; it is not read further."
                    )
            if self._over:
                raise TimeoutError
        return b"".join(found)

    @contextlib.contextmanager
    def _explained(self, path: str) -> Any:
        """Turn what a connection can raise into one sentence, without the request's headers."""
        path = urllib.parse.urlsplit(path).path
        try:
            yield
        except urllib.error.HTTPError as error:
            with error:
                code = error.headers.get("X-Error-Code", "")
            if error.code in range(300, 400):
                raise InferenceError(f"{self.host} redirects {path} to an address that is not http or https.") from None
            raise RefusedError(f"{self.host} answered {error.code} to {path}.", error.code, code) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, _StrayedError):
                raise InferenceError(f"{self.host} redirects {path} {error}.") from None
            if self._over:
                raise InferenceError(
                    f"{self.host} did not answer within {self._seconds:g} s in all. Try again, or fetch config.json "
                    "and state its path as model."
                ) from None
            reason = getattr(error, "reason", None) or error
            text = "no answer came" if isinstance(reason, TimeoutError) else _reason(reason)
            raise InferenceError(
                f"{self.host} cannot be asked for {path}: {text}. Check HF_ENDPOINT and the network, or state the path "
                "of a config.json as model."
            ) from None

    def _watched(self, *arguments: Any, **keys: Any) -> socket.socket:
        """Open a connection that is shut at the end."""
        opened = socket.create_connection(*arguments, **keys)
        self._watch(opened)
        return opened

    def _watch(self, opened: socket.socket) -> None:
        with self._lock:
            self._sockets.append(opened)
            closed = self._closed
        if closed:
            self.shut()

    def shut(self) -> None:
        """Shut every connection, now and later; whoever reads from one fails at once."""
        with self._lock:
            self._closed = True
            sockets, self._sockets = self._sockets, []
        for opened in sockets:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)


def _reason(error: object) -> str:
    """Return what went wrong in the words of the system, without anything that the server wrote."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "the connection broke off" if isinstance(error, http.client.IncompleteRead) else type(error).__name__


class _StrayedError(OSError):
    """A redirect that is not followed; its text ends the sentence."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a few redirects, never to a server that is not asked safely, and shows the token to no other server."""

    max_redirections = MOST_REDIRECTS + 1
    max_repeats = MOST_REDIRECTS + 1

    def redirect_request(  # noqa: PLR0917  the signature of the standard library
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        """Return the request that follows; without the token where another server gets it."""
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if new.scheme not in {"http", "https"} or (old.scheme == "https" and new.scheme == "http"):
            raise _StrayedError("to an address that is not https")
        if sum(getattr(req, "redirect_dict", {}).values()) >= MOST_REDIRECTS:
            raise _StrayedError(f"more than {MOST_REDIRECTS} times")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and (old.scheme, old.netloc) != (new.scheme, new.netloc):
            request.remove_header("Authorization")
        return request


def _connection(kind: type[http.client.HTTPConnection], open_socket: Any, *arguments: Any, **keys: Any) -> Any:
    connection = kind(*arguments, **keys)
    connection._create_connection = open_socket  # type: ignore[attr-defined]  # from here on a socket is known
    return connection


class _PlainHandler(urllib.request.HTTPHandler):
    def __init__(self, open_socket: Any) -> None:
        super().__init__()
        self._open_socket = open_socket

    def http_open(self, req: Any) -> Any:
        """Open a connection whose socket is known."""
        return self.do_open(functools.partial(_connection, http.client.HTTPConnection, self._open_socket), req)


class _SecureHandler(urllib.request.HTTPSHandler):
    def __init__(self, open_socket: Any) -> None:
        super().__init__()
        self._open_socket = open_socket

    def https_open(self, req: Any) -> Any:
        """Open a connection whose socket is known."""
        opened = functools.partial(_connection, _Https, self._open_socket)
        return self.do_open(opened, req, context=self._context)  # type: ignore[attr-defined]


class _Https(http.client.HTTPSConnection):
    def connect(self) -> None:
        """Make known the socket that TLS puts in the place of the first."""
        super().connect()
        client = self._create_connection.__self__  # type: ignore[attr-defined]
        client._watch(self.sock)
