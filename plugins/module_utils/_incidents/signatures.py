# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Out of what a service wrote before it died: the line that says why, and what would help. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Incident:
    """A cause: ``kind`` of the taxonomy, the ``line`` that proves it, and the ``remedy``."""

    kind: str
    line: str
    remedy: str


@dataclass(frozen=True)
class _Signature:
    kind: str
    pattern: re.Pattern[str]
    remedy: str


def _signature(kind: str, pattern: str, remedy: str) -> _Signature:
    return _Signature(kind, re.compile(pattern), remedy)


# Ordered: of two causes in one journal the earlier entry is nearer to the root.
_SIGNATURES: Sequence[_Signature] = (
    _signature("wedged", r"vllm-watchdog: wedged: ", "see what the engine did last; report the hang to its makers"),
    _signature(
        "port_taken", r"cannot listen on|[Aa]ddress already in use", "free the port, or give the service another"
    ),
    _signature(
        "host_oom_kill",
        r"oom-kill:|[Oo]ut of memory: Killed process|killed by the OOM killer|Failed with result 'oom-kill'",
        "raise memory_max, or run less on the host",
    ),
    _signature(
        "device_lost",
        r"NVRM: Xid \([^)]*\): 79\b|GPU has fallen off the bus",
        "reboot the host; look at the slot, the power and the temperature of the GPU, or replace it",
    ),
    _signature("xid", r"NVRM: Xid ", "look the number up in NVIDIA's Xid catalogue; gpu_health decides on its GPU"),
    _signature("gpu_unfit", r"is not fit to start: GPU ", "reset or replace the GPU, or give the service another one"),
    _signature(
        "no_shared_memory",
        r"Insufficient space in /dev/shm|/dev/shm has .* free, the engine will take",
        "mount /dev/shm larger, or remove what fills it",
    ),
    _signature("not_admitted", r"was not admitted within", "free the device, or lower gpu_memory_budget"),
    _signature(
        "memory_share_too_large",
        r"Free memory on device .* is less than|Available memory on node .* on startup",
        "another process holds memory of the device: stop it, or lower gpu_memory_budget",
    ),
    _signature(
        "no_room_for_kv_cache",
        r"No available memory for the cache blocks|To serve at least one request|Available memory on node",
        "lower max_model_len (or set it to 'fit'), or give the service a larger share",
    ),
    _signature("memory_profiling", r"Error in memory profiling", "a neighbour changed its memory meanwhile: try again"),
    _signature(
        "out_of_device_memory",
        r"torch\.(cuda\.)?OutOfMemoryError|CUDA out of memory|DefaultCPUAllocator: can't allocate|MemoryError",
        "lower max_num_batched_tokens or max_num_seqs, or give the service a larger share",
    ),
    _signature(
        "corrupt_weights",
        r"SafetensorError|HeaderTooLarge|MetadataIncompleteBuffer|size mismatch for|shape '.*' is invalid for input",
        "fetch the model again: its files are incomplete or do not belong together",
    ),
    _signature(
        "bad_configuration",
        r"error: (unrecognized arguments|argument )|[Vv]alidation error|is not a valid|greater than the derived",
        "correct the option that the line names",
    ),
    _signature(
        "no_container",
        r"^Error: .*(OCI |CDI devices|image not known|statfs )",
        "see what Podman misses: the image, a directory, or the GPU's device specification",
    ),
    _signature("file_access", r"PermissionError: |FileNotFoundError: ", "check the path and its mode"),
    _signature(
        "worker_died",
        r"Worker proc .* died unexpectedly|WorkerProc hit an exception",
        "see the lines before it in the journal",
    ),
    _signature(
        "engine_dead",
        r"EngineDeadError|[Ee]ngine core (process )?.*(died|exited) unexpectedly|died with exit code",
        "see the lines before it in the journal",
    ),
    _signature("start_timeout", r"start operation timed out", "raise start_timeout, or see what the start waited for"),
    # In front of a container the main process is podman's monitor, which hands on what became of the engine.
    _signature(
        "killed",
        r"Main process exited, code=(killed|dumped|exited, status=(13[4-9]|143)/)",
        "find out who sent the signal",
    ),
)

# Every kind that ``cause`` may return.
KINDS = (*dict.fromkeys(signature.kind for signature in _SIGNATURES), "engine_error", "unknown")

# The engine's words for "something below failed"; the cause is elsewhere.
_WRAPPER = re.compile(r"Engine core initialization failed|See root cause above|Engine process failed to start")
_EXCEPTION = re.compile(r"^[\w.]*(Error|Exception|Interrupt|Exit)\b: ")
_PREFIX = re.compile(r"^(\(\w+( pid=\d+)?\) )*((ERROR|WARNING|INFO|CRITICAL) \S+ \S+ \[[^\]]*\] )?")


def cause(lines: Sequence[str]) -> Incident:
    """The incident that these journal lines (oldest first, of one attempt) tell of.

    A known signature wins over an unknown exception, and among equals the first occurrence, because engines log the
    consequence after the cause.
    """
    cleaned = [_PREFIX.sub("", line).strip() for line in lines]
    for signature in _SIGNATURES:
        for line in cleaned:
            if signature.pattern.search(line) and not _WRAPPER.search(line):
                return Incident(signature.kind, line, signature.remedy)
    exceptions = [line for line in cleaned if _EXCEPTION.match(line) and not _WRAPPER.search(line)]
    if exceptions:
        return Incident("engine_error", exceptions[0], "see the lines around it in the journal")
    spoken = [line for line in cleaned if line]
    return Incident("unknown", spoken[-1] if spoken else "the service wrote nothing", "read its journal")
