#include "queue/haste.h"

enum {
    SHARE = 3,  /* others write so many times as much, while there is little excess */
    RESTS = 12, /* times longer for segments that are more than a quarter full */
};

uint64_t haste_excess(uint64_t bytes, uint64_t live_bytes, uint64_t segment_bytes)
{
    uint64_t fine = live_bytes + live_bytes / 2 + HASTE_SLACK * segment_bytes;

    return bytes <= fine ? 0 : (bytes - fine + segment_bytes - 1) / segment_bytes;
}

uint64_t haste_portion(uint64_t excess, uint64_t fresh)
{
    if (fresh == 0 || excess >= HASTE_MOST)
        return HASTE_PORTION_MOST;
    return MIN(MAX(fresh * excess / SHARE, (uint64_t)HASTE_PORTION_LEAST),
               (uint64_t)HASTE_PORTION_MOST);
}

uint64_t haste_pause_ms(uint64_t excess)
{
    return excess < HASTE_MOST ? HASTE_PAUSE_MS : 0;
}

uint64_t haste_rest_ms(uint64_t excess, uint64_t rest_ms, uint64_t live_bytes, uint64_t bytes)
{
    uint64_t left = HASTE_MOST - MIN(MAX(excess, 1U), (uint64_t)HASTE_MOST);

    return (live_bytes * 4 > bytes ? rest_ms * RESTS : rest_ms) * left / (HASTE_MOST - 1);
}
