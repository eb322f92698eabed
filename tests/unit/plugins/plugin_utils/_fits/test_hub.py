# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a model from a hub: one that behaves, and every kind that does not."""

from __future__ import annotations

import json
import re
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._model.checkpoint import INDEX, read_checkpoint
from ansible_collections.llmops.inference.plugins.module_utils._model.model import checkpoint_from_geometry
from ansible_collections.llmops.inference.plugins.plugin_utils._fits import hub, web
from ansible_collections.llmops.inference.plugins.plugin_utils._fits.model import Model, read_model
from ansible_collections.llmops.inference.tests.unit.hub_server import Server
from ansible_collections.llmops.inference.tests.unit.scene import TINY, named_tensors, write_safetensors

SECRET = "hf_never-to-be-shown"
NAME = "small/tiny"


@pytest.fixture
def served() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def other() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go; nothing is there after any question."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    assert not list(place.iterdir())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A complete small model."""
    made = tmp_path / "tiny"
    made.mkdir()
    (made / "config.json").write_text(json.dumps(TINY))
    tensors = named_tensors(checkpoint_from_geometry(TINY).tensors, TINY["num_hidden_layers"])
    write_safetensors(made / "model.safetensors", tensors)
    return made


@pytest.fixture
def model(served: Server, directory: Path) -> Server:
    """A hub that has that model."""
    served.files = {path.name: path.read_bytes() for path in directory.iterdir()}
    return served


def ask(server: Server, name: str = NAME, seconds: float = 30, **environment: str) -> Model:
    return read_model(name, {}, {"HF_ENDPOINT": server.base, "HF_TOKEN": SECRET, **environment}, seconds)


def refusal(server: Server, name: str = NAME, seconds: float = 30, **environment: str) -> str:
    """Return why a hub's model cannot be read; the token is in no message."""
    with pytest.raises(InferenceError) as refused:
        ask(server, name, seconds, **environment)
    text = str(refused.value)
    assert SECRET not in text + repr(refused.value.details)
    assert text.endswith(".")
    return text


def test_a_model_of_a_hub_is_read_as_its_directory_is(model: Server, directory: Path) -> None:
    found = ask(model)
    assert found.checkpoint == read_checkpoint(str(directory))
    assert (found.source, found.revision, found.name, found.served_from) == ("hub", "a" * 40, "tiny", NAME)


def test_the_weights_are_not_downloaded(model: Server, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "FIRST_BYTES", 1 << 10)
    assert ask(model).checkpoint == read_checkpoint(str(directory))
    header = int.from_bytes(model.files["model.safetensors"][:8], "little")
    small = len(model.files["config.json"]) + 200
    assert model.sent < header + (1 << 10) + small < len(model.files["model.safetensors"])


def test_a_hub_that_knows_no_ranges_is_read_as_far_as_needed(
    model: Server, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.ranges = False
    monkeypatch.setattr(hub, "FIRST_BYTES", 1 << 10)
    assert ask(model).checkpoint == read_checkpoint(str(directory))


def test_a_model_in_several_files_is_read_by_its_index(model: Server, directory: Path) -> None:
    tensors = named_tensors(checkpoint_from_geometry(TINY).tensors, TINY["num_hidden_layers"])
    items = sorted(tensors.items())
    halves = {"a.safetensors": dict(items[:9]), "b.safetensors": dict(items[9:])}
    (directory / "model.safetensors").unlink()
    for name, half in halves.items():
        write_safetensors(directory / name, half)
    index = {tensor: name for name, half in halves.items() for tensor in half}
    (directory / INDEX).write_text(json.dumps({"weight_map": index}))
    model.files = {path.name: path.read_bytes() for path in directory.iterdir()}
    model.files["left-over.safetensors"] = b""
    assert ask(model).checkpoint == read_checkpoint(str(directory))
    del model.files["b.safetensors"]
    assert f"{NAME}/{INDEX} names 2 files and 1 of them are absent: b.safetensors" in refusal(model)


def test_a_revision_can_be_named(model: Server) -> None:
    ask(model, f"{NAME}@v1.0")
    assert model.asked[0][0].startswith(f"/api/models/{NAME}/revision/v1.0")
    assert f"/{NAME}/resolve/{'a' * 40}/config.json" in [path for path, _token in model.asked]


def test_without_safetensors_the_weights_follow_from_the_config_and_are_an_estimate(model: Server) -> None:
    del model.files["model.safetensors"]
    model.files["pytorch_model.bin"] = b"weights"
    found = ask(model)
    assert (found.checkpoint.source, found.note) == ("estimated", f"{NAME} has no *.safetensors file")


def test_the_token_of_the_hubs_own_tools_is_found(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" from-file \n")
    assert hub.token({"HF_TOKEN": "stated", "HF_HOME": str(tmp_path)}) == "stated"
    assert hub.token({"HF_HOME": str(tmp_path)}) == "from-file"
    assert hub.token({"HF_TOKEN_PATH": str(tmp_path / "token")}) == "from-file"
    assert hub.token({"HF_HOME": str(tmp_path / "absent")}) is None


# Redirects


def elsewhere(server: Server, path: str = "") -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda request: server.send(request, 302, b"", {"Location": path or f"{server.base}{request.path}"})


def test_the_token_does_not_follow_a_redirect_to_another_server(model: Server, other: Server, directory: Path) -> None:
    other.files = dict(model.files)
    model.odd["/resolve/"] = elsewhere(other)
    assert ask(model).checkpoint == read_checkpoint(str(directory))
    assert {token for _path, token in model.asked} == {f"Bearer {SECRET}"}
    assert [token for _path, token in other.asked] == [None, None]


def test_the_token_follows_a_redirect_of_the_same_server(model: Server) -> None:
    model.odd["/api/models/small/old"] = elsewhere(model, f"/api/models/{NAME}/revision/main")
    model.odd["/small/old/resolve"] = lambda request: model.send(
        request, 307, b"", {"Location": request.path.replace("/old/", "/tiny/")}
    )
    ask(model, "small/old")
    assert {token for _path, token in model.asked} == {f"Bearer {SECRET}"}


def test_redirects_without_end_are_not_followed(model: Server) -> None:
    model.odd["config.json"] = lambda request: model.send(request, 302, b"", {"Location": f"{request.path}x"})
    assert f"more than {web.MOST_REDIRECTS} times" in refusal(model)
    model.odd["config.json"] = lambda request: model.send(request, 302, b"", {"Location": request.path})
    assert f"more than {web.MOST_REDIRECTS} times" in refusal(model)


def test_a_redirect_leads_to_no_file_and_not_from_https_to_http(model: Server) -> None:
    model.odd["config.json"] = lambda request: model.send(request, 302, b"", {"Location": "file:///etc/hostname"})
    assert "to an address that is not http or https" in refusal(model)
    request = urllib.request.Request("https://hub.example/a", headers={"Authorization": SECRET})
    with pytest.raises(OSError, match="not https"):
        web._Redirects().redirect_request(request, None, 302, "", {}, "http://hub.example/a")


# Refusals


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (401, "RepoNotFound", "has no model small/tiny, or does not show it: check the name, or set HF_TOKEN"),
        (404, "RepoNotFound", "has no model small/tiny"),
        (401, "GatedRepo", "small/tiny is gated: accept its terms at http"),
        (403, "GatedRepo", "small/tiny is gated"),
        (404, "RevisionNotFound", "has no such revision"),
        (429, "", "allows no more requests for now"),
        (500, "", "answered 500 to api/models/small/tiny/revision/main. Try again later"),
    ],
)
def test_a_refusal_says_what_to_do(model: Server, status: int, code: str, said: str) -> None:
    model.odd["/api/"] = model.status(status, code)
    assert said in refusal(model)


def test_files_of_a_gated_model_are_refused_as_gated(model: Server) -> None:
    model.odd["config.json"] = model.status(403, "GatedRepo")
    assert "is gated" in refusal(model)


def test_a_hub_that_is_not_there_or_not_wanted_is_said_to_be(served: Server) -> None:
    served.close()
    assert "Connection refused. Check HF_ENDPOINT" in refusal(served)
    assert "HF_HUB_OFFLINE is set" in refusal(served, HF_HUB_OFFLINE="1")
    assert "must be like https://huggingface.co" in refusal(served, HF_ENDPOINT="file:///etc")


# Answers that cannot be believed


@pytest.mark.parametrize(
    "listing", [b"", b"[]", b"\xff", b"{" * 100_000, b'{"siblings": 1}', b'{"siblings": [1, {"rfilename": 2}]}']
)
def test_a_list_of_files_that_is_none_is_refused(model: Server, listing: bytes) -> None:
    model.odd["/api/"] = model.says(listing)
    assert re.search(r"no JSON dictionary|has no config\.json", refusal(model))


def test_names_that_lead_out_of_the_directory_are_not_followed(model: Server, kept: Path) -> None:
    names = [*model.files, "../../escaped.safetensors", "/etc/x.safetensors", "a/b.safetensors", ".hidden.safetensors"]
    model.odd["/api/"] = model.says(json.dumps({"siblings": [{"rfilename": name} for name in names]}).encode())
    ask(model)
    assert not any("escaped" in path or "etc" in path or "hidden" in path for path, _token in model.asked)
    assert not (kept.parent / "escaped.safetensors").exists()


def test_a_config_that_is_none_is_refused(model: Server) -> None:
    model.files["config.json"] = b"<html>"
    assert f"{NAME}/config.json is no JSON" in refusal(model)


def test_a_file_that_breaks_off_is_refused(model: Server) -> None:
    def half(request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")

    model.odd["config.json"] = half
    assert "broke off" in refusal(model)


def test_a_header_that_breaks_off_is_refused(model: Server) -> None:
    def half(request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        request.wfile.write(b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-99/265696\r\n\r\n1234")

    model.odd["model.safetensors"] = half
    assert "broke off" in refusal(model)


def test_headers_that_lie_are_refused(model: Server) -> None:
    whole = model.files["model.safetensors"]
    model.files["model.safetensors"] = (1 << 62).to_bytes(8, "little") + whole[8:]
    assert f"{NAME}/model.safetensors is cut off" in refusal(model)
    model.files["model.safetensors"] = whole[:-10]
    assert "its header describes" in refusal(model)
    model.files["model.safetensors"] = whole.replace(b'"BF16"', b'"F32" ')
    assert "the header is damaged" in refusal(model)


def test_a_range_that_was_not_asked_for_is_refused(model: Server) -> None:
    model.odd["model.safetensors"] = lambda request: model.send(
        request, 206, b"12345678", {"Content-Range": "bytes 7-14/100"}
    )
    assert "was asked for byte 0" in refusal(model)


def test_a_size_that_no_file_can_have_is_refused(model: Server) -> None:
    header = model.files["model.safetensors"][:2000]
    model.odd["model.safetensors"] = lambda request: model.send(
        request, 206, header, {"Content-Range": f"bytes 0-1999/{10**19 - 1}"}
    )
    assert "." in refusal(model)


# Answers without end: each ends by the bytes or by the time that all requests have together


@pytest.mark.parametrize("part", ["/api/", "config.json", "model.safetensors"])
def test_an_answer_without_end_is_read_no_further_than_allowed(
    model: Server, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(hub, "MOST_BYTES", 1 << 16)
    monkeypatch.setattr(hub, "FIRST_BYTES", 1 << 20)
    model.odd[part] = model.dribbles(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", b" " * (1 << 14))
    assert "sent more than 65536 bytes in all" in refusal(model)


def test_a_small_file_is_not_read_without_end(model: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "MAX_JSON_BYTES", 1 << 10)
    model.files["config.json"] = b" " * 2000
    assert "sent more than 1024 bytes" in refusal(model)


@pytest.mark.parametrize("part", ["/api/", "config.json", "model.safetensors"])
@pytest.mark.parametrize(
    "start",
    [b"", b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"],
    ids=["silent", "in the headers", "in the body"],
)
def test_a_slow_hub_has_so_many_seconds_in_all(model: Server, part: str, start: bytes) -> None:
    model.odd[part] = model.dribbles(start, b"1" if start else b"")
    assert "did not answer within 0.3 s in all" in refusal(model, seconds=0.3)


def test_one_file_that_is_refused_ends_the_reading_of_the_others(model: Server) -> None:
    model.files |= dict.fromkeys(("0.safetensors", "1.safetensors"), model.files["model.safetensors"])
    model.odd["0.safetensors"] = model.dribbles(b"", b"")
    model.odd["1.safetensors"] = model.status(500)
    assert "answered 500" in refusal(model, seconds=3000)
