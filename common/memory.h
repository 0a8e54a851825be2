/* Allocation that cannot fail: out of memory ends the process, master restarts it. */
#ifndef COMMON_MEMORY_H
#define COMMON_MEMORY_H

#include "common/attrs.h"
#include "common/view.h"

void *memory_new(size_t size) MUST_USE;                           /* zeroed */
void *memory_new_array(size_t count, size_t size) MUST_USE;       /* zeroed, overflow checked */
void *memory_grow(void *old, size_t count, size_t size) MUST_USE; /* realloc; not zeroed */
char *memory_copy(struct view bytes) MUST_USE;                    /* NUL-terminated copy */

#endif
