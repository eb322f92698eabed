# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle serves a closed network, and a bit of it that is not what it was stops everything before it begins."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.tests.documentation.pages import blocks
from ansible_collections.llmops.inference.tests.tools.environments import ROOT
from testinfra import get_host
from testinfra.host import Host

testinfra_hosts = ["podman://bundle-box"]

TEST = ROOT / "build" / "bundle-test"
BUNDLE = TEST / "bundle"
SCENARIO = ROOT / "molecule" / "bundle"
KEY = "a-key-of-the-test-0123456789abcdef0123456789abcdef"
STORE = "/var/lib/vllm-bundle"
ASK = f"""
import json, urllib.request
body = {{"model": "micro", "prompt": "Three prime numbers:", "max_tokens": 4, "ignore_eos": True}}
headers = {{"Content-Type": "application/json", "Authorization": "Bearer {KEY}"}}
request = urllib.request.Request("http://127.0.0.1:8080/v1/completions", json.dumps(body).encode(), headers)
print(json.load(urllib.request.urlopen(request, timeout=30))["usage"]["completion_tokens"])
"""
# Flips a bit of a file of the host, and flips it back the second time.
FLIP = """
import sys
with open(sys.argv[1], "r+b") as stream:
    stream.seek(1000)
    byte = stream.read(1)[0]
    stream.seek(1000)
    stream.write(bytes([byte ^ 1]))
"""
# One file of each kind, by a pattern that finds one only.
KINDS = {
    "package of the engine": "wheels/python3.11-*/jinja2-*.whl",
    "package of the controller": "wheels/controller/ansible_core-*.whl",
    "weights": "models/qwen3-micro/model.safetensors",
    "Debian package": "debian/bookworm-*/haproxy_*.deb",
    "index of Debian packages": "debian/bookworm-*/Packages",
    "collection": "collection/llmops-inference-*.tar.gz",
    "bill of materials": "sbom.cdx.json",
}
ON_A_SHARE = ("package of the engine", "weights", "Debian package")


def closed(*command: str, directory: Path = TEST / "home") -> subprocess.CompletedProcess[str]:
    """Run a command on the controller that has no network."""
    return subprocess.run([SCENARIO / "closed", *command], cwd=directory, capture_output=True, text=True, check=False)


def site(host: str = "bundle-box") -> subprocess.CompletedProcess[str]:
    inventory = f"--inventory={SCENARIO / 'inventory.yml'}"
    return closed("ansible-playbook", inventory, f"--limit={host}", "llmops.inference.site")


def bring(host: str) -> subprocess.CompletedProcess[str]:
    """Only verify the bundle, and bring a host what it needs of it."""
    inventory = f"--inventory={SCENARIO / 'inventory.yml'}"
    return closed("ansible", inventory, host, "-m", "include_role", "-a", "name=llmops.inference.vllm_bundle")


def flat(ran: subprocess.CompletedProcess[str]) -> str:
    """What was said, on one line, as a message that was wrapped reads."""
    return " ".join((ran.stdout + ran.stderr).split())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def only(pattern: str) -> Path:
    (path,) = BUNDLE.glob(pattern)
    return path


@contextmanager
def another(path: Path) -> Iterator[Path]:
    """Yield a copy of a file of the bundle to change, in its place: the file itself is linked to caches of others."""
    kept, aside = TEST / "kept", TEST / "aside"
    kept.unlink(missing_ok=True)
    os.link(path, kept)
    shutil.copy2(path, aside)
    os.replace(aside, path)
    try:
        yield path
    finally:
        os.replace(kept, path)


@contextmanager
def flipped(path: Path) -> Iterator[tuple[str, str]]:
    """Have one bit of a file differ; yields the digests before and after."""
    before = sha256(path)
    with another(path), path.open("r+b") as stream:
        position = path.stat().st_size // 2
        stream.seek(position)
        byte = stream.read(1)[0]
        stream.seek(position)
        stream.write(bytes([byte ^ 1]))
        stream.flush()
        yield before, sha256(path)


def test_neither_the_host_nor_the_controller_has_a_network(host: Host) -> None:
    for listed in (host.check_output("ip -oneline link"), closed("ip", "-oneline", "link").stdout):
        assert [line.split(": ")[1] for line in listed.splitlines()] == ["lo"]


def test_the_engine_generates_and_the_gateway_returns_it(host: Host) -> None:
    assert host.check_output(f"python3 -c {shlex.quote(ASK)}") == "4"


def test_all_that_runs_came_in_the_bundle(host: Host) -> None:
    version = only(KINDS["Debian package"]).name.split("_")[1]
    policy = host.check_output("apt-cache policy haproxy").splitlines()
    assert f"Installed: {version}" in policy[1]
    assert f"file:{STORE}/debian ./ Packages" in host.check_output("apt-cache policy haproxy")
    model = "/var/lib/vllm/models/qwen3-micro"
    weights = host.check_output(f"sha256sum {model}/model.safetensors").split()[0]
    assert weights == sha256(only(KINDS["weights"]))
    assert json.loads(host.file(f"{model}/.fetched.json").content_string)["repo_id"] == "small/qwen3-micro"
    wheels = set(host.check_output(f"ls {STORE}/wheels").split())
    assert wheels == {path.name for path in BUNDLE.glob("wheels/python3.11-*/*.whl")}
    playbook = closed("ansible-galaxy", "collection", "list", "llmops.inference").stdout
    assert str(TEST / "home" / ".ansible" / "collections") in playbook


def test_nobody_but_root_can_change_what_was_brought(host: Host) -> None:
    found = host.check_output(
        f"find {STORE} /var/lib/vllm/models ! -type l '(' -perm /022 -o ! -user root ')' -print -quit"
    )
    assert found == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_stops_the_play_before_its_first_change(kind: str) -> None:
    path = only(KINDS[kind])
    with flipped(path) as (before, after):
        ran = site()
    said = flat(ran)
    assert ran.returncode == 2, said
    assert f"{path} was changed or damaged: it has the SHA-256 {after}, and the manifest says {before}. Copy" in said
    assert "changed=0" in said
    assert "vllm_runtime" not in said


def test_a_flipped_bit_in_the_manifest_stops_the_play_too() -> None:
    with flipped(BUNDLE / "SHA256SUMS"):
        ran = site()
    said = flat(ran)
    assert ran.returncode == 2, said
    assert f"{BUNDLE / 'SHA256SUMS'} was changed or damaged: its lines have the SHA-256 " in said
    assert "changed=0" in said
    assert "vllm_runtime" not in said


def test_a_bundle_that_a_stranger_has_signed_is_refused() -> None:
    sign = ["ssh-keygen", "-Y", "sign", "-q", "-n", "llmops-inference-bundle", "-f", str(TEST / "stranger")]
    signature = BUNDLE / "SHA256SUMS.sig"
    with another(signature), (BUNDLE / "SHA256SUMS").open("rb") as manifest:
        signature.write_bytes(subprocess.run(sign, stdin=manifest, capture_output=True, check=True).stdout)
        ran = site()
    assert ran.returncode == 2
    assert f"no key of {TEST / 'allowed_signers'} has signed this SHA256SUMS" in flat(ran)


@pytest.mark.parametrize("kind", ON_A_SHARE)
def test_a_flipped_bit_on_a_share_leaves_nothing_in_place(kind: str) -> None:
    host, path = get_host("podman://bundle-share"), only(KINDS[kind])
    with flipped(path) as (before, after):
        ran = bring("bundle-share")
    said = flat(ran)
    assert ran.returncode == 2, said
    place = f"/mnt/bundle-test/{path.relative_to(TEST)}"
    assert f"{place} was changed or damaged: it has the SHA-256 {after}, and the manifest says {before}. Copy" in said
    for left in (f"{STORE}/wheels", f"{STORE}/debian", "/var/lib/vllm/models/qwen3-micro", "/etc/apt/sources.list.d"):
        assert host.run(f"ls {left} | grep .").rc == 1, left


def test_a_host_takes_what_it_needs_from_a_share_and_looks_a_second_time_for_nothing() -> None:
    assert bring("bundle-share").returncode == 0
    bring("bundle-share")
    again = flat(bring("bundle-share"))
    assert '"changed_parts": []' in again or "changed_parts: []" in again, again
    assert '"read_bytes": 0' in again or "read_bytes: 0" in again, again


def test_a_flipped_bit_on_the_host_is_found_and_mended_from_the_bundle(host: Host) -> None:
    wheel = f"{STORE}/wheels/{only(KINDS['package of the engine']).name}"
    host.check_output(f"python3 -c {shlex.quote(FLIP)} {wheel}")
    ran = bring("bundle-box")
    assert ran.returncode == 0, flat(ran)
    assert host.check_output(f"sha256sum {wheel}").split()[0] == sha256(only(KINDS["package of the engine"]))


def test_damaged_weights_on_the_host_are_not_replaced_but_named(host: Host) -> None:
    weights = "/var/lib/vllm/models/qwen3-micro/model.safetensors"
    host.check_output(f"python3 -c {shlex.quote(FLIP)} {weights}")
    said = flat(bring("bundle-box"))
    host.check_output(f"python3 -c {shlex.quote(FLIP)} {weights}")
    assert f"{weights} was changed or damaged" in said
    assert "remove the directory and run again" in said


def documented(word: str) -> str:
    """The command of the documentation's controller section that has this word."""
    page = ROOT / "docs" / "air-gapped.md"
    (command,) = {one for block in blocks(page) for one in block.commands() if word in one}
    return " ".join(command.split())


def test_pip_itself_refuses_a_package_with_a_flipped_bit() -> None:
    command = documented("--require-hashes") + " --dry-run --ignore-installed"
    with flipped(only(KINDS["package of the controller"])) as (before, after):
        ran = closed("sh", "-c", command, directory=BUNDLE)
    assert ran.returncode == 1
    assert f"Expected sha256 {before} Got {after}" in flat(ran)
    assert closed("sh", "-c", command, directory=BUNDLE).returncode == 0


def test_sha256sum_finds_the_collection_with_a_flipped_bit() -> None:
    collection = only(KINDS["collection"])
    with flipped(collection):
        ran = closed("sh", "-c", documented("sha256sum --check"), directory=BUNDLE)
    assert ran.returncode == 1
    assert f"{collection.relative_to(BUNDLE)}: FAILED" in ran.stdout


def test_after_all_that_the_engine_still_generates(host: Host) -> None:
    assert host.check_output("systemctl show --value -p NRestarts vllm@micro.service") == "0"
    assert host.check_output(f"python3 -c {shlex.quote(ASK)}") == "4"


def test_the_bill_of_materials_names_every_package_by_its_digest() -> None:
    bill = json.loads((BUNDLE / "sbom.cdx.json").read_text(encoding="utf-8"))
    digests = {
        component["bom-ref"]: component.get("hashes", [{}])[0].get("content") for component in bill["components"]
    }
    packages = [path for pattern in ("*.whl", "*.deb", "*.tar.gz") for path in BUNDLE.rglob(pattern)]
    assert len(packages) > 150
    assert not {str(path.relative_to(BUNDLE)) for path in packages} - digests.keys()
    assert digests[str(only(KINDS["weights"]).parent.relative_to(BUNDLE)) + "/"] is None, "a model is its files"
    for kind in ("package of the engine", "Debian package", "collection"):
        assert digests[str(only(KINDS[kind]).relative_to(BUNDLE))] == sha256(only(KINDS[kind]))
