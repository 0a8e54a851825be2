/* Configurations from text, without files. */
#ifndef TESTS_UNIT_CONFIG_TEXT_H
#define TESTS_UNIT_CONFIG_TEXT_H

#include "common/wire.h"
#include "io/config.h"

#include <stdlib.h>

/* A file and its bytes, pairs of them with NULL at the end: the first is the main one. The
 * room must live as long as the config. */
static inline UNUSED struct config *config_from(char *room, size_t size, const char *const *files)
{
    struct wire_writer w = wire_write(room, size);
    struct view bundle;
    uint32_t count = 0;

    while (files[2 * count] != NULL)
        count++;
    wire_put_u32(&w, count);
    for (uint32_t i = 0; i < count; i++) {
        wire_put_view(&w, view_of(files[2 * i]));
        wire_put_view(&w, view_of(files[2 * i + 1]));
    }
    wire_put_u32(&w, 0);
    if (!wire_finish(&w, &bundle))
        abort();
    return config_parse(bundle);
}

#endif
