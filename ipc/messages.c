#include "ipc/messages.h"

#include "io/channel.h"
#include "ipc/messages_codec.h"

static const struct {
    const char *name;
    unsigned from, to;
} table[] = {
#define MESSAGE_ROW(NAME, lower, from, to) { #NAME, from, to },
    MESSAGES(MESSAGE_ROW)
#undef MESSAGE_ROW
};

const char *process_name(enum process p)
{
    static const char *const names[] = { "master", "smtpd", "queue", "delivery", "dns",
                                         "local",  "auth",  "keys",  "tokens" };

    return (unsigned)p < COUNT_OF(names) ? names[p] : "unknown";
}

const char *message_name(enum message m)
{
    return (unsigned)m < COUNT_OF(table) ? table[m].name : "unknown";
}

bool message_allowed(enum message m, enum process from, enum process to)
{
    return (unsigned)m < COUNT_OF(table) && (table[m].from & FROM(from)) != 0 &&
           (table[m].to & FROM(to)) != 0;
}

bool message_open(struct view packet, enum message *type, struct view *fields)
{
    if (packet.len == 0 || (unsigned char)packet.ptr[0] >= MESSAGE_KINDS)
        return false;
    *type = (enum message)(unsigned char)packet.ptr[0];
    *fields = view_from(packet, 1);
    return true;
}

struct wire_writer message_begin(enum message type, struct buf *room)
{
    struct wire_writer w = wire_write(room->room, MIN(room->capacity, (size_t)CHANNEL_PACKET_MAX));

    wire_put_u8(&w, (uint8_t)type);
    return w;
}

bool message_finish(const struct wire_writer *w, struct buf *room)
{
    struct view bytes;

    buf_clear(room);
    if (!wire_finish(w, &bytes))
        return false;
    buf_extend(room, bytes.len);
    return true;
}

/* ---- master and its children ---- */

CODEC_OF_ONE(READY, ready, unused, 8)
CODEC_OF_ONE(DRAIN, drain, stop, 8)
CODEC_OF_ONE(TOKEN_REFUSED, token_refused, route, 32)

bool message_grant_encode(const struct message_grant *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_GRANT, room);

    wire_put_u8(&w, (uint8_t)m->kind);
    wire_put_u32(&w, m->index);
    wire_put_u8(&w, (uint8_t)m->peer);
    return message_finish(&w, room);
}

bool message_grant_decode(struct view fields, struct message_grant *m)
{
    struct wire_reader r = wire_read(fields);

    m->kind = (enum grant_kind)wire_get_enum(&r, GRANT_KINDS);
    m->index = wire_get_u32(&r);
    m->peer = (enum process)wire_get_enum(&r, PROCESS_KINDS);
    return wire_done(&r);
}

bool message_start_encode(const struct message_start *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_START, room);

    wire_put_u32(&w, m->index);
    wire_put_u32(&w, m->count);
    wire_put_u32(&w, m->generation);
    wire_put_u32(&w, m->uid);
    wire_put_u32(&w, m->gid);
    return message_finish(&w, room);
}

bool message_start_decode(struct view fields, struct message_start *m)
{
    struct wire_reader r = wire_read(fields);

    m->index = wire_get_u32(&r);
    m->count = wire_get_u32(&r);
    m->generation = wire_get_u32(&r);
    m->uid = wire_get_u32(&r);
    m->gid = wire_get_u32(&r);
    return wire_done(&r);
}

bool message_reloaded_encode(const struct message_reloaded *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_RELOADED, room);

    wire_put_u32(&w, m->generation);
    wire_put_u64(&w, m->at_ms);
    wire_put_bool(&w, m->ok);
    wire_put_view(&w, m->words);
    return message_finish(&w, room);
}

bool message_reloaded_decode(struct view fields, struct message_reloaded *m)
{
    struct wire_reader r = wire_read(fields);

    m->generation = wire_get_u32(&r);
    m->at_ms = wire_get_u64(&r);
    m->ok = wire_get_bool(&r);
    m->words = wire_get_view(&r);
    return wire_done(&r);
}

bool message_token_ask_encode(const struct message_token_ask *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_TOKEN_ASK, room);

    wire_put_u64(&w, m->question);
    wire_put_u64(&w, m->patience_ms);
    wire_put_view(&w, m->command);
    return message_finish(&w, room);
}

bool message_token_ask_decode(struct view fields, struct message_token_ask *m)
{
    struct wire_reader r = wire_read(fields);

    m->question = wire_get_u64(&r);
    m->patience_ms = wire_get_u64(&r);
    m->command = wire_get_view(&r);
    return wire_done(&r);
}

bool message_token_answer_encode(const struct message_token_answer *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_TOKEN_ANSWER, room);

    wire_put_u64(&w, m->question);
    wire_put_u64(&w, m->lifetime_s);
    wire_put_view(&w, m->token);
    wire_put_view(&w, m->words);
    return message_finish(&w, room);
}

bool message_token_answer_decode(struct view fields, struct message_token_answer *m)
{
    struct wire_reader r = wire_read(fields);

    m->question = wire_get_u64(&r);
    m->lifetime_s = wire_get_u64(&r);
    m->token = wire_get_view(&r);
    m->words = wire_get_view(&r);
    return wire_done(&r);
}
