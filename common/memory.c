#include "common/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static NORETURN void give_up(void)
{
    fputs("out of memory\n", stderr);
    abort();
}

void *memory_new_array(size_t count, size_t size)
{
    void *room = count == 0 || size == 0 ? calloc(1, 1) : calloc(count, size);

    if (room == NULL)
        give_up();
    return room;
}

void *memory_new(size_t size)
{
    return memory_new_array(1, size);
}

void *memory_grow(void *old, size_t count, size_t size)
{
    /* Size 0 would free `old` and answer NULL, which is not a failure. */
    void *room = count == 0 || size == 0 ? realloc(old, 1) : reallocarray(old, count, size);

    if (room == NULL)
        give_up();
    return room;
}

char *memory_copy(struct view bytes)
{
    char *copy = malloc(bytes.len + 1);

    if (copy == NULL)
        give_up();
    if (bytes.len > 0)
        memcpy(copy, bytes.ptr, bytes.len);
    copy[bytes.len] = '\0';
    return copy;
}
