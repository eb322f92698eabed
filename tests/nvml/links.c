/* Copyright: (c) 2026, The llmops.inference maintainers
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Questions about two GPUs, and about NVLinks. */
#include "standin.h"

static const struct pair *pair_of(nvmlDevice_t a, nvmlDevice_t b)
{
    return &box.pairs[standin_gpu(a)->index][standin_gpu(b)->index];
}

nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t a, nvmlDevice_t b, unsigned *level)
{
    BEGIN_GPU(a);
    BEGIN_GPU(b);
    *level = pair_of(a, b)->level;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetP2PStatus(nvmlDevice_t a, nvmlDevice_t b, unsigned capability, unsigned *status)
{
    BEGIN_GPU(a);
    BEGIN_GPU(b);
    if (capability >= NVML_P2P_CAPS_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    *status = capability == NVML_P2P_CAPS_INDEX_NVLINK ? pair_of(a, b)->p2p_nvlink : pair_of(a, b)->p2p_read;
    return NVML_SUCCESS;
}

/* A GPU without NVLink supports no question about it; with it, numbers beyond its last link are invalid. */
static nvmlReturn_t nvlink_of(nvmlDevice_t device, unsigned link, const struct nvlink **found)
{
    const struct gpu *gpu = standin_gpu(device);
    if (gpu->nvlink_count == 0)
        return NVML_ERROR_NOT_SUPPORTED;
    if (link >= gpu->nvlink_count)
        return NVML_ERROR_INVALID_ARGUMENT;
    *found = &gpu->nvlinks[link];
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned link, unsigned *active)
{
    BEGIN_GPU(device);
    const struct nvlink *nvlink = NULL;
    nvmlReturn_t refusal = nvlink_of(device, link, &nvlink);
    if (refusal == NVML_SUCCESS)
        *active = nvlink->active;
    return refusal;
}

nvmlReturn_t nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t device, unsigned link, unsigned *type)
{
    BEGIN_GPU(device);
    const struct nvlink *nvlink = NULL;
    nvmlReturn_t refusal = nvlink_of(device, link, &nvlink);
    if (refusal == NVML_SUCCESS)
        *type = nvlink->to_switch ? NVML_NVLINK_DEVICE_TYPE_SWITCH : NVML_NVLINK_DEVICE_TYPE_GPU;
    return refusal;
}

nvmlReturn_t nvmlDeviceGetNvLinkRemotePciInfo_v2(nvmlDevice_t device, unsigned link, nvmlPciInfo_t *pci)
{
    BEGIN_GPU(device);
    const struct nvlink *nvlink = NULL;
    nvmlReturn_t refusal = nvlink_of(device, link, &nvlink);
    if (refusal == NVML_SUCCESS)
        standin_pci(nvlink->remote, pci);
    return refusal;
}

nvmlReturn_t nvmlDeviceGetNvLinkRemotePciInfo(nvmlDevice_t device, unsigned link, nvmlPciInfo_t *pci)
{
    return nvmlDeviceGetNvLinkRemotePciInfo_v2(device, link, pci);
}
