# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transaction that is killed before any one of its operations, or fails, ends in a generation that served.

The store, the links and the record are the real ones on a real disk. Only systemd is a table of units in a file, so
that a process can die and leave it behind.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._deploy import deployment
from ansible_collections.llmops.inference.plugins.module_utils._deploy.changes import Changes
from ansible_collections.llmops.inference.plugins.module_utils._deploy.deployment import Deployment
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._generation.files import File, tickets
from ansible_collections.llmops.inference.plugins.module_utils._generation.store import GenerationStore
from ansible_collections.llmops.inference.plugins.module_utils._generation.transaction import TransactionRecord
from ansible_collections.llmops.inference.plugins.module_utils._generation.unit_links import UnitLinks
from ansible_collections.llmops.inference.plugins.module_utils._host.systemd import Systemd
from ansible_collections.llmops.inference.plugins.module_utils._places import RAY_HEAD_UNIT, Paths
from ansible_collections.llmops.inference.plugins.module_utils._service import ticket as ticket_module
from ansible_collections.llmops.inference.plugins.module_utils._service.ticket import Ticket

# Operations on files and commands that a transaction has at the very least; fewer, and the tests would see nothing.
LEAST_OPERATIONS = 60
# Each is tried by the profile "thorough" of conftest.py, every so-many-th otherwise.
STRIDE = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 8
KILLED = 9


class Units:
    """A table of units: what runs, and with which digest. A start of a service with ``port`` 0 fails."""

    # While a command of systemd runs, no file of the host is at work.
    busy = False

    def __init__(self, base: Path) -> None:
        self._table = base / "units.json"
        self._current = base / "vllm/current"
        self._ray = base / "systemd" / RAY_HEAD_UNIT
        # Of every stop of Ray, whether its file was still there.
        self.ray_stopped: list[bool] = []

    @property
    def running(self) -> dict[str, str]:
        """Service -> digest that it was started with."""
        return dict(json.loads(self._table.read_text())) if self._table.exists() else {}

    def _write(self, running: Mapping[str, str]) -> None:
        self._table.write_text(json.dumps(running))

    def power_fails(self) -> None:
        self._write({})

    def __call__(self, command: Sequence[str]) -> tuple[int, str, str]:
        Units.busy = True
        try:
            return self._answer(command)
        finally:
            Units.busy = False

    def _answer(self, command: Sequence[str]) -> tuple[int, str, str]:
        program, verb, *rest = command
        names = [word[len("vllm@") : -len(".service")] for word in rest if word.startswith("vllm@") and "*" not in word]
        if program == "journalctl":
            return 0, "", ""
        if verb == "list-units":
            return 0, "".join(f"vllm@{name}.service loaded active running x\n" for name in self.running), ""
        if verb == "show":
            return 0, "\n\n".join(self._shown(name) for name in names), ""
        if verb == "stop" and RAY_HEAD_UNIT in rest:
            self.ray_stopped.append(self._ray.exists())
        running = self.running
        for name in names:
            if verb == "stop":
                running.pop(name, None)
            if verb == "start" and name not in running:
                ticket = Ticket.from_json((self._current / "services" / name / "guard.json").read_text())
                path = ticket_module.started_path(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps({"digest": ticket.digest}))
                if ticket.port:
                    running[name] = ticket.digest
        self._write(running)
        return 0, "", ""

    def _shown(self, name: str) -> str:
        state = "active" if name in self.running else "inactive"
        return f"Id=vllm@{name}.service\nActiveState={state}\nSubState=x\nResult=success\nNRestarts=0\nMainPID=1"


def files_of(**digests: str) -> dict[str, File]:
    """A generation of these services; the digest "bad" never serves."""
    files = {"plan.json": File(json.dumps(digests)), "systemd/vllm@.service": File("[Unit]\n")}
    for name, digest in digests.items():
        ticket = Ticket(name, name, "127.0.0.1", 0 if digest == "bad" else 1, {}, 60, 0, digest)
        files[f"services/{name}/guard.json"] = File(ticket.to_json())
        files[f"services/{name}/secrets"] = File(f'K="{digest}"\n', secret=True)
        # One that comes is a container, so that the rollback is one from either kind to the other.
        unit = "containers/vllm@added.container" if name == "added" else f"systemd/vllm@{name}.service.d/10-plan.conf"
        files[unit] = File("[Service]\n")
    return files


OLD = files_of(mini="1", micro="1", left="1")
NEW = files_of(mini="2", micro="1", added="1")


class Host:
    """A host with nothing on it yet."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.units = Units(base)
        (base / "systemd").mkdir(parents=True)
        paths = Paths(
            config_root=str(base / "vllm"),
            unit_directory=str(base / "systemd"),
            quadlet_directory=str(base / "quadlets"),
        )
        self.links = UnitLinks(paths)
        self.store = GenerationStore(paths.config_root, os.getgid())
        self.record = TransactionRecord(paths.transaction)
        self.deployment = Deployment(self.store, self.record, Systemd(self.units), self.links, 1, by="a test")

    def compare(self, wanted: Mapping[str, File], kept: int | None = None) -> Changes:
        return self.deployment.compare(sorted(tickets(wanted)), wanted, kept)

    def deploy(self, wanted: Mapping[str, File], keep: int = 5, kept: int | None = None) -> int:
        return self.deployment.apply(self.compare(wanted, kept), wanted, keep, kept)

    def assert_serves(self, wanted: Mapping[str, File], number: int) -> None:
        """Exactly these files are active and run, and nothing else is left of anything."""
        known = tickets(wanted)
        assert self.store.current() == number
        assert self.store.read(number) == dict(wanted)
        assert self.store.damage(number) == {}
        assert self.links.differences(wanted) == {}
        assert self.record.read() is None
        assert self.units.running == {name: ticket.digest for name, ticket in known.items()}
        assert not self.compare(wanted).any

    def leftovers(self) -> list[str]:
        return [path.name for path in (self.base / "vllm/generations").glob(".*")]


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticket_module, "RUNTIME_DIRECTORY", tmp_path / "run")
    monkeypatch.setattr(deployment, "_POLL_SECONDS", 0)
    # Whether a service that is active generates is a question to a real engine, which the scenarios ask.
    monkeypatch.setattr(deployment, "generate", lambda *arguments, **keys: None)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = serving(tmp_path)
    made.assert_serves(OLD, 1)
    return made


def killed_before(operation: int, work: Callable[[], object]) -> bool:
    """Do ``work`` in a child that is gone before its so-many-th operation on files; False when it had fewer."""
    pid = os.fork()
    if pid == 0:
        done = 0

        def count(event: str, arguments: object) -> None:
            nonlocal done
            if event.startswith(("open", "os.", "shutil.")) and event not in ("os.listdir", "os.scandir"):
                done += 1
                if done == operation:
                    os._exit(KILLED)

        sys.addaudithook(count)
        work()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, KILLED), "the work itself failed"
    return status == KILLED


def kills(fresh: Callable[[Path], Host], work: Callable[[Host], object], check: Callable[[Host], object]) -> None:
    """Kill ``work`` before its operations in turn, on a ``fresh`` host each time, and check what is left."""
    operation = 1
    with tempfile.TemporaryDirectory() as base:
        while True:
            host = fresh(Path(base) / str(operation))
            if not killed_before(operation, lambda host=host: work(host)):  # type: ignore[misc]
                break
            check(host)
            operation += STRIDE
    assert operation > LEAST_OPERATIONS


def serving(base: Path) -> Host:
    """A host on which OLD serves as generation 1."""
    host = Host(base)
    assert host.deploy(OLD) == 1
    return host


def test_wherever_the_process_is_killed_its_parent_brings_back_what_served() -> None:
    def check(host: Host) -> None:
        ended = host.record.read() is None and host.store.current() == 2
        host.deployment.recover()
        host.assert_serves(NEW if ended else OLD, 2 if ended else 1)

    kills(serving, lambda host: host.deploy(NEW), check)


def test_wherever_the_process_is_killed_the_next_run_converges() -> None:
    def check(host: Host) -> None:
        host.deploy(NEW)
        host.assert_serves(NEW, 2)
        assert host.store.numbers() == [1, 2]
        assert host.leftovers() == []

    kills(serving, lambda host: host.deploy(NEW), check)


def test_wherever_the_power_fails_the_host_boots_into_what_served() -> None:
    def check(host: Host) -> None:
        ended = host.record.read() is None and host.store.current() == 2
        host.units.power_fails()
        host.deployment.recover(wait=False)
        if not host.units.running:  # nothing was open, and systemd itself starts what is active
            Systemd(host.units).start(tickets(host.store.in_force()))
        host.assert_serves(NEW if ended else OLD, 2 if ended else 1)

    kills(serving, lambda host: host.deploy(NEW), check)


def test_a_killed_way_back_is_gone_again() -> None:
    def work(host: Host) -> None:
        with pytest.raises(InferenceError):
            host.deploy(files_of(mini="bad", added="1"))

    def check(host: Host) -> None:
        host.deployment.recover()
        host.assert_serves(OLD, 1)

    kills(serving, work, check)


def test_a_killed_return_to_a_kept_generation_keeps_both() -> None:
    def fresh(base: Path) -> Host:
        host = serving(base)
        host.deploy(NEW)
        return host

    def check(host: Host) -> None:
        ended = host.record.read() is None and host.store.current() == 1
        host.deployment.recover()
        host.assert_serves(OLD if ended else NEW, 1 if ended else 2)
        assert host.store.numbers() == [1, 2]

    kills(fresh, lambda host: host.deploy(OLD, kept=1), check)


def test_a_first_deployment_that_is_killed_leaves_nothing_in_force() -> None:
    def check(host: Host) -> None:
        if host.record.read() is None and host.store.current() == 1:
            host.assert_serves(OLD, 1)
            return
        host.deployment.recover()
        assert (host.units.running, host.store.current(), host.links.present()) == ({}, None, set())

    kills(Host, lambda host: host.deploy(OLD), check)


def failing_at(operation: int, code: int, work: Callable[[], object]) -> bool:
    """Do ``work`` in a child whose so-many-th operation on the host's files fails; False when it had fewer."""
    pid = os.fork()
    if pid == 0:
        done = 0

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal done
            if event.startswith(("open", "os.", "shutil.")) and event != "os.fork" and not Units.busy:
                done += 1
                if done == operation:
                    raise OSError(code, os.strerror(code))

        sys.addaudithook(count)
        with contextlib.suppress(InferenceError, OSError):
            work()
        os._exit(KILLED if done >= operation else 0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, KILLED), "the work ended in an error that nobody would understand"
    return status == KILLED


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("new", [NEW, files_of(mini="bad", added="1")], ids=["good", "bad"])
def test_wherever_a_file_fails_every_service_serves_afterwards(code: int, new: Mapping[str, File]) -> None:
    operation = 1
    with tempfile.TemporaryDirectory() as base:
        while True:
            host = serving(Path(base) / str(operation))
            if not failing_at(operation, code, lambda host=host: host.deploy(new)):  # type: ignore[misc]
                break
            expected = [{name: ticket.digest for name, ticket in tickets(files).items()} for files in (OLD, new)]
            assert host.units.running in expected, f"operation {operation}"
            host.deployment.recover()
            served = host.store.current()
            host.assert_serves(OLD if served == 1 else new, served or 0)
            operation += STRIDE
    assert operation > LEAST_OPERATIONS


def test_progress_that_cannot_be_told_changes_nothing(host: Host) -> None:
    def full(service: str, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    deployment = Deployment(host.store, host.record, Systemd(host.units), host.links, 1, report=full)
    with pytest.raises(InferenceError, match="service 'mini' did not pass its gate"):
        deployment.apply(host.compare(files_of(mini="bad")), files_of(mini="bad"), 5)
    host.assert_serves(OLD, 1)


def test_a_record_that_the_disk_does_not_tell_is_no_absent_one(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> str:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(Path, "read_text", broken)
    with pytest.raises(InferenceError, match="tells whether a change was interrupted"):
        host.deployment.base()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    "spoil",
    [
        _fifo,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.mkdir(),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text('"digest"'),
        lambda path: path.write_text("[" * 100_000),
        lambda path: path.write_text('{"digest": ' + "9" * 2_000_000 + "}"),
        lambda path: path.write_bytes(b"\xff\xfe"),
    ],
    ids=["pipe", "endless", "directory", "list", "text", "deep", "large", "binary"],
)
def test_a_file_that_a_service_has_spoilt_restarts_it_and_nothing_else(
    host: Host, spoil: Callable[[Path], None]
) -> None:
    path = ticket_module.started_path("mini")
    path.unlink()
    spoil(path)
    assert list(host.compare(OLD).restart) == ["mini"]


def test_a_directory_that_a_service_has_swapped_for_a_link_is_not_followed(host: Host, tmp_path: Path) -> None:
    place = ticket_module.started_path("mini").parent
    place.rename(tmp_path / "moved")
    place.symlink_to(tmp_path / "moved")
    assert list(host.compare(OLD).restart) == ["mini"]


def test_a_service_that_fails_its_gate_costs_nothing(host: Host) -> None:
    with pytest.raises(InferenceError, match="service 'mini' did not pass its gate") as refused:
        host.deploy(files_of(mini="bad", added="1"))
    assert refused.value.details["rolled_back_to"] == 1
    host.assert_serves(OLD, 1)
    assert host.store.numbers() == [1]


def test_ray_is_stopped_before_its_file_goes_and_only_then(tmp_path: Path) -> None:
    def on_ray(**digests: str) -> dict[str, File]:
        return {**files_of(**digests), f"systemd/{RAY_HEAD_UNIT}": File("[Unit]\n")}

    host = Host(tmp_path)
    host.deploy(on_ray(large="1", mini="1"))
    host.deploy(on_ray(large="1"))
    assert host.units.ray_stopped == []
    host.deploy(files_of(mini="1"))
    assert host.units.ray_stopped == [True]

    host = Host(tmp_path / "first")
    with pytest.raises(InferenceError):
        host.deploy(on_ray(large="bad"))
    assert host.units.ray_stopped == [True]


def test_a_full_disk_is_found_before_anything_stops(host: Host) -> None:
    before = host.units.running
    with pytest.raises(InferenceError, match="cannot write generation 2"):
        host.deploy({**NEW, "x" * 300: File("a name that no file system takes")})
    assert host.units.running == before
    host.assert_serves(OLD, 1)


def test_returning_keeps_the_later_generation_and_the_next_one_has_a_new_number(host: Host) -> None:
    host.deploy(NEW)
    assert host.deploy(OLD, kept=1) == 1
    host.assert_serves(OLD, 1)
    assert host.store.numbers() == [1, 2]
    assert not host.compare(OLD, kept=1).any, "there already"
    assert host.deploy(NEW) == 3
    host.assert_serves(NEW, 3)
    manifest = host.store.manifest(3)
    assert manifest is not None
    assert manifest.replaces == 1


def test_a_return_that_does_not_serve_goes_back_to_where_it_came_from_and_keeps_both(host: Host) -> None:
    host.deploy(NEW)
    spoilt = files_of(mini="bad")
    host.store.write(spoilt, 3, replaces=2)
    with pytest.raises(InferenceError, match="did not pass its gate"):
        host.deploy(spoilt, kept=3)
    host.assert_serves(NEW, 2)
    assert host.store.numbers() == [1, 2, 3]


def test_a_change_by_hand_is_put_back_without_a_restart(host: Host) -> None:
    running = host.units.running
    base = host.store.path(1)
    (base / "plan.json").write_text("{}")
    (base / "services/mini/secrets").chmod(0o644)
    (base / "services/micro/guard.json").unlink()
    (base / "services/left").chmod(0o777)
    (base / "services/left/override.conf").write_text("")
    next(iter(sorted(host.links.present()))).unlink()
    changes = host.compare(OLD)
    assert changes.files == [
        "plan.json",
        "services/left",
        "services/left/override.conf",
        "services/micro/guard.json",
        "services/mini/secrets",
    ]
    assert (len(changes.links), changes.touched, list(changes.remove)) == (1, [], [])
    assert host.deploy(OLD) == 2
    host.assert_serves(OLD, 2)
    assert host.units.running == running


@pytest.mark.parametrize("lost", ["gone", "dangling"])
def test_a_lost_link_to_the_generation_is_put_back_without_a_restart(host: Host, lost: str) -> None:
    host.deploy(NEW)
    host.store.link.unlink()
    if lost == "dangling":
        host.store.link.symlink_to("generations/77")
    changes = host.compare(NEW)
    now = None if lost == "gone" else "generations/77"
    assert changes.links[str(host.store.link)] == (now, "generations/2")
    assert (changes.files, changes.touched) == ([], [])
    assert host.deploy(NEW) == 2
    host.assert_serves(NEW, 2)


def test_the_record_belongs_to_root_alone_and_says_who_and_when(host: Host) -> None:
    def work() -> None:
        host.deployment._switch = lambda *arguments: os._exit(KILLED)  # type: ignore[method-assign]
        host.deploy(NEW)

    assert killed_before(sys.maxsize, work)
    status = (host.base / "vllm/transaction.json").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o600, 0, 0)
    transaction = host.record.read()
    assert transaction is not None
    assert (transaction.before, transaction.after, transaction.new, transaction.by) == (1, 2, True, "a test")
    assert transaction.since.startswith("20")


def test_a_record_that_a_hand_has_spoilt_is_none(host: Host) -> None:
    (host.base / "vllm/transaction.json").write_text("not ours")
    assert host.record.read() is None
    assert host.deploy(NEW) == 2
    host.assert_serves(NEW, 2)
