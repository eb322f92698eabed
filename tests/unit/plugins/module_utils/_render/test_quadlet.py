# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Quadlets of the reference box: what podman is told of a service, and what it is not told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._generation.files import File
from ansible_collections.llmops.inference.tests.unit.container_box import IMAGE, NAMES, rendered


def quadlet(service: str, **keys: Any) -> dict[str, dict[str, list[str]]]:
    """The values of every key of a service's Quadlet, by section."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in rendered(**keys)[f"containers/vllm@{service}.container"].text.splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif line:
            key, _equals, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return found


def digests(files: Mapping[str, File]) -> dict[str, str]:
    return {name: json.loads(files[f"services/{name}/guard.json"].text)["digest"] for name in NAMES}


def test_there_is_a_quadlet_per_service_and_no_unit_that_would_stand_in_its_way() -> None:
    files = rendered()
    assert sorted(path for path in files if path.startswith("containers/")) == [
        "containers/vllm@medium.container",
        "containers/vllm@micro.container",
        "containers/vllm@mini.container",
    ]
    assert "systemd/vllm@.service" not in files
    assert not [path for path in files if "vllm@mini.service.d" in path]
    assert {"systemd/vllm.target", "systemd/vllm-watchdog@.service", "systemd/vllm-watchdog@mini.timer"} <= set(files)


def test_the_image_is_known_by_its_id_and_never_fetched() -> None:
    mini = quadlet("mini")
    assert (mini["Container"]["Image"], mini["Container"]["Pull"]) == ([IMAGE], ["never"])
    assert mini["Quadlet"]["DefaultDependencies"] == ["false"]
    needs = json.loads(rendered()["needs.json"].text)
    assert (needs["image"], needs["programs"]) == (IMAGE, ["/opt/vllm/tools/bin/python"])


def test_gpus_are_handed_over_by_uuid_and_there_are_none_without_gpus() -> None:
    assert quadlet("medium")["Container"]["AddDevice"] == ["nvidia.com/gpu=GPU-00000000", "nvidia.com/gpu=GPU-00000001"]
    assert "AddDevice" not in quadlet("medium", accelerator="cpu")["Container"]


def test_each_rank_has_its_share_of_shared_memory() -> None:
    assert quadlet("medium")["Container"]["ShmSize"] == ["2g"]
    assert quadlet("mini")["Container"]["ShmSize"] == ["1g"]


def test_a_container_has_no_rights_and_nothing_that_it_may_change_but_its_own() -> None:
    container = quadlet("mini")["Container"]
    assert (container["User"], container["Group"]) == (["997"], ["996"])
    assert (container["DropCapability"], container["NoNewPrivileges"], container["ReadOnly"]) == (
        ["all"],
        ["yes"],
        ["yes"],
    )
    writable = [volume for volume in container["Volume"] if not volume.endswith(":ro")]
    assert [volume.partition(":")[0] for volume in writable] == [
        "/var/lib/vllm/services/mini",
        "/var/cache/vllm/mini",
        "/run/vllm/mini",
    ]
    assert "/srv/models/mini:/srv/models/mini:ro" in container["Volume"]


def test_podman_is_told_of_no_secret_and_no_variable() -> None:
    files = rendered(secret_environment={"VLLM_API_KEY": "canary"}, environment={"VLLM_LOGGING_LEVEL": "DEBUG"})
    text = files["containers/vllm@mini.container"].text
    assert "canary" not in text
    assert "DEBUG" not in text
    container, service = (
        quadlet("mini", secret_environment={"VLLM_API_KEY": "x"})[key] for key in ("Container", "Service")
    )
    assert not {"Environment", "EnvironmentFile", "Secret"} & set(container)
    assert container["PodmanArgs"] == ["--stop-signal=SIGTERM"]
    assert service["OpenFile"] == ["/etc/vllm/current/services/mini/secrets:secrets:read-only"]
    assert "OpenFile" not in quadlet("mini")["Service"], "there is no such file then, and it would not start"


def test_what_runs_around_the_engine_is_the_same_and_not_roots() -> None:
    service = quadlet("mini")["Service"]
    for key, action in (("ExecStartPre", "admit"), ("ExecStartPost", "ready"), ("ExecStopPost", "release")):
        (guard,) = [command for command in service[key] if "vllm_guard" in command]
        assert re.fullmatch(
            rf"setpriv --reuid=vllm --regid=vllm .*--bounding-set=-all .*/lib/vllm_guard {action} mini", guard
        )


def test_starts_are_ordered_limited_and_timed_as_those_of_an_installed_engine() -> None:
    micro = quadlet("micro")
    assert "vllm@mini.service" in micro["Unit"]["After"]
    assert micro["Unit"]["Wants"] == ["vllm-watchdog@micro.timer"]
    assert (micro["Service"]["TimeoutStartSec"], micro["Service"]["TimeoutStopSec"]) == (["1800"], ["50"])
    # Podman gives up on the engine before systemd gives up on podman.
    assert micro["Container"]["StopTimeout"] == ["40"]
    assert (micro["Service"]["Restart"], micro["Service"]["KillMode"]) == (["always"], ["mixed"])


def test_a_service_reaches_whom_its_layout_lets_it_reach() -> None:
    mini = quadlet("mini")
    assert mini["Container"]["Network"] == ["host"]
    assert (mini["Service"]["IPAddressAllow"], mini["Service"]["IPAddressDeny"]) == (["localhost"], ["any"])
    assert quadlet("mini", socket=True)["Container"]["Network"] == ["none"]


def test_memory_limits_are_the_units() -> None:
    service = quadlet("mini", memory_max="64G", memory_high="80%")["Service"]
    assert (service["MemoryMax"], service["MemoryHigh"]) == (["64G"], ["80%"])


def test_a_service_is_restarted_for_what_acts_on_it_and_not_for_the_order_of_starts() -> None:
    before = digests(rendered())
    assert digests(rendered(watchdog=False)) == before, "who looks at it is of [Unit]"
    other = {name: ("/srv/models/other",) if name == "mini" else (f"/srv/models/{name}",) for name in NAMES}
    after = digests(rendered(mounts=other))
    assert [name for name in NAMES if after[name] != before[name]] == ["mini"]


@pytest.mark.parametrize("path", ["/srv/a:b", "/srv/$HOME", "/srv/50%", '/srv/"x"', "/srv/a\nb"])
def test_a_path_that_podman_or_systemd_would_read_as_something_else_is_refused(path: str) -> None:
    with pytest.raises(InferenceError, match="cannot be mounted into a container"):
        rendered(mounts={**dict.fromkeys(NAMES, ()), "mini": (path,)})
