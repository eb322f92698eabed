# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every operation of the engine's own OpenAPI description, fuzzed through the gateway with a good key.

Whatever schemathesis makes up, the gateway itself never fails, and only what clients may use reaches an engine.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import requests
import schemathesis
from ansible_collections.llmops.inference.molecule.gateway.tests.client import (
    ALICE,
    GATEWAYS,
    PORT,
    ask,
    host,
    journal,
    no_probes,
    request,
)
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok

Case = schemathesis.Case[Any]

EXAMPLES = 12  # of each operation
SECONDS = 240  # for all of them
ALLOWED = {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"}


def description() -> dict[str, Any]:
    """Return the engine's description of itself, which only a gateway can ask for."""
    url = "http://10.89.96.52:8002/openapi.json"
    read = f"import urllib.request as u; print(u.urlopen('{url}', timeout=20).read().decode())"
    return dict(json.loads(host("gateway").check_output(f'python3 -c "{read}"')))


def send(case: Case, session: requests.Session, model: str | None) -> int | None:
    """Send a case, with a model that there is where ``model`` says so; None where it cannot be sent as HTTP."""
    if model is not None and isinstance(case.body, dict):
        case.body["model"] = model
        case.body["max_tokens"] = case.body["max_completion_tokens"] = case.body["max_output_tokens"] = 2
        case.body["n"] = 1
    try:
        # verify is said with each request: the session's own yields to REQUESTS_CA_BUNDLE.
        answer = case.call(f"https://{GATEWAYS['gateway']}:{PORT}", session, timeout=20, verify=False)
    except (requests.RequestException, ValueError, UnicodeError):
        return None
    return int(answer.status_code)


def fuzz(operation: Any, session: requests.Session, deadline: float, statuses: list[int | None]) -> None:
    """Send what fits an operation, and what nearly does, until the deadline; leaves the statuses of the answers."""

    @seed(4)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), model=st.sampled_from(["mini", "Qwen/micro", None]))
    def send_one(case: Case, model: str | None) -> None:
        if time.monotonic() < deadline:
            statuses.append(send(case, session, model))

    send_one()


def test_nothing_but_what_clients_may_use_reaches_an_engine() -> None:
    schema = schemathesis.openapi.from_dict(description())
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert {"/invocations", "/tokenize", "/metrics", "/v1/completions"} <= {operation.path for operation in operations}
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {ALICE}"
    deadline = time.monotonic() + SECONDS
    sent: dict[str, list[int | None]] = {}
    gateway = host("gateway")
    began = gateway.check_output("date +%s")

    with no_probes() as arrivals:
        for operation in operations:
            label = f"{operation.method.upper()} {operation.path}"

            fuzz(operation, session, deadline, sent.setdefault(label, []))
        seen = arrivals.seen()

    statuses = [status for answers in sent.values() for status in answers if status is not None]
    print(f"{len(statuses)} requests of {len(sent)} operations in {time.monotonic() - deadline + SECONDS:.0f} s;")
    print(f"{len(seen)} reached an engine; statuses {sorted(set(statuses))}")
    assert all(sent.values()), "there was time for all of them"
    assert len(statuses) > 100
    assert {tuple(line.split()[1:3]) for line in seen} <= {("POST", path) for path in ALLOWED}
    assert seen, "some were good enough for an engine"
    for label, answers in sent.items():
        if label.split()[1] not in ALLOWED | {"/v1/models", "/health"}:
            assert {status for status in answers if status is not None} <= {400, 404, 405}, label

    logged = journal(gateway, f"--unit haproxy --since=@{began}")
    entries = [json.loads(line) for line in logged.splitlines() if line.startswith("{")]
    assert len(entries) >= len(statuses), "every request is in the journal"
    for entry in entries:
        if entry["status"] >= 500:
            assert not entry["server"].endswith("<NOSRV>"), entry
            assert entry["status"] == 500, entry  # the engine's own
    assert ask(request()).status == 200


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
