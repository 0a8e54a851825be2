/* For the sources of ipc/messages.h alone: how an encode and a decode are written. */
#ifndef IPC_MESSAGES_CODEC_H
#define IPC_MESSAGES_CODEC_H

#include "common/wire.h"
#include "ipc/messages.h"

struct wire_writer message_begin(enum message type, struct buf *room);
bool message_finish(const struct wire_writer *w, struct buf *room);

/* A message of one number, or of none, is common enough to be written by a macro. */
#define CODEC_OF_ONE(NAME, lower, field, bits)                                                     \
    bool message_##lower##_encode(const struct message_##lower *m, struct buf *room)               \
    {                                                                                              \
        struct wire_writer w = message_begin(MESSAGE_##NAME, room);                                \
                                                                                                   \
        wire_put_u##bits(&w, m->field);                                                            \
        return message_finish(&w, room);                                                           \
    }                                                                                              \
    bool message_##lower##_decode(struct view fields, struct message_##lower *m)                   \
    {                                                                                              \
        struct wire_reader r = wire_read(fields);                                                  \
                                                                                                   \
        m->field = wire_get_u##bits(&r);                                                           \
        return wire_done(&r);                                                                      \
    }

/* An id and the rest of the packet. */
#define CODEC_OF_PART(NAME, lower, field)                                                          \
    bool message_##lower##_encode(const struct message_##lower *m, struct buf *room)               \
    {                                                                                              \
        struct wire_writer w = message_begin(MESSAGE_##NAME, room);                                \
                                                                                                   \
        wire_put_u64(&w, m->field);                                                                \
        wire_put_rest(&w, m->bytes);                                                               \
        return message_finish(&w, room);                                                           \
    }                                                                                              \
    bool message_##lower##_decode(struct view fields, struct message_##lower *m)                   \
    {                                                                                              \
        struct wire_reader r = wire_read(fields);                                                  \
                                                                                                   \
        m->field = wire_get_u64(&r);                                                               \
        m->bytes = wire_get_rest(&r);                                                              \
        return wire_done(&r);                                                                      \
    }

#endif
