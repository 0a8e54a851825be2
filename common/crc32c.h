/* CRC32C (Castagnoli), by the processor's instruction where there is one. */
#ifndef COMMON_CRC32C_H
#define COMMON_CRC32C_H

#include "common/view.h"

/* Continues `crc` (start with 0, or with a seed) over `bytes`. */
uint32_t crc32c(uint32_t crc, struct view bytes);

#endif
