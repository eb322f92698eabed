# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients of the scenario's gateways: one that sends any bytes, OpenAI's own, and a count of what arrives."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import testinfra
from testinfra.host import Host

GATEWAYS = {"gateway": "10.89.96.50", "gateway-trixie": "10.89.96.53"}
PORT = 8443
ALICE = "canary-of-alice-0123456789abcdef0123456789abcdef"
BOB = "canary-of-bob-0123456789abcdef0123456789abcdef0123"
HASTY = "canary-of-hasty-0123456789abcdef0123456789abcdef"
ENGINE_KEY = "canary-of-the-engines-71c2"
# What is in every good request's body, and must be in no log.
PROMPT = "canary of a prompt, which nobody but an engine may read"
ENGINES = {"gateway-a": ["mini", "micro"], "gateway-b": ["mini"]}

_ACCESS = re.compile(r'- "(\S+) (\S+) HTTP/[0-9.]+" ([0-9]{3})')


def host(name: str) -> Host:
    """Return a host of the scenario."""
    return testinfra.get_host(f"podman://{name}")


def journal(of: Host, options: str = "") -> str:
    """Return what a host's journal says, with all that was said to it: on busy cores it may not have read that yet."""
    return str(of.check_output(f"journalctl --sync && journalctl --quiet --no-pager --output=cat {options}"))


def trust(gateway: str = "gateway") -> ssl.SSLContext:
    """Return a context that trusts the certificate which the gateway signed itself, and no other."""
    pem = host(gateway).check_output("openssl x509 -in /etc/haproxy/vllm/self-signed.pem")
    context = ssl.create_default_context(cadata=pem)
    context.check_hostname = False  # it names the host as the inventory does, and is asked by address here
    return context


def unverified() -> ssl.SSLContext:
    """Return a context that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def client(key: str = ALICE, gateway: str = "gateway", **options: Any) -> openai.OpenAI:
    """Return OpenAI's own client of a gateway, which repeats nothing by itself."""
    return openai.OpenAI(
        base_url=f"https://{GATEWAYS[gateway]}:{PORT}/v1",
        api_key=key,
        max_retries=0,
        http_client=openai.DefaultHttpxClient(verify=trust(gateway)),
        **options,
    )


@dataclass(frozen=True)
class Answer:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> Mapping[str, Any]:
        """The error in OpenAI's form."""
        return dict(json.loads(self.body)["error"])


def body_of(**keys: Any) -> bytes:
    """Return the body of a short completion, with other keys."""
    return json.dumps({"model": "mini", "prompt": PROMPT, "max_tokens": 1, **keys}).encode()


def request(
    body: bytes | None = None,
    path: str = "/v1/completions",
    *,
    method: str = "POST",
    key: str | None = ALICE,
    headers: Sequence[str] = (),
    length: bool = True,
    content_type: str = "application/json",
    version: str = "HTTP/1.1",
) -> bytes:
    """Return a request, good unless told otherwise."""
    content = body_of() if body is None else body
    lines = [f"{method} {path} {version}", "Host: gateway"]
    lines += [f"Authorization: Bearer {key}"] if key else []
    lines += [f"Content-Type: {content_type}"] if content_type else []
    lines += [f"Content-Length: {len(content)}"] if length else []
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1") + content


def exchange(data: bytes, gateway: str = "gateway", timeout: float = 30, pause: float = 0) -> list[Answer]:
    """Send bytes, read until the gateway closes or pauses after an answer, and return all answers.

    With a ``pause`` in seconds the last twenty bytes come one by one.
    """
    pieces = [data[:-20], *(data[place:][:1] for place in range(-20, 0))] if pause else [data]
    with (
        socket.create_connection((GATEWAYS[gateway], PORT), timeout=timeout) as plain,
        unverified().wrap_socket(plain) as connection,
    ):
        received = b""
        with contextlib.suppress(OSError):  # refused before it was all there: the answer is waiting
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
        with contextlib.suppress(OSError):  # a pause, or closed hard after an answer
            while chunk := connection.recv(1 << 16):
                received += chunk
                connection.settimeout(0.3)
    return list(_answers(received))


def ask(data: bytes, gateway: str = "gateway") -> Answer:
    """Return the first answer to some bytes."""
    return exchange(data, gateway)[0]


def _answers(received: bytes) -> Iterator[Answer]:
    while received:
        head, _separator, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
        size = int(headers.get("content-length", len(rest)))
        yield Answer(int(first.split()[1]), headers, rest[:size])
        received = rest[size:]


class Arrivals:
    """Counts the requests that reach engines, by their access logs."""

    def __init__(self) -> None:
        self._hosts = {name: host(name) for name in ENGINES}
        self._cursors: dict[str, str] = {}
        self.forget()

    def forget(self) -> None:
        """Count from here."""
        for name, engine_host in self._hosts.items():
            # Of the engines' own lines: after the cursor of another one, journalctl leaves out the first of theirs.
            shown = journal(engine_host, f"--lines=1 --show-cursor {_of_engines(name)}")
            self._cursors[name] = shown.rpartition("-- cursor: ")[2].strip()

    def seen(self) -> list[str]:
        """Return each request since then as ``HOST METHOD PATH STATUS``."""
        time.sleep(0.3)  # for what a gateway might send on after its answer
        found = []
        for name, engine_host in self._hosts.items():
            said = journal(engine_host, f"--after-cursor='{self._cursors[name]}' {_of_engines(name)}")
            found += [f"{name} {' '.join(match)}" for match in _ACCESS.findall(said)]
        return found


def _of_engines(name: str) -> str:
    return " ".join(f"SYSLOG_IDENTIFIER=vllm-{service}" for service in ENGINES[name])


@contextlib.contextmanager
def no_probes() -> Iterator[Arrivals]:
    """Let nothing but clients ask the engines for a while; their states stay as they are meanwhile."""
    units = "vllm-gateway-probe.socket vllm-gateway-probe.service"
    for name in GATEWAYS:
        host(name).check_output(f"systemctl stop {units}")
    try:
        yield Arrivals()
    finally:
        for name in GATEWAYS:
            host(name).check_output(f"systemctl start {units}")


def states(gateway: str = "gateway") -> dict[str, str]:
    """Return the state of every server by its name: UP, DOWN, DRAIN, without what HAProxy says of how it came about.

    That is ``DOWN (agent)`` where the probe has found it out, and ``DOWN 1/2`` on its way up.
    """
    command = "echo 'show stat -1 4 -1' | python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX)\n"
    command += 's.connect("/run/haproxy/admin.sock"); s.sendall(sys.stdin.buffer.read())\n'
    command += "print(s.makefile().read())'"
    lines = host(gateway).check_output(command).lstrip("# ").splitlines()
    heading = lines[0].split(",")
    rows = [dict(zip(heading, line.split(","))) for line in lines[1:] if line]
    return {row["svname"]: row["status"].split()[0] for row in rows}


def wait_for(server: str, state: str, seconds: float, gateway: str = "gateway") -> float:
    """Wait for a server to be in a state; returns the seconds that it took."""
    began = time.monotonic()
    while states(gateway)[server] != state:
        waited = time.monotonic() - began
        assert waited < seconds, f"{server} is {states(gateway)[server]} after {waited:.0f} s, not {state}"
        time.sleep(0.3)
    return time.monotonic() - began


def wait_for_all() -> None:
    """Wait until every gateway has all its engines."""
    for gateway in GATEWAYS:
        for name, services in ENGINES.items():
            for service in services:
                wait_for(f"{name}:{service}", "UP", 30, gateway)


def play(*arguments: str, status: int = 0) -> str:
    """Run a playbook of the scenario, which must end with that status, and return what it printed on one line."""
    directory = Path(__file__).resolve().parents[1]
    command = ["ansible-playbook", "--inventory", str(directory / "inventory.yml"), *arguments]
    # Colours would stand between the words of a message that goes over several lines.
    plain = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
    ran = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=300, env=plain)
    output = ran.stdout + ran.stderr  # failures are told on the second
    assert ran.returncode == status, output
    return " ".join(output.split())
