# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a service's Quadlet: the same service as a container, of which podman makes ``vllm@NAME.service``. Pure.

Podman's generator reads it from /etc/containers/systemd whenever systemd reads its units. The unit that it makes is
root's, because podman is; the engine in it is the services' user, and so is what runs around the engine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .._errors import InferenceError
from .._places import Paths
from .._service.ticket import RUNTIME_DIRECTORY
from . import units

# Of /dev/shm for each rank: what NCCL's documentation asks for in containers. It is a limit, and takes nothing itself.
_SHARED_MEMORY_GIB = 1
# Between the end of podman's patience with an engine that stops, and systemd's with podman (seconds).
_REMOVAL_SECONDS = 10
# What neither podman's volumes nor systemd's command lines change or divide at.
_PLAIN_PATH = re.compile(r"[\w./@+=~ -]+")
_UNPRIVILEGED = "--clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all"


@dataclass(frozen=True)
class Containers:
    """What turns the services of a host into containers.

    ``image`` is podman's id of the engine's image, ``sha256:HEX``; the user is known by number, for the image has users
    of its own. ``mounts`` are paths, by service, that its engine reads: its model, and what else its flags name.
    """

    image: str
    user_id: int
    group_id: int
    mounts: Mapping[str, Sequence[str]]


def container(instance: units.Instance, containers: Containers, paths: Paths, accelerator: str) -> str:
    """``vllm@NAME.container``.

    The places of the service have the same names inside as outside, so that its files are the same for both kinds.
    Podman keeps what it is told of a container; so it is told of no variable and no secret (see ``_launch``).
    """
    name = instance.planned.name
    sections = [
        units.section("Unit", *units.about(name, paths), *units.order(instance)),
        units.section("Container", *_container(instance, containers, paths, accelerator)),
        units.section("Service", *_service(instance, paths)),
        # There is no network to wait for: nothing is pulled.
        units.section("Quadlet", "DefaultDependencies=false"),
    ]
    return "\n\n".join(sections) + "\n"


def _container(instance: units.Instance, containers: Containers, paths: Paths, accelerator: str) -> list[str]:
    planned = instance.planned
    files, state, cache = _files(planned.name, paths), _state(planned.name), _cache(planned.name)
    runtime = f"{RUNTIME_DIRECTORY}/{planned.name}"
    read_only = [files, f"{paths.current}/lib", *containers.mounts[planned.name]]
    return [
        f"ContainerName=vllm-{planned.name}",
        f"Image={containers.image}",
        "Pull=never",
        "Entrypoint=python3",
        f"Exec=-B {paths.current}/lib/vllm_launch {planned.name} "
        f"{instance.executable} serve --config {files}/engine.yaml",
        f"User={containers.user_id}",
        f"Group={containers.group_id}",
        "DropCapability=all",
        "NoNewPrivileges=yes",
        "ReadOnly=yes",
        f"Network={'none' if instance.on_socket else 'host'}",
        "LogDriver=passthrough",
        # The limits are the unit's.
        "PidsLimit=0",
        f"ShmSize={_SHARED_MEMORY_GIB * planned.tensor_parallel_size}g",
        # An image may name another signal to stop it with, which an engine does not know, and so would be killed.
        "PodmanArgs=--stop-signal=SIGTERM",
        f"StopTimeout={units.stop_seconds(instance) - _REMOVAL_SECONDS}",
        *(f"Volume={_plain(path)}:{path}:ro" for path in read_only),
        *(f"Volume={path}:{path}" for path in (state, cache, runtime)),
        *(f"AddDevice=nvidia.com/gpu={device}" for device in planned.devices if accelerator == "cuda"),
    ]


def _service(instance: units.Instance, paths: Paths) -> list[str]:
    name = instance.planned.name
    secrets = f"{_files(name, paths)}/secrets"
    guard = f"setpriv --reuid={paths.user} --regid={paths.group} {_UNPRIVILEGED} {units.guard(paths)}"
    places = f"{_state(name)} {_cache(name)} {RUNTIME_DIRECTORY}/locks {RUNTIME_DIRECTORY}/{name}"
    return [
        f"ExecStartPre=install -d -m 0750 -o {paths.user} -g {paths.group} {places}",
        f"ExecStartPre={guard} admit {name}",
        f"ExecStartPost={guard} ready {name}",
        "ExecStartPost=systemctl reset-failed %n",
        f"ExecStopPost={guard} release {name}",
        *([f"EnvironmentFile={secrets}", f"OpenFile={secrets}:secrets:read-only"] if instance.has_secrets else []),
        "Restart=always",
        f"RestartSec={units.RESTART_PAUSE_SECONDS}",
        "KillMode=mixed",
        "OOMPolicy=kill",
        "LimitNOFILE=65536",
        "LimitMEMLOCK=infinity",
        f"SyslogIdentifier=vllm-{name}",
        *units.time_limits(instance),
        *units.peers(instance),
        *units.memory_limits(instance),
    ]


def _files(name: str, paths: Paths) -> str:
    return f"{paths.current}/services/{name}"


def _state(name: str) -> str:
    return f"/var/lib/vllm/services/{name}"


def _cache(name: str) -> str:
    return f"/var/cache/vllm/{name}"


def _plain(path: str) -> str:
    if not _PLAIN_PATH.fullmatch(path):
        raise InferenceError(
            f"{path} cannot be mounted into a container: it has a character that podman or systemd reads as something "
            "else; rename it to letters, digits and ./@+=~-"
        )
    return path
