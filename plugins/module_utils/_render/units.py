# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of the systemd units: templates, a drop-in and a timer per service, a target, the rollback at boot. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .._places import RAY_DIRECTORY, RECOVER_UNIT, Paths, group_name, timer_name, unit_name
from .._plan.plan import PlannedService
from .._service.watchdog import Watchdog

# Attempts before systemd gives a service up for failed, and the pause between them (seconds).
START_LIMIT_BURST = 3
RESTART_PAUSE_SECONDS = 5
# What the engine may take beyond its own shutdown timeout to stop (seconds), after which it is killed.
STOP_MARGIN_SECONDS = 20

# What the rollback at boot, which runs as root, can do without.
_RECOVER_HARDENING = (
    "CapabilityBoundingSet=CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE",
    "IPAddressDeny=any",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "NoNewPrivileges=yes",
    "PrivateDevices=yes",
    "PrivateMounts=yes",
    "PrivateNetwork=yes",
    "PrivateTmp=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHome=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectSystem=strict",
    "RestrictAddressFamilies=AF_UNIX",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@resources",
    "UMask=0077",
)

# Nodes of the driver that every CUDA process opens, beside the GPU's own.
DRIVER_NODES = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset")

# What holds for everything that runs code here.
_COMMON_HARDENING = (
    "AmbientCapabilities=",
    "CapabilityBoundingSet=",
    "DevicePolicy=closed",
    "KeyringMode=private",
    "LockPersonality=yes",
    "NoNewPrivileges=yes",
    "PrivateMounts=yes",
    "PrivateTmp=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHome=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "ProtectSystem=strict",
    "RemoveIPC=yes",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "SystemCallErrorNumber=EPERM",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
    "UMask=0077",
)
_NO_DEVICES = ("PrivateDevices=yes", "PrivateUsers=yes")


@dataclass(frozen=True)
class Instance:
    """What the drop-in of one service says, beside what the plan knows.

    Times in seconds; ``memory_max`` and ``memory_high`` are systemd sizes (``64G``, ``80%``) of host memory or None;
    ``device_minors`` are the minor numbers of the service's GPUs, empty on the cpu accelerator. ``on_socket``: it
    listens on its unix socket and has no network.
    """

    planned: PlannedService
    executable: str
    start_timeout: int
    shutdown_timeout: int
    neighbours: int
    peers: Sequence[str] | None  # addresses and networks beside loopback; None: anybody
    memory_max: str | None
    memory_high: str | None
    device_minors: Sequence[int]
    on_socket: bool
    watched: bool
    has_secrets: bool
    grouped: bool = False  # it runs on several hosts, which tell each other how it is
    follows: bool = False  # it starts when the first of these does
    ray_unit: str | None = None  # of Ray on this host, where that starts the ranks
    holds: bool = False  # Ray's unit has the ranks of this host, and this one their devices


def template(paths: Paths, accelerator: str) -> str:
    """``vllm@.service``: everything that is the same for every service of the host.

    Restart=always, because a crashed engine exits 0. The start limit gives up a service that does not come to serve;
    one that does has its attempts forgotten (reset-failed needs root), else the third crash within an hour would be
    its last. KillMode=mixed, because SIGTERM to the workers breaks the requests in flight, and because what the main
    process leaves behind must not keep the GPU.
    """
    program = guard(paths)
    sections = [
        section("Unit", *about("%i", paths)),
        section(
            "Service",
            "Type=exec",
            f"User={paths.user}",
            f"Group={paths.group}",
            "WorkingDirectory=/var/lib/vllm/services/%i",
            "StateDirectory=vllm/services/%i",
            "StateDirectoryMode=0750",
            "CacheDirectory=vllm/%i",
            "CacheDirectoryMode=0750",
            "RuntimeDirectory=vllm/locks vllm/%i",
            "RuntimeDirectoryMode=0750",
            "RuntimeDirectoryPreserve=yes",
            f"EnvironmentFile={paths.current}/services/%i/environment",
            f"EnvironmentFile=-{paths.current}/services/%i/secrets",
            f"ExecStartPre={program} admit %i",
            f"ExecStartPost={program} ready %i",
            "ExecStartPost=+systemctl reset-failed %n",
            f"ExecStopPost={program} release %i",
            "Restart=always",
            f"RestartSec={RESTART_PAUSE_SECONDS}",
            "KillMode=mixed",
            "OOMPolicy=kill",
            "LimitNOFILE=65536",
            "LimitMEMLOCK=infinity",
            "SyslogIdentifier=vllm-%i",
        ),
        "\n".join(
            ["# Hardening: the engine runs code of others on input of strangers.", *engine_hardening(accelerator)]
        ),
    ]
    return "\n\n".join(sections) + "\n"


def about(name: str, paths: Paths) -> list[str]:
    """What a service is, and what must be there before it: lines of ``[Unit]``."""
    return [
        f"Description=vLLM model endpoint {name}",
        "Documentation=https://docs.vllm.ai",
        "PartOf=vllm.target",
        f"After=network.target nvidia-persistenced.service {RECOVER_UNIT}",
        f"AssertPathExists={paths.current}/services/{name}/engine.yaml",
    ]


def watchdog_template(paths: Paths) -> str:
    """``vllm-watchdog@.service``: one look at a service, as its own user.

    That user may kill the engine, which is all that a restart takes. systemd would log three lines of every look;
    what the watchdog itself says is a notice.
    """
    sections = [
        section(
            "Unit",
            "Description=Look at the vLLM model endpoint %i",
            f"PartOf={unit_name('%i')}",
            f"After={unit_name('%i')}",
        ),
        section(
            "Service",
            "Type=oneshot",
            f"User={paths.user}",
            f"Group={paths.group}",
            f"EnvironmentFile=-{paths.current}/services/%i/secrets",
            f"ExecStart={guard(paths)} look %i",
            "TimeoutStartSec=15min",
            "StateDirectory=vllm/watchdog/%i",
            "StateDirectoryMode=0750",
            "ReadWritePaths=/run/vllm/%i",
            "LogLevelMax=notice",
            "SyslogIdentifier=vllm-watchdog-%i",
        ),
        "\n".join(["# Hardening: it reads what the engine answers.", *_watchdog_hardening()]),
    ]
    return "\n\n".join(sections) + "\n"


def _watchdog_hardening() -> list[str]:
    lines = ["MemoryDenyWriteExecute=yes", "ProcSubset=pid", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"]
    return sorted([*_COMMON_HARDENING, *_NO_DEVICES, *lines], key=lambda line: line.split("=")[0])


def group_template(paths: Paths, hosts: Sequence[str]) -> str:
    """``vllm-group@.service``: tells the other hosts of a service how its part here is, and ends it where it has to.

    ``hosts`` are the addresses of all hosts that any service here is on, this one included. As the service's own user
    it may kill the engine, and no more.
    """
    sections = [
        section(
            "Unit",
            "Description=This host's part of the vLLM model endpoint %i",
            f"PartOf={unit_name('%i')}",
            "After=network-online.target",
            "Wants=network-online.target",
            # The address may come late; the others wait.
            "StartLimitIntervalSec=0",
        ),
        section(
            "Service",
            "Type=exec",
            f"User={paths.user}",
            f"Group={paths.group}",
            f"ExecStart={guard(paths)} group %i",
            "Restart=always",
            "RestartSec=1",
            "SyslogIdentifier=vllm-group-%i",
            *(f"IPAddressAllow={address}" for address in hosts),
            "IPAddressDeny=any",
        ),
        "\n".join(["# Hardening: it reads what other hosts answer.", *_watchdog_hardening()]),
    ]
    return "\n\n".join(sections) + "\n"


def timer(service: str, watchdog: Watchdog) -> str:
    """``vllm-watchdog@NAME.timer``, which runs only while the service does."""
    lines = [f"OnActiveSec={watchdog.interval}", f"OnUnitInactiveSec={watchdog.interval}", "AccuracySec=1s"]
    unit = [f"Description=Looks at the vLLM model endpoint {service}"]
    unit += [f"PartOf={unit_name(service)}", f"After={unit_name(service)}"]
    return "\n\n".join([section("Unit", *unit), section("Timer", *lines)]) + "\n"


def guard(paths: Paths) -> str:
    """The command of what runs around the engine."""
    return f"{paths.tools_dir}/bin/python -B {paths.current}/lib/vllm_guard"


def engine_hardening(accelerator: str) -> list[str]:
    """Return what whatever runs an engine can do without."""
    # @resources is more than a service should have, but the engine binds its threads and their memory.
    binding = "SystemCallFilter=mbind set_mempolicy get_mempolicy migrate_pages sched_setaffinity sched_setscheduler"
    # With a GPU both would hide the driver's device nodes.
    lines = [*_COMMON_HARDENING, *(_NO_DEVICES if accelerator == "cpu" else ())]
    lines += ["ProcSubset=all", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK", binding]
    return sorted(lines, key=lambda line: line.split("=")[0])


def drop_in(instance: Instance, paths: Paths) -> str:
    """The part of the unit that the plan decides: what is started, after whom, on which devices, for how long."""
    engine = f"{instance.executable} serve --config {paths.current}/services/%i/engine.yaml"
    service = [
        f"ExecStart={guard(paths)} hold %i" if instance.holds else f"ExecStart={engine}",
        *time_limits(instance),
        *(["PrivateNetwork=yes"] if instance.on_socket else peers(instance)),
        *_beside_ray(instance),
        *memory_limits(instance),
    ]
    if instance.device_minors:
        nodes = [*DRIVER_NODES, *(f"/dev/nvidia{minor}" for minor in instance.device_minors)]
        service += [f"DeviceAllow={node} rw" for node in nodes]
    return "\n\n".join([section("Unit", *order(instance)), section("Service", *service)]) + "\n"


def _beside_ray(instance: Instance) -> list[str]:
    """What an engine needs to find Ray on its host: lines of ``[Service]``.

    It looks for Ray's process in /proc. Without devices both have a user namespace of their own, and anyone who is in
    another one is invisible.
    """
    if instance.ray_unit is None:
        return []
    return [f"ReadWritePaths={RAY_DIRECTORY}", *([] if instance.device_minors else ["ProtectProc=default"])]


def order(instance: Instance) -> list[str]:
    """When a service is started, and when no more: lines of ``[Unit]``.

    The interval of the start limit is longer than all attempts together, else it would never trip.
    """
    attempt_seconds = _start_seconds(instance) + stop_seconds(instance) + RESTART_PAUSE_SECONDS
    lines = [
        f"StartLimitBurst={START_LIMIT_BURST}",
        # Who follows the first of several hosts has no limit: that one's ends all attempts, and it may come late.
        f"StartLimitIntervalSec={0 if instance.follows else (START_LIMIT_BURST + 1) * attempt_seconds}",
    ]
    if instance.planned.start_after:
        lines.append("After=" + " ".join(unit_name(name) for name in instance.planned.start_after))
    if instance.watched:
        lines.append(f"Wants={timer_name(instance.planned.name)}")
    if instance.grouped:
        lines.append(f"Wants={group_name(instance.planned.name)}")
    if instance.ray_unit:
        lines += [f"Requires={instance.ray_unit}", f"After={instance.ray_unit}"]
    return lines


def time_limits(instance: Instance) -> list[str]:
    """How long a start and a stop may take: lines of ``[Service]``."""
    return [f"TimeoutStartSec={_start_seconds(instance)}", f"TimeoutStopSec={stop_seconds(instance)}"]


def _start_seconds(instance: Instance) -> int:
    """A start may first wait for every neighbour on its devices, one after another, and for the first of several hosts.

    That one may have as many, so the limit covers all of theirs.
    """
    return instance.start_timeout * (1 + instance.neighbours + instance.grouped)


def stop_seconds(instance: Instance) -> int:
    """After so many seconds a stop becomes a kill."""
    return instance.shutdown_timeout + STOP_MARGIN_SECONDS


def peers(instance: Instance) -> list[str]:
    """Whom a service may talk to, where it has a network: lines of ``[Service]``."""
    if instance.on_socket or instance.peers is None:
        return []
    return [*(f"IPAddressAllow={peer}" for peer in ("localhost", *instance.peers)), "IPAddressDeny=any"]


def memory_limits(instance: Instance) -> list[str]:
    """How much of the host's memory it may have: lines of ``[Service]``."""
    lines = [f"MemoryHigh={instance.memory_high}"] if instance.memory_high else []
    return lines + ([f"MemoryMax={instance.memory_max}"] if instance.memory_max else [])


def target(services: Sequence[str]) -> str:
    """``vllm.target``: the services of the active generation, started at boot and stopped together."""
    lines = ["Description=vLLM model endpoints of this host"]
    lines += [f"Wants={unit_name(name)}" for name in services]
    return "\n\n".join([section("Unit", *lines), section("Install", "WantedBy=multi-user.target")]) + "\n"


def recover(paths: Paths) -> str:
    """``vllm-recover.service``: at boot, before any engine, the rollback from a transaction that lost its host.

    Only multi-user.target wants it, so that it runs at boot alone.
    """
    sections = [
        section(
            "Unit",
            "Description=Return from a deployment of vLLM that was interrupted",
            "Before=vllm.target",
            f"ConditionPathExists={paths.transaction}",
        ),
        section(
            "Service",
            "Type=oneshot",
            # The engines wait for it; better that they start than that nothing does.
            "TimeoutStartSec=120",
            f"ExecStart={paths.tools_dir}/bin/python -B {paths.current}/lib/vllm_recover "
            f"{paths.config_root} {paths.unit_directory} {paths.group}",
            f"ReadWritePaths={paths.config_root} {paths.unit_directory} -{paths.quadlet_directory}",
            # The lock of deployments, which a deployment by hand at that very moment shall find taken.
            "RuntimeDirectory=llmops-inference",
            "RuntimeDirectoryMode=0700",
            "RuntimeDirectoryPreserve=yes",
            *_RECOVER_HARDENING,
        ),
        section("Install", "WantedBy=multi-user.target"),
    ]
    return "\n\n".join(sections) + "\n"


def section(name: str, *lines: str) -> str:
    """Return one section of a unit."""
    return "\n".join([f"[{name}]", *lines])
