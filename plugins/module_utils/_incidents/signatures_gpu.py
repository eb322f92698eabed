# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures of device memory, drivers, GPUs and what connects several of them. Data.

The numbers in parentheses of CUDA's errors are those of its enumeration cudaError_t.
"""

from __future__ import annotations

from .signature import Rank, Section, Signature

GPU_SIGNATURES = (
    Signature(
        "memory_share_too_large",
        "another process holds memory of the device: stop it, or lower gpu_memory_budget",
        Section.MEMORY,
        (
            r"[Ff]ree memory on (device|node|GPU).* is less than|[Aa]vailable memory on (node|device) .* on startup",
            r"less than (the )?(desired|requested) (GPU|CPU|device|memory)",
        ),
        (
            "ValueError: Free memory on device cuda:0 (70.1/79.2 GiB) on startup is less than desired",
            "ValueError: Available memory on node 0 (3.1/23.5 GiB) on startup is less than",
        ),
    ),
    Signature(
        "no_room_for_kv_cache",
        "lower max_model_len (or set it to 'fit'), or give the service a larger share",
        Section.MEMORY,
        (
            r"[Nn]o available memory for the cache blocks|To serve at least one request|[Aa]vailable memory on node",
            r"larger than the (available KV cache|maximum number of tokens that can be stored)",
            r"estimated maximum model length|(max_model_len|max seq len|model length).*KV cache",
            r"(?i)(not enough|insufficient|no|too little) (\w+ )?(memory|space|blocks|room) .*KV[ _-]?cache",
            r"(?i)\bKV[ _-]?cache\b.*(too small|insufficient|not enough|does not fit|exceeds)",
            r"(?i)[Aa]uto-fit max_model_len failed",
            r"(number|num)[ _](of )?(GPU|gpu)[ _]blocks.*(0|zero|too small|insufficient)\b",
        ),
        (
            "ValueError: No available memory for the cache blocks. Try increasing",
            "ValueError: To serve at least one request with the model's max seq len (131072)",
            "ValueError: The model's max seq len (8192) is larger than the maximum number of tokens that can be stored",
        ),
    ),
    Signature(
        "memory_profiling",
        "a neighbour changed its memory meanwhile: try again",
        Section.MEMORY,
        (r"[Ee]rror in memory profiling|memory was not properly cleaned up before initializing",),
        ("AssertionError: Error in memory profiling. Initial free memory",),
    ),
    Signature(
        "out_of_device_memory",
        "lower max_num_batched_tokens or max_num_seqs, or give the service a larger share",
        Section.MEMORY,
        (
            r"OutOfMemoryError|(?i:\b(CUDA|HIP|XPU|GPU|device|cudnn|driver)\b[^.]*\bout of memory\b)",
            r"cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY|hipErrorOutOfMemory|cuMem\w+.*out of memory",
            r"(CUBLAS|CUDNN|CUSPARSE|CUSOLVER)_STATUS_(ALLOC_FAILED|NOT_INITIALIZED)",
            r"DefaultCPUAllocator: (can't|not enough)|^MemoryError\b|you tried to allocate \d+ bytes",
            r"(?i)(failed|unable) to allocate [\d.]+ ?\w* ?(bytes|[KMG]i?B)?.*\b(GPU|device|CUDA|VRAM)",
            r"(?i)Cuda failure.*out of memory",
            r"(?i)out of memory (when|while|during|occurred)|ran out of (GPU|device|video) memory|warming up sampler",
        ),
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
            "RuntimeError: CUDA error: out of memory",
        ),
    ),
    Signature(
        "driver_mismatch",
        "reboot the host, or load the driver anew: its kernel module and its libraries are of different versions",
        Section.GPUS,
        (
            r"Error 80[34]\b|unsupported display driver / cuda driver combination|forward compatibility was attempted",
            r"[Dd]river/library version mismatch|LibRmVersionMismatch|NVRM: API mismatch",
            r"cudaErrorSystemDriverMismatch",
            r"cudaErrorCompatNotSupportedOnDevice|CUDA_ERROR_(SYSTEM_DRIVER_MISMATCH|COMPAT_NOT_SUPPORTED)",
            r"the kernel module has version|client .* has the version .* kernel module",
        ),
        (
            "NVMLError_LibRmVersionMismatch: Driver/library version mismatch",
            "RuntimeError: Error 803: system has unsupported display driver / cuda driver combination",
        ),
    ),
    Signature(
        "driver_too_old",
        "update the driver of the host, or deploy an engine built for an older CUDA",
        Section.GPUS,
        (
            r"[Dd]river version is insufficient|[Dd]river (on your system )?is too old|cudaErrorInsufficientDriver",
            r"unsupported (PTX version|toolchain)|compiled with an unsupported toolchain",
            r"cudaErrorUnsupportedPtxVersion",
            r"CUDA_ERROR_UNSUPPORTED_PTX_VERSION|Error 35\b|unsatisfied condition: (cuda|driver)",
            r"(?i)requires?( an?)?( nvidia)? driver (version|>=)|update your (GPU|NVIDIA) driver",
            r"(?i)driver .*older than (the )?(required|minimum)",
        ),
        ("RuntimeError: The NVIDIA driver on your system is too old (found version 12020).",),
    ),
    Signature(
        "fabric_manager",
        "start nvidia-fabricmanager, in the very version of the driver, and see that it came up",
        Section.GPUS,
        (
            r"Error 802\b|system not yet initialized|cudaErrorSystemNotReady|CUDA_ERROR_SYSTEM_NOT_READY",
            r"(?i)fabric ?manager|nv-fabricmanager|fabric .*(not (ready|initialized|started)|in progress)|\bIMEX\b",
        ),
        ("RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized",),
    ),
    Signature(
        "gpu_busy",
        "see which process holds the GPU, and that its compute mode is not exclusive (nvidia-smi -q -d COMPUTE)",
        Section.GPUS,
        (
            r"busy or unavailable|cudaErrorDevicesUnavailable|in use by another (client|process)",
            r"[Ee]xclusive.*compute mode",
        ),
        ("RuntimeError: CUDA error: CUDA-capable device(s) is/are busy or unavailable",),
    ),
    Signature(
        "no_gpu",
        "see that the driver is loaded (nvidia-smi), that /dev/nvidia-uvm exists and that the unit may open it",
        Section.GPUS,
        (
            r"No CUDA GPUs are available|no CUDA-capable device|Found no NVIDIA driver|cudaErrorNoDevice",
            r"(?i)no (nvidia|cuda|supported|usable) (gpu|device)s?\b.* (found|detected|available|visible)",
            r"(?i)CUDA_ERROR_NO_DEVICE",
            r"CUDA unknown error|cudaErrorUnknown|CUDA_ERROR_UNKNOWN|Error 999\b|Error 100\b|nvidia-uvm|nvidia_uvm",
            r"invalid device ordinal|cudaErrorInvalidDevice\b|CUDA_ERROR_INVALID_DEVICE\b|Error 101\b",
            r"NVMLError_(DriverNotLoaded|LibraryNotFound|NoPermission|NotFound)|NVML: Driver Not Loaded",
            r"NVML Shared Library Not Found|[Ff]ailed to initialize NVML|couldn't communicate with the NVIDIA driver",
            r"libcuda\.so[.\d]*: cannot open|libnvidia-ml\.so[.\d]*: cannot open|libcuda\.so (cannot be |not )found",
            r"0 active drivers|Error 304\b|OS call failed or operation not supported",
            r"(?i)device(s)? (GPU-\S+|\d+) (does not|do not|doesn't) (exist|answer)",
            r"(?i)torch\.cuda\.is_available\(\) (is|returned) False",
        ),
        ("RuntimeError: No CUDA GPUs are available",),
        symptoms=(
            r"Failed to infer device type|Device string must not be empty|UnspecifiedPlatform",
            r"[Nn]o platform detected|Unexpected error from cudaGetDeviceCount",
        ),
    ),
    Signature(
        "unsupported_gpu",
        "choose a dtype, a quantization or an attention backend that this GPU can run, or a build of the engine for it",
        Section.GPUS,
        (
            r"no kernel image is available|device kernel image is invalid|cudaErrorNoKernelImageForDevice",
            r"CUDA_ERROR_NO_BINARY_FOR_GPU|cudaErrorInvalidKernelImage|CUDA_ERROR_INVALID_IMAGE",
            r"is not compatible with the current PyTorch",
            r"(?i:compute capability|\bmin(imum)? capability|device capability)",
            r"not supported (for|on|by) ((the|this|your|current) )*(GPU|CUDA arch|device|hardware|platform)",
            r"only supported on .*(GPU|Ampere|Hopper|Blackwell|Ada|CUDA|sm_?\d)",
            r"only supports? (Ampere|Hopper|Blackwell|GPUs)",
            r"not supported in this architecture|(requires?|needs) (an? )?(sm_?\d|SM ?\d|Ampere|Hopper|Blackwell|Ada)",
            r"(?i)sm_?\d+\w? .*(is not|not|un)[ -]?supported|ptxas (fatal|error).*(sm_|gpu-name)",
            r"(?i)unsupported gpu architecture",
            r"Failed to find a kernel that can implement",
            r"[Nn]o (valid|suitable|compatible|available) (\w+ )?(attention )?(backend|kernel)",
            r"out of resource: shared memory|Hardware limit|OutOfResources",
            r"(?i)GPU (architecture|arch|family) .*not supported|CUDA arch\w* (<|is lower)",
            r"(?i)does not support (bfloat16|fp8|bf16)",
        ),
        (
            "RuntimeError: CUDA error: no kernel image is available for execution on the device",
            "ValueError: The quantization method fp8 is not supported for the current GPU. Minimum capability: 90.",
            "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0.",
        ),
    ),
    Signature(
        "gpu_fault",
        "reset or replace the GPU: its memory or a link failed (nvidia-smi -q -d ECC, and the kernel log)",
        Section.GPUS,
        (
            r"(?i)uncorrectable (ECC|NVLink|error)|ECC error|cudaErrorECCUncorrectable|CUDA_ERROR_ECC|Error 214\b",
            r"cudaErrorNvlinkUncorrectable|CUDA_ERROR_NVLINK|hardware stack error|cudaErrorHardwareStackError",
            r"Error 220\b",
            r"(?i)row.?remap\w* (failure|failed)|GPU (requires|needs) (a )?reset|NVMLError_ResetRequired",
            r"(?i)contained error",
        ),
        ("torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered",),
    ),
    Signature(
        "peer_access",
        "set NCCL_P2P_DISABLE=1 and disable-custom-all-reduce, or give the service GPUs that reach each other; "
        "IOMMU and ACS of the host often stand in the way",
        Section.SEVERAL_GPUS,
        (
            r"(?i)peer[ -]?(to[ -]?peer )?access|peer mapping|cudaErrorPeer\w+|CUDA_ERROR_PEER\w+|Error 217\b",
            r"(?i)custom_?all_?reduce\S*.*(invalid|error|fail|unsupported)|mapping of buffer object failed",
            r"(?i)cudaIpc(Open|Get)MemHandle|cuIpc\w+",
            r"(?i)\bP2P\b.*(not supported|unsupported|failed|not available)|GPUDirect .*not supported",
        ),
        ("RuntimeError: CUDA error: peer access is not supported between these two devices",),
    ),
    Signature(
        "cuda_error",
        "deploy without the newest option (enforce-eager helps to find it), try another engine version, and report it",
        Section.GPUS,
        (
            r"\bCUDA (runtime |driver |kernel )?[Ee]rror\b",
            r"(?i:illegal memory access|device-side assert|unspecified launch failure)",
            r"cudaError(IllegalAddress|LaunchFailure|Assert|MisalignedAddress|IllegalInstruction|LaunchTimeout|\w+)",
            r"CUDA_ERROR_\w+|(CUBLAS|CUDNN|CUSPARSE|CUSOLVER|NVRTC)_(STATUS|ERROR)_\w+|cuDNN error|cublasLt? ?error",
            r"(?i)Triton Error \[CUDA\]|misaligned address|warp illegal (instruction|address)|HIP error",
            r"(?i)cuda kernel failed",
            r"(?i)illegal instruction was encountered",
            r"(?i)invalid (configuration argument|program counter|resource handle)|launch timed out",
            r"Offset increment outside graph capture",
            r"operation (not permitted|failed due to a previous error|would make).*captur",
        ),
        ("RuntimeError: CUDA error: an illegal memory access was encountered",),
    ),
    Signature(
        "nccl",
        "see the first rank that failed; NCCL_DEBUG=INFO in environment tells more, and NCCL_P2P_DISABLE=1 avoids "
        "links between GPUs that hang",
        Section.SEVERAL_GPUS,
        (
            r"\bNCCL\b.*(?i:error|fail|timeout|timed out|abort|unhandled)",
            r"nccl(System|Internal|Remote|UnhandledCuda)Error",
            r"nccl(InvalidUsage|InvalidArgument|InProgress)\b|[Cc]uda failure|Watchdog caught collective",
            r"ProcessGroupNCCL",
            r"DistBackendError|DistStoreError|DistNetworkError|DistError|[Cc]ollective operation time(d )?out",
            r"[Dd]uplicate GPU detected|[Gg]loo.*(error|fail|timed out|timeout|closed|connectFullMesh)|gloo/transport",
            r"client socket has (timed out|failed)|TCPStore",
            r"[Ff]ailed to (init|initialize) (the )?(process group|distributed)",
            r"init_process_group.*(fail|time)",
            r"waiting for clients\. \d+/\d+|(socket|connection|peer).*(closed|reset) by (remote )?peer",
            r"ncclCommInit\w+ .*fail",
            r"(?i)all_?reduce (timed out|failed|timeout)|\bNVLS\b.*(fail|error)|\bNVSHMEM\b.*(error|fail)|RCCL error",
        ),
        (
            "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)",
            "Watchdog caught collective operation timeout: WorkNCCL(SeqNum=2, OpType=ALLREDUCE) ran for 600059 ms",
        ),
        rank=Rank.SYMPTOM,
    ),
)
