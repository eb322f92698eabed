# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the role's rendered configuration on an installed HAProxy, on loopback, before an engine that only counts.

``HAPROXY`` names the binaries to use, separated by colons; the default is the ``haproxy`` of this machine.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROLE = Path(__file__).resolve().parents[4] / "roles/vllm_gateway"
ALICE = "canary-of-alice-0123456789abcdef0123456789abcdef"
HASTY = "canary-of-hasty-0123456789abcdef0123456789abcdef"
MODEL = "mini"
# In the rendered configuration, in place of the ports of a run.
_ENGINE_PORT, _PORT = 65001, 65002

_PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars_files: ["{role}/defaults/main.yml", "{role}/vars/main.yml"]
  tasks:
    - ansible.builtin.template:
        src: "{role}/templates/haproxy.cfg.j2"
        dest: "{directory}/rendered.cfg"
        mode: "0600"
"""


def haproxys() -> list[str]:
    """Return the paths of the HAProxys to try; empty where none is installed."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    named = os.environ.get("HAPROXY") or shutil.which("haproxy", path=path) or ""
    return [binary for binary in named.split(":") if binary]


@functools.cache
def version_of(haproxy: str) -> tuple[int, int]:
    """Return the major and the minor number of a HAProxy's version."""
    words = subprocess.run([haproxy, "-v"], capture_output=True, text=True, check=True).stdout.split()
    major, minor = words[2].split(".")[:2]
    return int(major), int(minor)


@functools.cache
def rendered(variables: str) -> str:
    """Return the configuration that the role writes with these variables (JSON)."""
    collections = [path for path in sys.path if (Path(path) / "ansible_collections").is_dir()]
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(collections), "ANSIBLE_NOCOLOR": "1"}
    env["LC_ALL"] = "C.UTF-8"
    with tempfile.TemporaryDirectory() as name:
        play = Path(name) / "play.yml"
        play.write_text(_PLAY.format(role=ROLE, directory=name), encoding="utf-8")
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", str(play)]
        command += ["-e", f"ansible_python_interpreter={sys.executable}", "-e", variables]
        ran = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return (Path(name) / "rendered.cfg").read_text(encoding="utf-8")


class Engine:
    """Stands in for an engine: keeps the head of each request and answers ``{}``, or ``answer`` where it is set.

    It waits ``delay`` seconds before the answer and ``pause`` seconds before the answer's last byte.
    """

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.delay = 0.0
        self.pause = 0.0
        self.answer = b"{}"
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError):
            data = b""
            while b"\r\n\r\n" not in data:
                chunk = connection.recv(1 << 16)
                if not chunk:  # a health check
                    return
                data += chunk
            head, _separator, body = data.partition(b"\r\n\r\n")
            self.heads.append(head)
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            left = int(lengths[0].split(b":")[1]) - len(body)
            while left > 0:
                left -= len(connection.recv(1 << 20)) or left
            time.sleep(self.delay)
            heading = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            connection.sendall(heading % len(self.answer) + self.answer[:-1])
            time.sleep(self.pause)
            connection.sendall(self.answer[-1:])


class Box:
    """A running gateway."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], engine: Engine, log: socket.socket) -> None:
        self.port, self.process, self.engine, self._log = port, process, engine, log

    def connect(self, tls: bool = True, source: str = "127.0.0.1", **options: Any) -> socket.socket:
        """Return a connection, by TLS unless told otherwise; ``options`` are those of the context."""
        plain = socket.create_connection(("127.0.0.1", self.port), 30, (source, 0))
        if not tls:
            return plain
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for name, value in options.items():
            setattr(context, name, value)
        return context.wrap_socket(plain)

    def ask(self, data: bytes, **options: Any) -> int:
        """Return the status of the answer to some bytes on a connection of their own."""
        with self.connect(**options) as connection:
            connection.sendall(data)
            return status(connection)

    def logged(self) -> list[str]:
        """Return the lines that were logged since the last call."""
        lines = []
        with contextlib.suppress(TimeoutError):
            while True:
                lines.append(self._log.recv(1 << 16).decode("latin-1").partition(": ")[2])
        return lines

    def memory(self) -> int:
        """Return the resident bytes of the process."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def cpu(self) -> float:
        """Return the seconds of CPU that the process has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status(connection: socket.socket) -> int:
    """Return the status of an answer as soon as its first bytes are there; 0 where the connection closes instead."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        data = connection.recv(1 << 16)
        return int(data.split(b" ")[1]) if data else 0
    return 0


def closed_within(connection: socket.socket, seconds: float) -> bool:
    """Say whether the gateway closes a connection within so many seconds, after whatever it still sends."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            if not connection.recv(1 << 16):
                return True
        except TimeoutError:
            return False
        except OSError:
            return True
    return False


def request(
    body: bytes = b'{"model": "mini", "prompt": "x"}',
    *,
    method: str = "POST",
    path: str = "/v1/completions",
    key: str | None = ALICE,
    length: int | str | None = None,
    headers: str = "",
    content_type: str = "application/json",
) -> bytes:
    """Return a request, good unless told otherwise; ``headers`` are whole lines."""
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    said = len(body) if length is None else length
    counted = f"Content-Length: {said}\r\n" if said != "" else ""
    typed = f"Content-Type: {content_type}\r\n" if content_type else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: gateway\r\n{authorization}{counted}{typed}{headers}\r\n"
    return head.encode("latin-1") + body


def _certificate(directory: Path) -> Path:
    file = directory / "certificate.pem"
    key, certificate = directory / "key", directory / "crt"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    command += ["-subj", "/CN=gateway", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    file.write_bytes(certificate.read_bytes() + key.read_bytes())
    return file


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(haproxy: str, engine_maxconn: int = 64, **variables: Any) -> Iterator[Box]:
    """Run the gateway with these role variables; it and its files are gone afterwards."""
    engine = Engine()
    service = {"host": "here", "name": MODEL, "model": MODEL, "address": "127.0.0.1", "port": _ENGINE_PORT}
    with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as log:
        directory, port = Path(name), _free_port()
        log.bind(("127.0.0.1", 0))
        log.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        log.settimeout(0.5)
        settings = {
            "vllm_gateway_services": [{**service, "maxconn": engine_maxconn}],
            "vllm_gateway_address": "127.0.0.1",
            "vllm_gateway_port": _PORT,
            "vllm_gateway_certificate": "/certificate.pem",
            "vllm_gateway_metrics_from": [],
            "vllm_gateway_api_keys": [
                {"name": "alice", "key": ALICE},
                {"name": "hasty", "key": HASTY, "requests_per_minute": 5},
            ],
            "vllm_gateway_requests_per_minute": 100_000,
            "vllm_gateway_maxconn": 64,
            "__vllm_gateway_directory": "/vllm",
            **variables,
        }
        text = rendered(json.dumps(settings))
        user = pwd.getpwuid(os.getuid()).pw_name
        for old, new in {
            "/vllm/request.lua": str(ROLE / "files/request.lua"),
            "/certificate.pem": str(_certificate(directory)),
            f"127.0.0.1:{_ENGINE_PORT}": f"127.0.0.1:{engine.port}",
            f"127.0.0.1:{_PORT}": f"127.0.0.1:{port}",
            "log /dev/log ": f"log 127.0.0.1:{log.getsockname()[1]} ",
            "chroot /var/lib/haproxy": "",
            "user haproxy": f"user {user}",
            "    group haproxy\n": "",
            "/run/haproxy/admin.sock": str(directory / "admin.sock"),
        }.items():
            assert old in text or (old == "/certificate.pem" and not settings.get("vllm_gateway_tls", True)), old
            text = text.replace(old, new)
        configuration = directory / "haproxy.cfg"
        configuration.write_text(text, encoding="utf-8")
        with (directory / "said").open("w+b") as said:
            process = subprocess.Popen([haproxy, "-db", "-f", str(configuration)], stdout=said, stderr=said)
            try:
                _wait(port, process, directory / "said")
                yield Box(port, process, engine, log)
            finally:
                process.kill()
                process.wait()
                engine.close()


def _wait(port: int, process: subprocess.Popen[bytes], said: Path) -> None:
    while True:
        assert process.poll() is None, said.read_text(encoding="utf-8")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
