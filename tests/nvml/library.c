/* Copyright: (c) 2026, The llmops.inference maintainers
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The library itself: start and end, versions, and handles. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "standin.h"

#define DEFAULT_BOX "/etc/nvml-standin.box"

struct box box;
static unsigned users; /* nvmlInit minus nvmlShutdown */

static void trace(const char *function)
{
    const char *path = getenv("NVML_STANDIN_TRACE");
    FILE *file = path == NULL ? NULL : fopen(path, "a");
    if (file == NULL)
        return;
    fprintf(file, "%s\n", function);
    fclose(file);
}

nvmlReturn_t standin_begin(const char *function)
{
    trace(function);
    return users > 0 ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
}

static bool is_handle(nvmlDevice_t device)
{
    for (unsigned i = 0; i < box.gpu_count; i++)
        if (standin_gpu(device) == &box.gpus[i])
            return true;
    return false;
}

/* A driver goes on answering from memory what it learned about a GPU before losing it. */
static bool remembered(const char *function)
{
    return fnmatch("nvmlDeviceGetPciInfo*", function, 0) == 0 || strcmp("nvmlDeviceGetUUID", function) == 0 ||
           strcmp("nvmlDeviceGetName", function) == 0 || strcmp("nvmlDeviceGetIndex", function) == 0;
}

static nvmlReturn_t failure_of(const struct gpu *gpu, const char *function)
{
    for (unsigned i = 0; i < box.failure_count; i++)
        if (box.failures[i].gpu == gpu->index && fnmatch(box.failures[i].function, function, 0) == 0)
            return box.failures[i].error;
    return NVML_SUCCESS;
}

nvmlReturn_t standin_begin_gpu(const char *function, nvmlDevice_t device)
{
    nvmlReturn_t refusal = standin_begin(function);
    if (refusal != NVML_SUCCESS)
        return refusal;
    if (!is_handle(device))
        return NVML_ERROR_INVALID_ARGUMENT;
    if (standin_gpu(device)->lost != LOST_NOT && !remembered(function))
        return NVML_ERROR_GPU_IS_LOST;
    return failure_of(standin_gpu(device), function);
}

nvmlReturn_t standin_text(const char *text, char *target, unsigned length)
{
    if (target == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (strlen(text) >= length)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(target, text);
    return NVML_SUCCESS;
}

void standin_pci(struct pci_address address, nvmlPciInfo_t *pci)
{
    memset(pci, 0, sizeof *pci);
    pci->domain = address.domain;
    pci->bus = address.bus;
    pci->device = address.device;
    snprintf(pci->busId, sizeof pci->busId, "%08X:%02X:%02X.0", pci->domain, pci->bus & 0xff, pci->device & 0xff);
    snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "%04X:%02X:%02X.0", pci->domain & 0xffff, pci->bus & 0xff,
             pci->device & 0xff);
}

/* The box is read anew by every first nvmlInit, so that a test can change it under a running host. */
static nvmlReturn_t read_box(void)
{
    const char *chosen = getenv("NVML_STANDIN_BOX");
    const char *path = chosen == NULL ? DEFAULT_BOX : chosen;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        if (chosen != NULL)
            fprintf(stderr, "NVML stand-in: %s cannot be read\n", path);
        return NVML_ERROR_DRIVER_NOT_LOADED;
    }
    char error[256] = "";
    bool understood = box_read(file, &box, error, sizeof error);
    fclose(file);
    if (!understood) {
        fprintf(stderr, "NVML stand-in: %s, %s\n", path, error);
        return NVML_ERROR_UNKNOWN;
    }
    return box.init_error;
}

nvmlReturn_t nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    trace("nvmlInit");
    nvmlReturn_t refusal = users > 0 ? NVML_SUCCESS : read_box();
    if (refusal == NVML_SUCCESS)
        users++;
    return refusal;
}

nvmlReturn_t nvmlInit_v2(void)
{
    return nvmlInitWithFlags(0);
}

nvmlReturn_t nvmlInit(void)
{
    return nvmlInitWithFlags(0);
}

nvmlReturn_t nvmlShutdown(void)
{
    BEGIN();
    users--;
    return NVML_SUCCESS;
}

const char *nvmlErrorString(nvmlReturn_t result)
{
    switch (result) {
    case NVML_SUCCESS: return "Success";
    case NVML_ERROR_UNINITIALIZED: return "Uninitialized";
    case NVML_ERROR_INVALID_ARGUMENT: return "Invalid Argument";
    case NVML_ERROR_NOT_SUPPORTED: return "Not Supported";
    case NVML_ERROR_NO_PERMISSION: return "Insufficient Permissions";
    case NVML_ERROR_NOT_FOUND: return "Not Found";
    case NVML_ERROR_INSUFFICIENT_SIZE: return "Insufficient Size";
    case NVML_ERROR_DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case NVML_ERROR_TIMEOUT: return "Timeout";
    case NVML_ERROR_CORRUPTED_INFOROM: return "Corrupted infoROM";
    case NVML_ERROR_GPU_IS_LOST: return "GPU is lost";
    case NVML_ERROR_RESET_REQUIRED: return "GPU requires reset";
    case NVML_ERROR_LIB_RM_VERSION_MISMATCH: return "Driver/library version mismatch";
    case NVML_ERROR_ARGUMENT_VERSION_MISMATCH: return "Argument version mismatch";
    default: return "Unknown Error";
    }
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    BEGIN();
    return standin_text(box.driver, version, length);
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned length)
{
    BEGIN();
    return standin_text(box.driver, version, length);
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    BEGIN();
    *version = 13000;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version)
{
    return nvmlSystemGetCudaDriverVersion_v2(version);
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count)
{
    BEGIN();
    *count = box.gpu_count;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCount(unsigned *count)
{
    return nvmlDeviceGetCount_v2(count);
}

static nvmlReturn_t open_gpu(struct gpu *gpu, nvmlDevice_t *device)
{
    if (gpu->lost == LOST_AT_HANDLE)
        return NVML_ERROR_GPU_IS_LOST;
    *device = (nvmlDevice_t)(void *)gpu;
    return failure_of(gpu, "nvmlDeviceGetHandleByIndex");
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device)
{
    BEGIN();
    return index < box.gpu_count ? open_gpu(&box.gpus[index], device) : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex(unsigned index, nvmlDevice_t *device)
{
    return nvmlDeviceGetHandleByIndex_v2(index, device);
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
    BEGIN();
    for (unsigned i = 0; i < box.gpu_count; i++)
        if (strcmp(box.gpus[i].uuid, uuid) == 0)
            return open_gpu(&box.gpus[i], device);
    return NVML_ERROR_NOT_FOUND;
}
