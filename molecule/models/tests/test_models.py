"""What vllm_models leaves on a host."""

from __future__ import annotations

import json

from testinfra.host import Host

testinfra_hosts = ["podman://models"]

FETCHED = "/var/lib/vllm/models/fetched"


def test_a_fetched_model_has_every_file_of_its_repository(host: Host) -> None:
    same = host.run(f"diff --recursive --exclude='.*' /srv/models/qwen3-medium {FETCHED}")
    assert same.rc == 0, same.stdout


def test_the_record_names_the_commit(host: Host) -> None:
    record = json.loads(host.file(f"{FETCHED}/.fetched.json").content_string)
    assert record["repo_id"] == "small/qwen3-medium"
    assert record["revision"] == "main"
    assert record["commit"] == "0123456789abcdef0123456789abcdef01234567"


def test_no_file_holds_the_token(host: Host) -> None:
    assert host.run("grep --recursive --files-with-matches hub-token-of-the-test /var/lib /etc /root /tmp").stdout == ""


def test_a_refused_fetch_leaves_nothing(host: Host) -> None:
    assert not host.file("/var/lib/vllm/models/other").exists


def test_no_service_can_change_a_model(host: Host) -> None:
    assert host.run(f"find {FETCHED} ! -type l -perm /022 -print -quit").stdout == ""
    assert host.file(FETCHED).user == "root"
