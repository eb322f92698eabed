/* Copyright: (c) 2026, The llmops.inference maintainers
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Questions to one GPU. */
#include <string.h>
#include <time.h>

#include "standin.h"

nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned *index)
{
    BEGIN_GPU(device);
    *index = standin_gpu(device)->index;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned *number)
{
    BEGIN_GPU(device);
    *number = standin_gpu(device)->index;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned length)
{
    BEGIN_GPU(device);
    return standin_text(standin_gpu(device)->uuid, uuid, length);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned length)
{
    BEGIN_GPU(device);
    return standin_text(standin_gpu(device)->name, name, length);
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    BEGIN_GPU(device);
    standin_pci(standin_gpu(device)->pci, pci);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    return nvmlDeviceGetPciInfo_v3(device, pci);
}

nvmlReturn_t nvmlDeviceGetPciInfo(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    return nvmlDeviceGetPciInfo_v3(device, pci);
}

/* Version 1 counts what is reserved as used. */
nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    BEGIN_GPU(device);
    const struct gpu *gpu = standin_gpu(device);
    memory->total = gpu->total;
    memory->used = gpu->reserved + box_used(&box, gpu);
    memory->free = memory->total - memory->used;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
    BEGIN_GPU(device);
    if (memory->version != NVML_MEMORY_V2)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    const struct gpu *gpu = standin_gpu(device);
    memory->total = gpu->total;
    memory->reserved = gpu->reserved;
    memory->used = box_used(&box, gpu);
    memory->free = memory->total - memory->reserved - memory->used;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned *milliwatts)
{
    BEGIN_GPU(device);
    const struct gpu *gpu = standin_gpu(device);
    if (gpu->watts == 0)
        return NVML_ERROR_NOT_SUPPORTED;
    *milliwatts = (unsigned)gpu->watts * 1000;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, unsigned sensor, unsigned *celsius)
{
    BEGIN_GPU(device);
    (void)sensor; /* a GPU has one */
    const struct gpu *gpu = standin_gpu(device);
    if (gpu->celsius == 0)
        return NVML_ERROR_NOT_SUPPORTED;
    *celsius = (unsigned)gpu->celsius;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *percent)
{
    BEGIN_GPU(device);
    percent->gpu = percent->memory = (unsigned)standin_gpu(device)->busy;
    return NVML_SUCCESS;
}

/* The power never changes, so that the energy is what it gave since the machine was started. */
nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *millijoules)
{
    BEGIN_GPU(device);
    const struct gpu *gpu = standin_gpu(device);
    struct timespec now;
    if (gpu->watts == 0 || clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        return NVML_ERROR_NOT_SUPPORTED;
    *millijoules = gpu->watts * ((unsigned long long)now.tv_sec * 1000 + (unsigned long long)now.tv_nsec / 1000000);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
    BEGIN_GPU(device);
    *major = (int)standin_gpu(device)->compute_major;
    *minor = (int)standin_gpu(device)->compute_minor;
    return NVML_SUCCESS;
}

/* Where a GPU's own memory is a NUMA node, this names that node, not the nearest one with CPUs. */
nvmlReturn_t nvmlDeviceGetNumaNodeId(nvmlDevice_t device, unsigned *node)
{
    BEGIN_GPU(device);
    if (standin_gpu(device)->own_numa < 0)
        return NVML_ERROR_NOT_SUPPORTED;
    *node = (unsigned)standin_gpu(device)->own_numa;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCpuAffinity(nvmlDevice_t device, unsigned words, unsigned long *set)
{
    BEGIN_GPU(device);
    for (unsigned i = 0; i < words; i++)
        set[i] = i < CPU_WORDS ? standin_gpu(device)->cpus[i] : 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryAffinity(nvmlDevice_t device, unsigned words, unsigned long *set, unsigned scope)
{
    (void)scope;
    BEGIN_GPU(device);
    if (standin_gpu(device)->numa < 0)
        return NVML_ERROR_NOT_SUPPORTED;
    if (words == 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    memset(set, 0, words * sizeof *set);
    set[0] = 1UL << standin_gpu(device)->numa;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCurrPcieLinkGeneration(nvmlDevice_t device, unsigned *generation)
{
    BEGIN_GPU(device);
    *generation = standin_gpu(device)->pcie_generation;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t device, unsigned *generation)
{
    BEGIN_GPU(device);
    *generation = standin_gpu(device)->pcie_generation_max;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCurrPcieLinkWidth(nvmlDevice_t device, unsigned *width)
{
    BEGIN_GPU(device);
    *width = standin_gpu(device)->pcie_width;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkWidth(nvmlDevice_t device, unsigned *width)
{
    BEGIN_GPU(device);
    *width = standin_gpu(device)->pcie_width_max;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *current, unsigned *pending)
{
    BEGIN_GPU(device);
    if (standin_gpu(device)->mig < 0)
        return NVML_ERROR_NOT_SUPPORTED;
    *current = *pending = (unsigned)standin_gpu(device)->mig;
    return NVML_SUCCESS;
}

/* Only uncorrectable errors since the driver was loaded are described; the other counters are 0. */
nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, unsigned type, unsigned counter, unsigned long long *count)
{
    BEGIN_GPU(device);
    *count = type == 1 && counter == 0 ? standin_gpu(device)->ecc_uncorrected : 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned *corrected, unsigned *uncorrected,
                                       unsigned *pending, unsigned *failed)
{
    BEGIN_GPU(device);
    const struct gpu *gpu = standin_gpu(device);
    if (gpu->row_remap_pending < 0 || gpu->row_remap_failed < 0)
        return NVML_ERROR_NOT_SUPPORTED;
    *corrected = 0;
    *pending = (unsigned)gpu->row_remap_pending;
    *failed = (unsigned)gpu->row_remap_failed;
    *uncorrected = *pending + *failed;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetRetiredPagesPendingStatus(nvmlDevice_t device, unsigned *pending)
{
    BEGIN_GPU(device);
    if (standin_gpu(device)->retired_pages_pending < 0)
        return NVML_ERROR_NOT_SUPPORTED;
    *pending = (unsigned)standin_gpu(device)->retired_pages_pending;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons)
{
    BEGIN_GPU(device);
    *reasons = standin_gpu(device)->throttle;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons)
{
    BEGIN_GPU(device);
    *reasons = standin_gpu(device)->throttle;
    return NVML_SUCCESS;
}

/* NVML's protocol: too small a buffer is answered with the number of processes, none with success. */
static nvmlReturn_t processes(nvmlDevice_t device, enum process_kind kind, unsigned *count, nvmlProcessInfo_t *infos)
{
    unsigned found = 0;
    for (unsigned i = 0; i < box.process_count; i++) {
        const struct process *process = &box.processes[i];
        if (process->gpu != standin_gpu(device)->index || process->kind != kind)
            continue;
        if (infos != NULL && found < *count)
            infos[found] = (nvmlProcessInfo_t){process->pid, process->used, ~0U, ~0U};
        found++;
    }
    bool fits = found == 0 || (infos != NULL && found <= *count);
    *count = found;
    return fits ? NVML_SUCCESS : NVML_ERROR_INSUFFICIENT_SIZE;
}

#define PROCESSES(function, kind)                                                               \
    nvmlReturn_t function(nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *infos)       \
    {                                                                                           \
        BEGIN_GPU(device);                                                                      \
        return processes(device, kind, count, infos);                                           \
    }

PROCESSES(nvmlDeviceGetComputeRunningProcesses_v2, PROCESS_COMPUTE)
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v3, PROCESS_COMPUTE)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v2, PROCESS_GRAPHICS)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v3, PROCESS_GRAPHICS)
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v2, PROCESS_MPS)
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v3, PROCESS_MPS)
