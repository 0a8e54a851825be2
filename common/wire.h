/* Binary fields for messages between processes and for records on disk.
 * Numbers are little-endian; a view is a u32 length and its bytes. Both cursors are
 * sticky: after the first mistake nothing more is read or written, reads give zero
 * and empty views, and the final question answers false. */
#ifndef COMMON_WIRE_H
#define COMMON_WIRE_H

#include "common/attrs.h"
#include "common/view.h"

struct wire_reader {
    struct view rest; /* views that are read borrow from it */
    bool failed;
};

struct wire_writer {
    char *room;
    size_t capacity, len;
    bool failed;
};

struct wire_reader wire_read(struct view bytes);
uint8_t wire_get_u8(struct wire_reader *r);
uint16_t wire_get_u16(struct wire_reader *r);
uint32_t wire_get_u32(struct wire_reader *r);
uint64_t wire_get_u64(struct wire_reader *r);
bool wire_get_bool(struct wire_reader *r); /* anything but 0 and 1 is a mistake */
struct view wire_get_view(struct wire_reader *r);
struct view wire_get_rest(struct wire_reader *r); /* everything up to the end */
/* A number below `count`, for enums; else a mistake. */
unsigned wire_get_enum(struct wire_reader *r, unsigned count);
/* No mistake so far and nothing left over. */
bool wire_done(const struct wire_reader *r) MUST_USE;

struct wire_writer wire_write(void *room, size_t capacity); /* borrows room */
void wire_put_u8(struct wire_writer *w, uint8_t n);
void wire_put_u16(struct wire_writer *w, uint16_t n);
void wire_put_u32(struct wire_writer *w, uint32_t n);
void wire_put_u64(struct wire_writer *w, uint64_t n);
void wire_put_bool(struct wire_writer *w, bool b);
void wire_put_view(struct wire_writer *w, struct view v);
void wire_put_rest(struct wire_writer *w, struct view v); /* bytes without a length */
/* Everything fitted; *bytes is what was written. */
bool wire_finish(const struct wire_writer *w, struct view *bytes) MUST_USE;

#endif
