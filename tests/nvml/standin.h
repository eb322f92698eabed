/* Copyright: (c) 2026, The llmops.inference maintainers
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the library's parts share: the box, and the checks that every question begins with. */
#ifndef LLMOPS_STANDIN_H
#define LLMOPS_STANDIN_H

#include "box.h"
#include "nvml.h"

/* The box that nvmlInit has read; meaningless before. */
extern struct box box;

/* Notes the call where NVML_STANDIN_TRACE names a file, and tells whether the library is initialised. */
nvmlReturn_t standin_begin(const char *function);

/* The same for a question to a GPU: also refuses a bad handle, a lost GPU, and what the box says fails. */
nvmlReturn_t standin_begin_gpu(const char *function, nvmlDevice_t device);

/* Copies a text into a caller's buffer of this length. */
nvmlReturn_t standin_text(const char *text, char *target, unsigned length);

void standin_pci(struct pci_address address, nvmlPciInfo_t *pci);

static inline const struct gpu *standin_gpu(nvmlDevice_t device)
{
    return (const struct gpu *)(const void *)device;
}

#define BEGIN()                                                    \
    do {                                                           \
        const nvmlReturn_t refusal_ = standin_begin(__func__);     \
        if (refusal_ != NVML_SUCCESS)                              \
            return refusal_;                                       \
    } while (0)

#define BEGIN_GPU(device)                                                   \
    do {                                                                    \
        const nvmlReturn_t refusal_ = standin_begin_gpu(__func__, device);  \
        if (refusal_ != NVML_SUCCESS)                                       \
            return refusal_;                                                \
    } while (0)

#endif
