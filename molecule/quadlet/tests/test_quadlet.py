# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that are containers: Podman's real generator, real containers, and the engine's CPU build in them.

One host has a Podman that is too old. The tests run in the order in which they stand here; each leaves two services
that serve, the last one nothing.
"""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.llmops.inference.tests.testbed.plays import Site, await_that
from ansible_collections.llmops.inference.tests.unit.container_box import rendered

CANARY = "canary-5d09"
UUID = "GPU-00000000"
# Two starts, one after the other on the one device, also where others use the machine.
START_SECONDS = 900
site = Site("quadlet", "quadlet")


def shown(service: str, *names: str) -> list[str]:
    properties = ",".join(names)
    lines = site.run(f"systemctl show --property={properties} vllm@{service}").splitlines()
    found = dict(line.split("=", 1) for line in lines)
    return [found[name] for name in names]


def processes(service: str) -> dict[str, str]:
    """The names of a container's processes, by their number on the host."""
    (group,) = shown(service, "ControlGroup")
    pids = site.run(f"cat /sys/fs/cgroup{group}/libpod-payload-*/cgroup.procs").split()
    return {pid: site.run(f"cat /proc/{pid}/comm") for pid in pids}


def main(service: str) -> str:
    """The engine's first process, which is number 1 in its container."""
    (pid,) = [pid for pid in processes(service) if numbers(pid)[-1] == "1"]
    return pid


def status(pid: str) -> dict[str, str]:
    lines = site.run(f"cat /proc/{pid}/status").splitlines()
    return {line.partition(":")[0]: line.partition(":")[2].strip() for line in lines}


def numbers(pid: str) -> list[str]:
    return status(pid)["NSpid"].split()


def services() -> dict[str, dict[str, Any]]:
    return {service["name"]: service for service in site.info()["services"]}


def assert_all_serve(generation: int) -> None:
    found = site.info()
    assert found["generation"] == generation
    assert {one["name"]: (one["healthy"], one["as_configured"]) for one in found["services"]} == {
        "mini": (True, True),
        "micro": (True, True),
    }, found["services"]


def serves_again(service: str, invocation: str) -> None:
    def back() -> bool:
        state, now = shown(service, "ActiveState", "InvocationID")
        return state == "active" and now != invocation

    await_that(back, f"{service} serves again", START_SECONDS)


def test_a_host_that_was_refused_has_neither_user_nor_engine() -> None:
    refused = Site("quadlet", "quadlet-refuses")
    assert refused.run("podman --version").startswith("podman version 4.3")
    assert refused.run("ls -d /opt/vllm /var/lib/vllm; getent passwd vllm", check=False) == ""


# ---- what runs


def test_both_serve_and_what_they_use_was_measured_inside_their_containers() -> None:
    assert_all_serve(1)
    for service in services().values():
        assert service["actual"]["kv_cache_tokens"] > 0
        assert service["actual"]["outside_bytes"] > 100 << 20, (
            "of the worker that the log numbers as its container does"
        )


def test_units_are_podmans_and_stand_where_they_always_do() -> None:
    for service in ("mini", "micro"):
        source, slice_, fragment = shown(service, "SourcePath", "Slice", "FragmentPath")
        assert source == f"/etc/containers/systemd/vllm@{service}.container"
        assert (slice_, fragment) == ("system-vllm.slice", f"/run/systemd/generator/vllm@{service}.service")
        assert site.run(f"readlink {source}") == f"/etc/vllm/current/containers/vllm@{service}.container"
    wanted = site.run("systemctl show --value --property=Wants vllm.target").split()
    assert sorted(wanted) == ["vllm@micro.service", "vllm@mini.service"]


def test_an_engine_has_no_rights_in_its_container() -> None:
    for service in ("mini", "micro"):
        user = site.run("id --user vllm")
        for pid in processes(service):
            found = status(pid)
            assert set(found["Uid"].split()) == {user}
            assert {found[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
            assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")


def test_it_sees_of_the_host_what_it_is_given() -> None:
    pid = main("mini")
    for kind in ("pid", "mnt", "ipc", "uts"):
        assert site.run(f"readlink /proc/{pid}/ns/{kind}") != site.run(f"readlink /proc/1/ns/{kind}")
    root = f"/proc/{pid}/root"
    mounts = [line.split() for line in site.run(f"cat /proc/{pid}/mounts").splitlines()]
    options = {mount[1]: mount[3].split(",")[0] for mount in mounts}
    assert (options["/"], options["/srv/models/qwen3-mini"], options["/etc/vllm/current/services/mini"]) == ("ro",) * 3
    assert (options["/run/vllm/mini"], options["/var/cache/vllm/mini"]) == ("rw", "rw")
    assert site.run(f"ls {root}/srv/models {root}/etc/vllm/current/services {root}/run/vllm").split() == [
        f"{root}/etc/vllm/current/services:",
        "mini",
        f"{root}/run/vllm:",
        "mini",
        f"{root}/srv/models:",
        "qwen3-mini",
    ]
    devices = site.run(f"find {root}/dev -maxdepth 1 -type c -o -maxdepth 1 -type b | sed s,{root},, | sort").split()
    assert devices == [f"/dev/{name}" for name in ("full", "null", "random", "tty", "urandom", "zero")]


def test_a_service_on_a_socket_has_no_network_and_one_on_a_port_only_its_host() -> None:
    links = site.run(f"nsenter --target {main('micro')} --net ip -brief link").splitlines()
    assert [link.split()[0] for link in links] == ["lo"]
    allowed, denied = (set(value.split()) for value in shown("mini", "IPAddressAllow", "IPAddressDeny"))
    assert (allowed, denied) == ({"127.0.0.0/8", "::1/128"}, {"0.0.0.0/0", "::/0"})
    assert "127.0.0.1:8002" in site.run("ss --no-header --listening --tcp --numeric")


def test_a_secret_is_in_its_file_and_in_its_services_environment_and_nowhere_else() -> None:
    everywhere = "/etc /run /tmp /home /root /opt/vllm /var/log /var/lib /var/cache /var/tmp /dev/shm"
    # The layers of the image, 3.6 GiB, are the same on every host.
    search = "grep --recursive --files-with-matches --devices=skip --text --exclude-dir=overlay"
    found = site.run(f"{search} {CANARY} {everywhere}", check=False)
    assert found.split() == ["/etc/vllm/generations/1/services/mini/secrets"]
    assert site.run("find /var/lib/containers/storage/libpod /var/lib/containers/storage/db.sql | head -1") != ""
    for told in ("journalctl --no-pager --output=json --all", "systemctl show '*'", "podman inspect vllm-mini"):
        assert CANARY not in site.run(told)
    # Written so that the search does not find itself.
    pattern = f"[{CANARY[0]}]{CANARY[1:]}"
    assert site.run(f"grep --files-with-matches --text '{pattern}' /proc/[0-9]*/cmdline", check=False) == ""
    holders = site.run(f"grep --files-with-matches --text '{pattern}' /proc/[0-9]*/environ", check=False).split()
    groups = [site.run(f"cat {path.replace('environ', 'cgroup')}", check=False) for path in holders]
    units = {group.partition("vllm@")[2].partition("/")[0] for group in groups if "vllm-watchdog@" not in group}
    assert units - {""} == {"mini.service"}


# ---- GPUs, as far as a host without one can tell


def generated(text: str, service: str) -> tuple[str, str]:
    """What Podman's generator makes of a Quadlet: its status and all that it says, on one line."""
    site.run(f"mkdir -p /run/try && cat > /run/try/vllm@{service}.container <<'END'\n{text}\nEND")
    command = "QUADLET_UNIT_DIRS=/run/try /usr/lib/systemd/system-generators/podman-system-generator --dryrun 2>&1"
    said = site.run(f"{command}; echo status $?; rm -r /run/try")
    return said.rpartition("status ")[2], " ".join(said.split())


def test_podman_makes_units_of_the_reference_box_and_hands_gpus_over_by_uuid() -> None:
    quadlets = {name: file.text for name, file in rendered().items() if name.startswith("containers/")}
    assert len(quadlets) == 3
    for name, text in quadlets.items():
        service = name.partition("@")[2].partition(".")[0]
        ended, said = generated(text, service)
        assert ended == "0", said
        run = said.partition("ExecStart=")[2]
        gpus = {"medium": (0, 1), "mini": (2,), "micro": (2,)}[service]
        for index in range(3):
            assert (f"--device nvidia.com/gpu=GPU-0000000{index}" in run) == (index in gpus), run
        assert f"--shm-size {len(gpus)}g" in run
        for option in ("--cap-drop all", "--read-only", "--user 997:996", "--pull never", "--cgroups=split"):
            assert option in run, run


def test_podman_finds_a_device_by_such_a_name_where_a_specification_has_it() -> None:
    edits = {"deviceNodes": [{"path": "/dev/nvidia0", "hostPath": "/dev/null", "type": "c", "major": 1, "minor": 3}]}
    device = {"name": UUID, "containerEdits": edits}
    specification = json.dumps({"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [device]})
    site.run(f"mkdir -p /etc/cdi && echo '{specification}' > /etc/cdi/nvidia.json")
    image = site.run("podman inspect --format '{{.Image}}' vllm-mini")
    run = "podman run --rm --network=none --entrypoint=ls --device=nvidia.com/gpu="
    assert site.run(f"{run}{UUID} {image} /dev/nvidia0") == "/dev/nvidia0"
    refused = site.run(f"{run}GPU-00000009 {image} /dev/nvidia0 2>&1", check=False)
    assert "unresolvable CDI devices nvidia.com/gpu=GPU-00000009" in refused
    site.run("rm -r /etc/cdi")


def test_a_quadlet_that_podman_does_not_understand_is_found_by_its_generator() -> None:
    text = rendered()["containers/vllm@mini.container"].text.replace("ShmSize=", "ShmSizes=")
    ended, said = generated(text, "mini")
    assert ended != "0"
    assert "unsupported key 'ShmSizes'" in said


# ---- faults


def test_a_killed_engine_and_a_hanging_one_serve_again() -> None:
    began = site.run("date +%s")
    before = {service: shown(service, "InvocationID")[0] for service in ("mini", "micro")}
    (core,) = [pid for pid, name in processes("micro").items() if name.startswith("VLLM::Engine")]
    killed = processes("mini")
    site.run(f"kill -KILL {main('mini')}; kill -STOP {core}")
    await_that(lambda: not site.run(f"ls -d /proc/{core} 2>/dev/null", check=False), "the hanging engine is gone", 120)
    assert not set(killed) & set(site.run("ls /proc").split()), "no worker is left of the killed one"
    for service, invocation in before.items():
        serves_again(service, invocation)
    assert_all_serve(1)
    told = incidents(began)
    assert sorted((one["service"], one["kind"]) for one in told) == [("micro", "wedged"), ("mini", "killed")]
    assert [one["restarts"] for one in told] == [1, 1]


def incidents(since: str) -> list[dict[str, Any]]:
    return list(site.info(incidents_since=f"@{since}")["incidents"])


# A client that asks all the while, and tells answers that broke off from requests that were never begun on.
ASK = f"""
import http.client, json, os, time
counts = {{"ended": 0, "broken": 0, "refused": 0}}
body = json.dumps({{"model": "mini", "prompt": "Monday", "max_tokens": 64, "ignore_eos": True, "stream": True}})
headers = {{"Content-Type": "application/json", "Authorization": "Bearer {CANARY}"}}
while not os.path.exists("/run/enough"):
    begun = ended = False
    try:
        connection = http.client.HTTPConnection("127.0.0.1", 8002, timeout=60)
        connection.request("POST", "/v1/completions", body, headers)
        for line in connection.getresponse():
            begun = begun or line.startswith(b"data:")
            ended = ended or line.startswith(b"data: [DONE]")
    except (OSError, http.client.HTTPException):
        time.sleep(0.1)
    counts["ended" if ended else "broken" if begun else "refused"] += 1
    with open("/run/counts.json", "w") as file:
        json.dump(counts, file)
"""


def test_a_change_of_one_leaves_the_other_alone_and_breaks_off_no_answer() -> None:
    site.run(f"cat > /run/ask.py <<'END'\n{ASK}\nEND\nsystemd-run --quiet --unit=ask python3 /run/ask.py")
    await_that(lambda: '"ended": 0' not in site.run("cat /run/counts.json || echo '\"ended\": 0'"), "it is answered")
    before = site.pids()
    ended = site.converge(mini_max_num_seqs=4)
    site.run("touch /run/enough")
    await_that(lambda: site.run("systemctl is-active ask", check=False) == "inactive", "the client has seen enough")
    counts = json.loads(site.run("cat /run/counts.json"))
    assert (ended.changed, counts["broken"]) == (1, 0), counts
    assert min(counts["ended"], counts["refused"]) > 0, counts
    after = site.pids()
    assert after["vllm@micro.service"] == before["vllm@micro.service"]
    assert after["vllm@mini.service"] != before["vllm@mini.service"]
    assert_all_serve(2)


def test_a_change_that_does_not_serve_returns_and_leaves_the_other_alone() -> None:
    before = site.pids()
    ended = site.play(mini_engine_args={"enforce-eager": True, "dtype": "bfloat16", "tokenizer": "/srv/nothing"})
    assert ended.status != 0
    assert "service 'mini' did not pass its gate" in ended.flat
    assert_all_serve(2)
    assert site.pids()["vllm@micro.service"] == before["vllm@micro.service"]


def test_a_host_that_loses_power_serves_again_by_itself() -> None:
    site.loses_power()
    # Until it has booted, its systemd does not answer.
    active = "systemctl is-active vllm@mini vllm@micro"
    await_that(lambda: site.run(active, check=False).split() == ["active", "active"], "it serves", START_SECONDS)
    assert_all_serve(2)
    ended = site.converge(mini_max_num_seqs=4)
    assert ended.changed == 0


# ---- and gone


def test_nothing_is_left_after_a_teardown() -> None:
    ended = site.play("playbooks/teardown.yml", vllm_services_purge=True)
    assert ended.status == 0, ended.output
    left = (
        "ls -d /etc/vllm/current /etc/vllm/generations /opt/vllm /var/lib/vllm /var/cache/vllm 2>/dev/null; "
        "ls /etc/containers/systemd /run/systemd/generator | grep vllm; ls /etc/systemd/system | grep vllm; "
        "systemctl list-units --all --plain --no-legend 'vllm*'; podman ps --all --quiet; podman images --quiet; "
        "pgrep conmon; true"
    )
    assert site.run(left) == ""
