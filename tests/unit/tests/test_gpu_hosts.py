# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the GPU scenarios read and count on a host (``tests/gpu/hosts``), and what they skip where there is no GPU."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils import _environment_file
from ansible_collections.llmops.inference.tests.gpu import everything
from ansible_collections.llmops.inference.tests.gpu.hosts import by_hand, fault


def prober(*seen: tuple[float, bool]) -> fault.Prober:
    """A prober that has seen these answers and asks nobody."""
    made = fault.Prober.__new__(fault.Prober)
    made.seen = list(seen)
    return made


def test_an_outage_lasts_from_the_first_failure_to_the_answer_after_the_last() -> None:
    asked = prober((8.0, False), (10.5, True), (11.0, False), (12.0, True), (13.0, False), (20.0, True), (21.0, True))
    assert asked.outage(10.0) == {"failed_probes": 2, "first_failure_s": 1.0, "answers_again_s": 10.0}


def test_a_service_that_never_answers_again_has_no_end_of_its_outage() -> None:
    assert prober((11.0, False)).outage(10.0)["answers_again_s"] is None


def test_failures_before_the_fault_do_not_count() -> None:
    assert prober((8.0, False), (11.0, True)).outage(10.0)["failed_probes"] == 0


class Endpoint(BaseHTTPRequestHandler):
    tokens = 1

    def answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer({"data": [{"id": "mini"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"usage": {"completion_tokens": self.tokens}})

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_only_an_answer_with_every_token_counts(port: int) -> None:
    assert fault.complete(port, 1, timeout=5)
    assert not fault.complete(port, 2, timeout=5)


def test_a_port_that_nobody_listens_on_is_a_failure(port: int) -> None:
    assert not fault.complete(1, 1, timeout=5)


def test_the_environment_of_a_unit_is_read_as_the_generation_wrote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_hand, "CURRENT", tmp_path)
    variables = {"PLAIN": "0", "EMPTY": "", "JSON": '{"a": "b c"}', "SLASH": "a\\b"}
    (tmp_path / "mini").mkdir()
    (tmp_path / "mini" / "environment").write_text(_environment_file.to_text(variables), encoding="utf-8")
    (tmp_path / "mini" / "engine.yaml").write_text('model: "/m"\nport: 8002\n', encoding="utf-8")
    assert by_hand.settings("mini") == variables
    assert by_hand.port_of("mini") == 8002


def test_everything_is_named_that_cannot_run_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(everything, "why_no_gpu", lambda: "the driver finds no GPU")
    assert everything.main([]) == 0
    said = capsys.readouterr().out
    assert "scenarios on a host: skipped: no inventory was given" in said
    assert "scenarios in the box: skipped: the driver finds no GPU" in said
    assert "matrix of starts: skipped: the driver finds no GPU" in said


def test_a_directory_that_is_no_kit_is_refused_with_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        everything.main(["--kit", str(tmp_path)])
    assert "make one with tests/gpu/box/make_kit" in capsys.readouterr().err
