#include "ipc/messages_codec.h"

CODEC_OF_ONE(SPOOL_OPEN, spool_open, transaction, 64)
CODEC_OF_ONE(SPOOL_OPENED, spool_opened, transaction, 64)
CODEC_OF_ONE(SPOOL_ABORT, spool_abort, transaction, 64)
CODEC_OF_PART(SPOOL_PART, spool_part, transaction)

bool message_spool_state_encode(const struct message_spool_state *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_SPOOL_STATE, room);

    wire_put_u8(&w, (uint8_t)m->trouble);
    wire_put_u64(&w, m->room_bytes);
    return message_finish(&w, room);
}

bool message_spool_state_decode(struct view fields, struct message_spool_state *m)
{
    struct wire_reader r = wire_read(fields);

    m->trouble = (enum spool_trouble)wire_get_enum(&r, SPOOL_TROUBLES);
    m->room_bytes = wire_get_u64(&r);
    return wire_done(&r);
}

bool message_spool_commit_encode(const struct message_spool_commit *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_SPOOL_COMMIT, room);

    wire_put_u64(&w, m->transaction);
    wire_put_u64(&w, m->body_bytes);
    wire_put_u32(&w, m->body_crc);
    wire_put_bool(&w, m->big);
    wire_put_u32(&w, m->envelope_ahead);
    wire_put_view(&w, m->envelope);
    wire_put_rest(&w, m->body);
    return message_finish(&w, room);
}

bool message_spool_commit_decode(struct view fields, struct message_spool_commit *m)
{
    struct wire_reader r = wire_read(fields);

    m->transaction = wire_get_u64(&r);
    m->body_bytes = wire_get_u64(&r);
    m->body_crc = wire_get_u32(&r);
    m->big = wire_get_bool(&r);
    m->envelope_ahead = wire_get_u32(&r);
    m->envelope = wire_get_view(&r);
    m->body = wire_get_rest(&r);
    return wire_done(&r);
}

bool message_spool_committed_encode(const struct message_spool_committed *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_SPOOL_COMMITTED, room);

    wire_put_u64(&w, m->transaction);
    wire_put_u64(&w, m->message);
    return message_finish(&w, room);
}

bool message_spool_committed_decode(struct view fields, struct message_spool_committed *m)
{
    struct wire_reader r = wire_read(fields);

    m->transaction = wire_get_u64(&r);
    m->message = wire_get_u64(&r);
    return wire_done(&r);
}

bool message_spool_failed_encode(const struct message_spool_failed *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_SPOOL_FAILED, room);

    wire_put_u64(&w, m->transaction);
    wire_put_u8(&w, (uint8_t)m->trouble);
    return message_finish(&w, room);
}

bool message_spool_failed_decode(struct view fields, struct message_spool_failed *m)
{
    struct wire_reader r = wire_read(fields);

    m->transaction = wire_get_u64(&r);
    m->trouble = (enum spool_trouble)wire_get_enum(&r, SPOOL_TROUBLES);
    return wire_done(&r);
}
