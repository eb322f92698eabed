# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures that the host, systemd, the guard or the watchdog tell of, and the ends of processes. Data."""

from __future__ import annotations

from .signature import Rank, Section, Signature

_SHARED_MEMORY = "mount /dev/shm larger, or remove what fills it"
_ABOVE = "see the lines before it in the journal"
_XID = "look the number up in NVIDIA's Xid catalogue; gpu_health decides on its GPU"

HOST_SIGNATURES = (
    # The guard's own words, which may quote others.
    Signature(
        "no_shared_memory",
        _SHARED_MEMORY,
        Section.MEMORY,
        (r"/dev/shm has .* free, the engine will take",),
        (),
        rank=Rank.AUTHORITY,
    ),
    Signature(
        "not_admitted",
        "free the device, or lower gpu_memory_budget",
        Section.MEMORY,
        (r"was not admitted within",),
        ("vllm-guard: service 'mini' was not admitted within 300 s",),
        rank=Rank.AUTHORITY,
    ),
    Signature(
        "gpu_unfit",
        "reset or replace the GPU, or give the service another one",
        Section.GPUS,
        (r"is not fit to start: GPU ",),
        ("vllm-guard: service 'mini' is not fit to start: GPU 0 is degraded",),
        rank=Rank.AUTHORITY,
    ),
    Signature(
        "wedged",
        "see what the engine did last; report the hang to its makers",
        Section.PROCESSES,
        (r"vllm-watchdog: wedged: ",),
        ("vllm-watchdog: wedged: no token for 300 s",),
        rank=Rank.AUTHORITY,
    ),
    Signature(
        "port_taken",
        "free the port, or give the service another address or port",
        Section.HOST,
        (
            r"cannot listen on",
            r"[Aa]ddress already in use|EADDRINUSE|\[Errno (98|48)\]",
            r"attempting to bind on address",
            r"[Cc]annot assign requested address|EADDRNOTAVAIL|\[Errno 99\]",
            r"port \d+ is (already|not) (in use|taken|occupied|available)|[Pp]ort \d+ is already",
        ),
        ("vllm-guard: service 'mini' cannot listen on 127.0.0.1:8002 (Address already in use)",),
    ),
    Signature(
        "host_oom_kill",
        "raise memory_max, or run less on the host",
        Section.MEMORY,
        (
            r"oom-kill:",
            r"[Oo]ut of memory: Kill(ed)? process|[Mm]emory cgroup out of memory",
            r"killed by the OOM killer|Failed with result 'oom-kill'|OOMKilled",
            r"systemd-oomd killed|oom_reaper: reaped process",
            r"killed due to the node running low on memory|killed due to memory pressure \(OOM\)",
            r"earlyoom.*sending SIG",
        ),
        ("vllm@mini.service: Failed with result 'oom-kill'.",),
        rank=Rank.AUTHORITY,
    ),
    Signature(
        "device_lost",
        "reboot the host; look at the slot, the power and the temperature of the GPU, or replace it",
        Section.GPUS,
        (
            r"NVRM: Xid \([^)]*\): 79\b|fallen off the bus",
            r"NVMLError_GpuIsLost|GPU is lost|device is lost|Unable to determine the device handle for [Gg][Pp][Uu]",
        ),
        ("NVRM: Xid (PCI:0000:17:00): 79, GPU has fallen off the bus",),
        rank=Rank.AUTHORITY,
    ),
    Signature(
        "xid",
        _XID,
        Section.GPUS,
        (r"NVRM: Xid \([^)]*\): (?!(43|45|154)\b)",),
        ("NVRM: Xid (PCI:0000:17:00): 48, Double Bit ECC Error",),
        rank=Rank.AUTHORITY,
    ),
    # What the driver writes of a process that failed or was ended, and while it recovers a GPU.
    Signature("xid", _XID, Section.GPUS, (r"NVRM: Xid \([^)]*\): (43|45|154)\b",), (), rank=Rank.WORKER),
    Signature(
        "no_shared_memory",
        _SHARED_MEMORY,
        Section.MEMORY,
        (
            r"Insufficient space in /dev/shm",
            r"(?i)insufficient shared memory|increase (the )?(size of )?(shared memory|/dev/shm)|shared memory limit",
            r"(?i)no space left on device.*/dev/shm|/dev/shm.*no space left on device|/dev/shm (is )?full",
            r"(?i)(unable to (write|open|mmap|alloc|resize)|ftruncate|fallocate).*(shared mem|torch_\d+_|psm_|\bshm\b)",
            r"(?i)(creat\w*|extend\w*|attach\w*( to)?|open\w*|alloc\w*) (a )?(shared memory segment|/dev/shm)",
            r"(?i)call to posix_fallocate failed|shmutils\.cc.*(failed|error)|/dev/shm/nccl",
            r"DataLoader worker .* is killed by signal: Bus error",
        ),
        ("RuntimeError: Insufficient space in /dev/shm",),
    ),
    Signature(
        "no_container",
        "see what Podman misses: the image, a directory, or the GPU's device specification",
        Section.INSTALLATION,
        (
            r"^Error: .*(OCI |CDI devices|image not known|statfs |crun|runc|unable to copy from source|no such image)",
            r"nvidia-container-cli: (?!requirement error)|unresolvable CDI device",
            r"initializing source docker://|manifest unknown|short-name .* did not resolve",
            r"^Error: .*(unable to find image|pulling image|image .* not found|creating container storage)",
        ),
        ("Error: setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=GPU-…",),
        rank=Rank.AUTHORITY,
    ),
    Signature(
        "unit_setup",
        "see the step that systemd names: a user, a directory or a setting of the unit is missing on the host",
        Section.HOST,
        (
            r"Failed at step (?!EXEC\b)\w+ spawning|Failed to set up (mount namespacing|user namespacing|credentials)",
            r"code=exited, status=2(?!03\b)\d\d/[A-Z_]+",
        ),
        ("vllm@mini.service: Failed at step NAMESPACE spawning /opt/vllm/current/bin/vllm: No such file or directory",),
        rank=Rank.AUTHORITY,
    ),
    Signature(
        "disk_full",
        "free room on the file system that the line names, or move the cache to a larger one",
        Section.HOST,
        (
            r"No space left on device|\[Errno 28\]|ENOSPC",
            r"Disk quota exceeded|\[Errno 122\]|database or disk is full|[Nn]ot enough (free )?disk space",
            r"os error 28\b",
        ),
        ("OSError: [Errno 28] No space left on device: '/var/cache/vllm/mini/torch_compile_cache/abc'",),
    ),
    Signature(
        "storage_fault",
        "see the kernel log for the disk or the network share: it gave an error instead of data",
        Section.HOST,
        (
            r"\[Errno 5\]|Input/output error|\[Errno 116\]|Stale (NFS )?file handle|\[Errno 107\]",
            r"Transport endpoint is not connected|\[Errno 121\]|Remote I/O error|os error (5|116|107)\b",
        ),
        ("OSError: [Errno 5] Input/output error: '/srv/models/mini/model.safetensors'",),
    ),
    Signature(
        "open_files",
        "raise LimitNOFILE of the unit to 65536 or more, or allow fewer connections",
        Section.HOST,
        (r"Too many open files|\[Errno 2[34]\]|EMFILE|ENFILE|os error 24\b|received 0 items of ancdata",),
        ("OSError: [Errno 24] Too many open files",),
    ),
    Signature(
        "process_limit",
        "raise TasksMax of the unit or the limit of processes of its user",
        Section.HOST,
        (
            r"can't start new thread|pthread_create failed|Thread creation failed|uv_thread_create",
            r"\[Errno 11\] Resource temporarily unavailable|fork: (retry|Resource)",
            r"unable to create new (native )?thread",
            r"os error 11\b.*thread|failed to spawn thread",
        ),
        ("RuntimeError: can't start new thread",),
        rank=Rank.SYMPTOM,
    ),
    Signature(
        "no_host_memory",
        "free memory of the host, or raise memory_max; pinned and swapped buffers count, too",
        Section.MEMORY,
        (
            r"\[Errno 12\]|Cannot allocate memory|std::bad_alloc|cudaHostAlloc|cudaHostRegister",
            r"(?i)(pin|pinned|host|cpu) memory.*(out of memory|allocation failed|failed to allocate)",
            r"Too large swap space|not enough (CPU|host|system) memory",
            r"mlock.*(failed|Cannot)|os error 12\b",
        ),
        ("OSError: [Errno 12] Cannot allocate memory",),
        rank=Rank.SYMPTOM,
    ),
    Signature(
        "file_access",
        "check the path, its owner and mode, and whether its file system may be written",
        Section.HOST,
        (
            r"PermissionError: |FileNotFoundError: |NotADirectoryError: |IsADirectoryError: |FileExistsError: ",
            r"\[Errno (1|2|13|17|20|21|30|36|40)\]|Read-only file system|[Pp]ermission denied|EACCES|EROFS",
            r"No such file or directory|os error (2|13|30)\b|is not (writable|readable)|not a directory\b",
        ),
        (
            "PermissionError: [Errno 13] Permission denied: '/srv/m/model.safetensors'",
            "OSError: [Errno 30] Read-only file system: '/root/.cache'",
        ),
        rank=Rank.SYMPTOM,
        general=True,
    ),
    Signature(
        "rpc_timeout",
        "see what the worker waited for: a collective between GPUs that hangs, a compilation, or slow storage",
        Section.PROCESSES,
        (
            r"RPC call to \w+ timed out|RPC .*tim(ed|e) ?out|collective_rpc.*tim(ed|e) ?out",
            r"^(?!\S+\.service: ).*(execution|execute_model|step|[Ee]ngine|worker|core)\b.*\btimed? ?out\b",
            r"[Tt]im(ed|e) ?out waiting for (the )?(engine|worker|core|response|EngineCore|handshake)",
            r"did not respond (with)?in|Did not receive response from|GetTimeoutError|^TimeoutError$",
            r"[Ee]ngine (iteration|step) timed out|Hanging",
        ),
        ("TimeoutError: RPC call to sample_tokens timed out.",),
        rank=Rank.SYMPTOM,
    ),
    Signature(
        "worker_died",
        _ABOVE,
        Section.PROCESSES,
        (
            r"Worker ?[Pp]roc\w* .*(died|exited|terminated) unexpectedly|WorkerProc hit an exception",
            r"VllmWorkerProcess .*died|Worker \S+ (pid \d+ )?died|[Ww]orker process .*(died|exit)",
            r"ActorDiedError|RayActorError|WorkerCrashedError|The actor (died|is dead)|Worker unexpectedly exits",
            r"[Gg]ot fatal signal from worker process|WorkerProc initialization failed|WorkerProc failed to start",
            r"Worker failed with error|died with exit code: ?-?\d+",
        ),
        ("RuntimeError: Worker proc VllmWorker-0 died unexpectedly",),
        rank=Rank.WORKER,
    ),
    Signature(
        "engine_dead",
        _ABOVE,
        Section.PROCESSES,
        (
            r"Engine ?DeadError|[Ee]ngine core (process |proc )?.*(died|exited|terminated) unexpectedly",
            r"died with exit code|Engine process (failed to start|\(pid \d+\) died)",
            r"Engine loop (is not running|is dead|has died)",
            r"Background loop (has errored already|is stopped)",
            r"Task finished unexpectedly|[Ee]ngine (core )?(is )?dead\b|The engine .*died",
        ),
        ("vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue",),
        rank=Rank.ENGINE,
    ),
    # The header lines above the exceptions themselves.
    Signature(
        "engine_dead",
        _ABOVE,
        Section.PROCESSES,
        (
            r"EngineCore (encountered|failed|hit)|Engine core initialization failed|See root cause above",
            r"AsyncLLM output_handler failed",
        ),
        (),
        rank=Rank.WRAPPER,
    ),
    Signature(
        "start_timeout",
        "raise start_timeout, or see what the start waited for",
        Section.PROCESSES,
        (r"start(-pre|-post)? operation timed out|State 'start\S*' timed out",),
        ("vllm@mini.service: start operation timed out. Terminating.",),
        rank=Rank.TIMEOUT,
    ),
    # In front of a container the main process is podman's monitor, which hands on what became of the engine.
    Signature(
        "killed",
        "find out who sent the signal",
        Section.PROCESSES,
        (
            r"process exited, code=killed, status=(1|2|3|9|15)/",
            r"process exited, code=exited, status=(129|130|137|143)/",
        ),
        ("vllm@mini.service: Main process exited, code=killed, status=9/KILL",),
        rank=Rank.END,
        symptoms=(r"(?i)core proc\(s\).*: -(9|15)\b|exit ?code:? -9\b|terminated (with|by) signal SIGKILL\b",),
    ),
    Signature(
        "illegal_instruction",
        "the CPU lacks an instruction that this build of the engine uses: install a build for this CPU",
        Section.INSTALLATION,
        (r"process exited, code=(killed|dumped), status=4/|code=exited, status=132/",),
        ("vllm@mini.service: Main process exited, code=dumped, status=4/ILL",),
        rank=Rank.END,
        symptoms=(
            r"Fatal Python error: Illegal instruction|\bsignal SIGILL|(?i:exit ?code:? -4\b)|: -4\}",
            r"traps: .* invalid opcode",
        ),
    ),
    Signature(
        "bus_error",
        "see that neither /dev/shm nor the model's disk is full: the engine crashed on memory that is not there",
        Section.MEMORY,
        (r"process exited, code=(killed|dumped), status=7/|code=exited, status=135/",),
        ("vllm@mini.service: Main process exited, code=dumped, status=7/BUS",),
        rank=Rank.END,
        symptoms=(r"Fatal Python error: Bus error|\bsignal SIGBUS|[Bb]us error|(?i:exit ?code:? -7\b)|: -7\}",),
    ),
    Signature(
        "crashed",
        "the engine crashed: see its last lines and the core dump (coredumpctl), and report the crash to its makers",
        Section.PROCESSES,
        (
            r"process exited, code=dumped, status=(?!4/|7/)\d+/",
            r"process exited, code=killed, status=(5|6|8|11|31)/|code=exited, status=(133|134|136|139|159)/",
        ),
        ("vllm@mini.service: Main process exited, code=dumped, status=11/SEGV",),
        rank=Rank.END,
        symptoms=(
            r"Fatal Python error: |Segfault encountered|Segmentation fault|\bsignal SIG(SEGV|ABRT|FPE|SYS|TRAP)\b",
            r"(?i:exit ?code:? -(5|6|8|11|31)\b)|: -(6|8|11)\}|terminate called|double free or corruption|segfault at",
            r"(malloc|free|realloc)\(\): |corrupted (size|double-linked)|stack smashing detected",
        ),
    ),
)
