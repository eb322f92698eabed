# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments that are cut off in the middle, on a host whose services are real: what was lost is nothing.

Mini is never part of a change. A client asks it for tokens all the while, and has to get every one of them; micro is
what changes. Run in the order of the file, which is why it is one: each test finds and leaves both serving.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from typing import Any

import pytest
from ansible_collections.llmops.inference.tests.testbed.plays import Ended, Play, Site, await_that

FULL = os.environ.get("FAULTS") == "full"
KILLS = int(os.environ.get("FAULTS_KILLS", "20" if FULL else "1"))
PROCESS_KILLS = int(os.environ.get("FAULTS_PROCESS_KILLS", "5" if FULL else "1"))
STARTS = int(os.environ.get("FAULTS_STARTS", "30" if FULL else "0"))
KEY = "canary-7c2e"
MINI, MICRO = "vllm@mini.service", "vllm@micro.service"
GENERATIONS = "/etc/vllm/generations"

site = Site("faults", "faults")


class Moments:
    """Random moments, the same for the same FAULTS_SEED, which is printed."""

    def __init__(self) -> None:
        self.seed = int(os.environ.get("FAULTS_SEED", time.time_ns() % 10**6))
        self._random = random.Random(self.seed)

    def sleep(self, up_to: float) -> float:
        moment = self._random.uniform(0, up_to)
        time.sleep(moment)
        return moment


moments = Moments()


def sequences() -> int:
    """What micro is deployed with now, which is what the tests change."""
    return int(site.run("grep ^max-num-seqs: /etc/vllm/current/services/micro/engine.yaml | cut -d' ' -f2"))


def assert_whole(micro_seqs: int) -> dict[str, Any]:
    """One generation is active, whole and alone, and every service serves what it says."""
    found = site.info()
    assert found["transaction"] is None
    in_force = [generation for generation in found["generations"] if generation["in_force"]]
    assert [generation["number"] for generation in in_force] == [found["generation"]]
    assert all(generation["intact"] and generation["served"] for generation in found["generations"])
    assert [(service["name"], service["healthy"]) for service in found["services"]] == [("mini", True), ("micro", True)]
    assert all(service["as_configured"] for service in found["services"])
    assert sequences() == micro_seqs
    left = site.run(f"ls -A /etc/vllm {GENERATIONS}").split()
    assert not [name for name in left if name.startswith(".") or name == "transaction.json"], left
    return found


def assert_nothing_lost(asked: int, failed: int, first: str) -> None:
    print(f"asked mini {asked} times, {failed} failed {first}")
    assert asked > 0
    assert (failed, first) == (0, "")


def assert_converges(micro_seqs: int) -> None:
    """The next run brings what is wanted, and the one after it finds nothing to do."""
    changes = sequences() != micro_seqs
    ended = site.converge(micro_seqs=micro_seqs)
    assert (ended.changed > 0) is changes, ended.output
    if changes:
        ended = site.converge(micro_seqs=micro_seqs)
        assert ended.changed == 0, ended.output
    assert_whole(micro_seqs)


def assert_refused(ended: Ended, *words: str) -> None:
    assert ended.status != 0, ended.output
    for word in words:
        assert word in ended.flat, ended.output


def await_job() -> tuple[int, int]:
    await_that(lambda: site.job() is not None, "a transaction is under way")
    return site.job() or (0, 0)


def await_nobody_deploys() -> None:
    """Return when the lock is free and stays so: what a killed play has just started may yet take it."""
    ended = "the transaction has ended by itself"
    await_that(lambda: not site.locked(), ended)
    time.sleep(5)
    await_that(lambda: not site.locked(), ended)


def started_change() -> tuple[int, Play]:
    """A deployment that changes micro, from the moment on at which its transaction is under way."""
    wanted = sequences() + 1
    play = site.start(micro_seqs=wanted)
    await_job()
    return wanted, play


def test_files_are_for_those_who_need_them_and_the_manifest_for_root() -> None:
    listed = site.run(f"find /etc/vllm {GENERATIONS}/1 -maxdepth 1 -printf '%p %m %u %g\n'").splitlines()
    modes = {path: access for path, _separator, access in (line.partition(" ") for line in listed)}
    assert modes[f"{GENERATIONS}/1/manifest.json"] == "600 root root"
    assert modes[f"{GENERATIONS}/1/needs.json"] == "640 root vllm"
    assert modes[f"{GENERATIONS}/1"] == "750 root vllm"
    assert modes["/etc/vllm"] == "750 root vllm"


def test_what_was_changed_by_hand_is_shown_and_put_back_without_a_restart() -> None:
    before, running = sequences(), site.pids()
    number = site.current()
    by_hand = (
        f"cd /etc/vllm/{number} && rm services/mini/engine.yaml && chmod 0644 services/mini/secrets"
        " && echo 'STRANGE=\"1\"' >> services/micro/environment && chown vllm services/micro/engine.yaml"
        " && rm /etc/systemd/system/vllm@micro.service.d && systemctl --quiet disable vllm.target"
        " && rm /etc/vllm/current"
    )
    with site.asking("mini", 8002, KEY) as counted:
        site.run(by_hand)
        told = site.play("converge.yml", "--check", "--diff")
        assert told.status == 0, told.output
        assert told.changed == 1
        for line in (
            "+port: 8002",
            '-STRANGE="1"',
            "-(it has mode 0640 and belongs to",
            "+-> /etc/vllm/current/systemd/vllm@micro.service.d",
            "+-> /etc/vllm/current/systemd/vllm.target",
            f"+-> {number}",
        ):
            assert line in told.output, told.output
        assert KEY not in told.output
        assert site.run("ls /etc/vllm") == "digest.key\ngenerations", "check mode changed nothing"
        repaired = site.converge()
        assert repaired.changed == 1, repaired.output
        assert site.converge().changed == 0
        assert_nothing_lost(*counted())
    assert site.pids() == running
    assert site.run("systemctl is-enabled vllm.target") == "enabled"
    found = site.info()
    damaged = [item for item in found["generations"] if not item["intact"]]
    assert [f"generations/{item['number']}" for item in damaged] == [number]
    assert "services/mini/engine.yaml is gone" in damaged[0]["problem"]
    refused = site.play("playbooks/rollback.yml", vllm_services_generation=damaged[0]["number"])
    assert_refused(refused, f"generation {damaged[0]['number']} is not as it was written", "nothing was changed")
    assert site.pids() == running
    # Out of the way of what follows, as its age would bring with it.
    site.run(f"rm -r /etc/vllm/{number}")
    assert_whole(before)


def test_a_full_disk_is_found_before_anything_stops() -> None:
    before, running, number = sequences(), site.pids(), site.current()
    site.run(
        f"cp -a {GENERATIONS} /srv/aside && size=$(du -sk {GENERATIONS} | cut -f1)"
        f" && mount -t tmpfs -o mode=0750,size=$((size + 40))k tmpfs {GENERATIONS}"
        f" && cp -a /srv/aside/. {GENERATIONS}/ && rm -r /srv/aside"
    )
    try:
        refused = site.play(micro_seqs=before + 1)
        assert_refused(refused, "cannot write generation", "No space left on device", "make room")
        assert (site.pids(), site.current()) == (running, number)
        assert_whole(before)
    finally:
        site.run(f"umount --lazy {GENERATIONS}")
    assert site.converge(micro_seqs=before).changed == 0
    assert site.pids() == running


def test_weights_that_are_cut_off_are_refused_and_the_engine_serves_on() -> None:
    before, running = sequences(), site.pids()
    weights = "/srv/own/micro/model.safetensors"
    # Beside, and then in its place: cut off under an engine that has it mapped, it would end that engine.
    site.run(f"cp -a {weights} /srv/cut && truncate --size=-1000 /srv/cut")
    site.run(f"mv {weights} /srv/whole && mv /srv/cut {weights}")
    try:
        assert_refused(site.play(micro_seqs=before + 1), f"{weights} is cut off", "Fetch it again")
        assert_whole(before)
    finally:
        site.run(f"mv /srv/whole {weights}")
    assert site.converge(micro_seqs=before).changed == 0
    assert site.pids() == running


def test_weights_that_a_generation_needs_are_not_overwritten_by_another_revision() -> None:
    record = "/srv/own/micro/.fetched.json"
    site.run(
        f"""echo '{{"repo_id": "small/qwen3-micro", "revision": "first", "commit": "1", "files": {{}}}}' > {record}"""
    )
    refused = site.play("models.yml")
    assert_refused(refused, "/srv/own/micro holds small/qwen3-micro@first, which a generation that faults keeps")
    site.run(f"rm {record}")


def test_a_stolen_port_is_named_and_its_service_starts_when_it_is_free() -> None:
    before, mini = sequences(), site.pids()[MINI]
    with site.asking("mini", 8002, KEY) as counted:
        site.run("systemctl stop vllm@micro && systemd-run --quiet --unit=thief python3 -m http.server 8003")
        await_that(lambda: "8003" in site.run("ss -Hltn"), "the thief listens")
        assert_refused(site.play(micro_seqs=before), "service 'micro' cannot listen on 127.0.0.1:8003")
        site.run("systemctl stop thief")
        assert site.converge(micro_seqs=before).changed == 1
        assert_nothing_lost(*counted())
    assert site.pids()[MINI] == mini
    assert_whole(before)


def test_bad_weights_fail_their_gate_and_the_old_ones_serve_again() -> None:
    before, number, mini = sequences(), site.current(), site.pids()[MINI]
    with site.asking("mini", 8002, KEY) as counted:
        refused = site.play(micro_seqs=before + 1, micro_model="/srv/own/bad")
        assert_refused(refused, "service 'micro' did not pass its gate", "rolled_back_to:")
        assert_nothing_lost(*counted())
    assert (site.current(), site.pids()[MINI]) == (number, mini)
    assert_whole(before)
    assert site.converge(micro_seqs=before).changed == 0


@pytest.mark.parametrize("time_of", range(KILLS))
def test_a_killed_play_changes_nothing_for_the_host_and_a_second_one_is_told_who_the_first_is(time_of: int) -> None:
    before, mini = sequences(), site.pids()[MINI]
    with site.asking("mini", 8002, KEY) as counted:
        if time_of == 0:
            wanted, play = started_change()
            record = site.run("stat --format='%a %U %G' /etc/vllm/transaction.json")
            assert record == "600 root root"
            open_one = site.info()["transaction"]
            assert (open_one["before"], open_one["new"]) == (int(site.current().split("/")[1]), True) or (
                open_one["after"] == int(site.current().split("/")[1])
            )
            job = site.job()
            assert job is not None
            assert f"process {job[1]}" in open_one["holder"]
            second = site.play(micro_seqs=wanted + 7)
            assert_refused(
                second, "this host is being deployed or measured by", "(play 'Serve two models", "process", "since 20"
            )
            assert_refused(second, "its progress in /run/llmops-inference/job-")
        else:
            wanted = before + 1
            play = site.start(micro_seqs=wanted)
        moment = moments.sleep(25)
        ended_before = play.has_ended
        play.kill()
        print(f"killed the play after {moment:.1f} s (seed {moments.seed}){', when it had ended' * ended_before}")
        await_nobody_deploys()
        assert site.pids()[MINI] == mini
        found = sequences()
        assert found in (before, wanted)
        assert_whole(found)
        assert_converges(wanted)
        assert_nothing_lost(*counted())


@pytest.mark.parametrize("time_of", range(PROCESS_KILLS))
def test_of_a_killed_transaction_its_parent_brings_back_what_served(time_of: int) -> None:
    before, number, mini = sequences(), site.current(), site.pids()[MINI]
    with site.asking("mini", 8002, KEY) as counted:
        wanted, play = started_change()
        supervisor, worker = await_job()
        moment = moments.sleep(25)
        killed = site.run(f"kill -KILL {worker} && echo killed", check=False) == "killed"
        print(f"killed the transaction after {moment:.1f} s (seed {moments.seed}){'' if killed else ', too late'}")
        ended = play.wait()
        await_that(lambda: not site.run(f"ls -d /proc/{supervisor}", check=False), "its parent has ended")
        if ended.status != 0:
            assert_refused(ended, "the transaction was killed by signal 9", "serves again")
            assert site.current() == number
        assert_whole(before if ended.status != 0 else wanted)
        assert_converges(wanted)
        assert_nothing_lost(*counted())
    assert site.pids()[MINI] == mini


@pytest.mark.parametrize("time_of", range(PROCESS_KILLS))
def test_with_nobody_left_to_go_the_way_back_the_next_run_does_also_where_it_is_refused(time_of: int) -> None:
    before, mini = sequences(), site.pids()[MINI]
    with site.asking("mini", 8002, KEY) as counted:
        wanted, play = started_change()
        pids = await_job()
        moment = moments.sleep(25)
        killed = site.run(f"kill -KILL {pids[0]} {pids[1]} && echo killed", check=False) == "killed"
        print(f"killed both after {moment:.1f} s (seed {moments.seed}){'' if killed else ', too late'}")
        ended = play.wait()
        if ended.status != 0:
            assert_refused(ended, "ended without a result")
            left = site.info()["transaction"]
            assert left is None or left["holder"] is None
            if left and time_of % 2 == 0:
                refused = site.play(micro_seqs=wanted, vllm_services_gpu_memory_budget=0.05)
                assert_refused(refused, "The layout does not fit this host")
                assert_whole(before)
            elif left:
                ended = site.converge(micro_seqs=wanted)
                assert "was interrupted; the host goes on from generation" in ended.flat
        assert_converges(wanted)
        assert_nothing_lost(*counted())
    assert site.pids()[MINI] == mini


def test_a_host_that_loses_power_in_the_middle_boots_into_what_served() -> None:
    before, number = sequences(), site.current()
    wanted, play = started_change()
    await_that(lambda: sequences() == wanted, "the new generation is active, and not proven")
    moment = moments.sleep(10)
    site.loses_power()
    print(f"the power failed {moment:.1f} s after the switch")
    assert_refused(play.wait())
    await_that(
        lambda: site.run("systemctl is-active vllm@mini vllm@micro", check=False) == "active\nactive", "they serve"
    )
    assert site.current() == number
    said = site.run("journalctl --boot --unit=vllm-recover --output=cat --no-pager")
    assert f"rolling back to generation {number.split('/')[1]}" in said, said
    assert site.run("systemctl show --value -p Result vllm-recover") == "success"
    times = {
        unit: site.run(f"systemctl show --value -p {what} {unit}")
        for unit, what in ((MINI, "ActiveEnterTimestampMonotonic"), (MICRO, "ExecMainStartTimestampMonotonic"))
    }
    assert int(times[MINI]) <= int(times[MICRO]), "micro started when mini had generated a token"
    assert_whole(before)
    assert_converges(wanted)
    failed = site.run("systemctl --failed --plain --no-legend | grep vllm", check=False)
    assert failed == ""


def test_rolling_back_returns_to_what_served_before_once_and_forward_again_is_a_new_generation() -> None:
    now, number, mini = sequences(), site.current(), site.pids()[MINI]
    with site.asking("mini", 8002, KEY) as counted:
        told = site.play("playbooks/rollback.yml", "--check", "--diff")
        assert told.status == 0, told.output
        assert f"--> {number}" in told.output, told.output
        assert f"-max-num-seqs: {now}" in told.output, told.output
        assert (sequences(), told.changed) == (now, 1)
        returned = site.play("playbooks/rollback.yml")
        assert (returned.status, returned.changed) == (0, 1), returned.output
        assert "http://127.0.0.1:8003/v1" in returned.output, "the endpoints are shown"
        assert sequences() == now - 1
        again = site.play("playbooks/rollback.yml")
        assert (again.status, again.changed) == (0, 0), again.output
        found = assert_whole(now - 1)
        kept = [generation["number"] for generation in found["generations"]]
        assert int(number.split("/")[1]) in kept, "what was rolled back from stays until it is collected"
        assert_nothing_lost(*counted())
    assert site.pids()[MINI] == mini


@pytest.mark.skipif(not FULL, reason="four starts of engines: FAULTS=full")
def test_an_engine_upgrade_is_rolled_back_with_its_version() -> None:
    """The other version is the same engine under a local label: what is shown is the way, not another vLLM."""
    before = sequences()
    label = "0.32.0+relabelled"
    site.run(
        f"mkdir -p /opt/vllm/{label}/bin && cp /opt/vllm/0.32.0/bin/vllm /opt/vllm/{label}/bin/"
        f" && ln -s ../0.32.0/lib /opt/vllm/{label}/lib"
        f' && sed \'s/"version": "0.32.0"/"version": "{label}"/\' /opt/vllm/0.32.0/engine.json'
        f" > /opt/vllm/{label}/engine.json"
    )
    site.converge(micro_seqs=before, vllm_services_engine_version=label)
    assert f"/opt/vllm/{label}/bin/vllm" in site.run("cat /proc/$(systemctl show --value -p MainPID vllm@mini)/cmdline")
    upgraded = assert_whole(before)["generation"]
    returned = site.play("playbooks/rollback.yml")
    assert (returned.status, returned.changed) == (0, 1), returned.output
    assert "/opt/vllm/0.32.0/bin/vllm" in site.run("cat /proc/$(systemctl show --value -p MainPID vllm@mini)/cmdline")
    running = site.pids()
    site.run(f"mv /opt/vllm/{label} /srv/gone")
    refused = site.play("playbooks/rollback.yml", vllm_services_generation=upgraded)
    assert_refused(refused, f"/opt/vllm/{label}/bin/vllm is gone", "nothing was changed", "vllm_runtime")
    assert site.pids() == running
    found = assert_whole(before)
    versions = {item["number"]: item["engine_version"] for item in found["generations"]}
    assert (versions[upgraded], versions[found["generation"]]) == (label, "0.32.0")


def cache_sizes() -> dict[str, list[int]]:
    """Tokens that the KV cache of each engine holds, as each start of it said itself."""
    said = site.run("journalctl --no-pager --output=json --output-fields=MESSAGE,_SYSTEMD_UNIT --grep='KV cache size'")
    sizes: dict[str, list[int]] = {MINI: [], MICRO: []}
    for line in map(json.loads, said.splitlines()):
        tokens = re.findall(r"KV cache size: ([\d,]+) tokens", line["MESSAGE"])
        sizes[line["_SYSTEMD_UNIT"]] += [int(size.replace(",", "")) for size in tokens]
    return sizes


ORDERS = (
    f"systemctl start {MINI} && systemctl start {MICRO}",
    f"systemctl start {MICRO} && systemctl start {MINI}",
    f"systemctl start {MINI} {MICRO}",
)


def test_every_start_finds_the_same_room_for_its_cache_in_whatever_order() -> None:
    """All starts so far and, in full, as many more in turn in both orders and at once: within 1 % of each other."""
    for number in range(STARTS):
        # By name, too, or a start would take back the stop that the target has asked for and nobody waits for.
        site.run(f"systemctl stop vllm.target {MINI} {MICRO} && {ORDERS[number % len(ORDERS)]}")
    for unit, sizes in cache_sizes().items():
        spread = (max(sizes) - min(sizes)) / min(sizes)
        print(f"{unit}: {len(sizes)} starts, {min(sizes)} to {max(sizes)} tokens, {spread:.4%} apart")
        assert len(sizes) > STARTS, "the journal of this boot has the start after the power failed, and those asked for"
        assert spread <= 0.01
