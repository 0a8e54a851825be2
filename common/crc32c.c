#include "common/crc32c.h"

#include <pthread.h>
#include <string.h>

enum { SLICES = 8 };

static const uint32_t polynomial = 0x82f63b78; /* Castagnoli, bits reversed */

static uint32_t slices[SLICES][256];
static pthread_once_t slices_once = PTHREAD_ONCE_INIT;

static void make_slices(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;

        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial : 0);
        slices[0][i] = crc;
    }
    for (size_t s = 1; s < SLICES; s++) {
        for (size_t i = 0; i < 256; i++)
            slices[s][i] = (slices[s - 1][i] >> 8) ^ slices[0][slices[s - 1][i] & 0xff];
    }
}

static uint64_t load_le64(const char *ptr)
{
    uint64_t word;

    memcpy(&word, ptr, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static uint32_t by_table(uint32_t crc, struct view bytes)
{
    const char *ptr = bytes.ptr;
    size_t left = bytes.len;

    pthread_once(&slices_once, make_slices);
    for (; left >= SLICES; left -= SLICES, ptr += SLICES) {
        uint64_t word = load_le64(ptr) ^ crc;

        crc = 0;
        for (size_t s = 0; s < SLICES; s++)
            crc ^= slices[SLICES - 1 - s][(word >> (8 * s)) & 0xff];
    }
    for (; left > 0; left--, ptr++)
        crc = (crc >> 8) ^ slices[0][(crc ^ (uint8_t)*ptr) & 0xff];
    return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, struct view bytes)
{
    const char *ptr = bytes.ptr;
    size_t left = bytes.len;

    for (; left >= 8; left -= 8, ptr += 8)
        crc = (uint32_t)__builtin_ia32_crc32di(crc, load_le64(ptr));
    for (; left > 0; left--, ptr++)
        crc = __builtin_ia32_crc32qi(crc, (uint8_t)*ptr);
    return crc;
}
#endif

uint32_t crc32c(uint32_t crc, struct view bytes)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        return ~by_instruction(~crc, bytes);
#endif
    return ~by_table(~crc, bytes);
}
