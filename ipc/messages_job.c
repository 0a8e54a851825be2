#include "ipc/messages_codec.h"
#include "ipc/settings.h"

CODEC_OF_ONE(READY_FOR, ready_for, jobs, 32)
CODEC_OF_ONE(JOB_CANCEL, job_cancel, job, 64)
CODEC_OF_ONE(JOB_END, job_end, job, 64)
CODEC_OF_PART(JOB_PART, job_part, job)

bool message_job_start_encode(const struct message_job_start *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_JOB_START, room);

    wire_put_u64(&w, m->job);
    wire_put_u64(&w, m->message);
    wire_put_u32(&w, m->attempt);
    wire_put_u8(&w, m->hop_kind);
    wire_put_view(&w, m->hop_name);
    wire_put_view(&w, m->host);
    wire_put_u32(&w, m->route);
    wire_put_view(&w, m->site);
    wire_put_view(&w, m->hosts);
    wire_put_u32(&w, m->order);
    wire_put_u32(&w, m->connections);
    wire_put_u32(&w, m->messages_per_connection);
    wire_put_u64(&w, m->connection_us);
    wire_put_bool(&w, m->bdat);
    wire_put_bool(&w, m->big);
    wire_put_u64(&w, m->body_bytes);
    wire_put_u32(&w, m->body_crc);
    wire_put_view(&w, m->envelope);
    wire_put_view(&w, m->indexes);
    wire_put_rest(&w, m->body);
    return message_finish(&w, room);
}

bool message_job_start_decode(struct view fields, struct message_job_start *m)
{
    struct wire_reader r = wire_read(fields);

    m->job = wire_get_u64(&r);
    m->message = wire_get_u64(&r);
    m->attempt = wire_get_u32(&r);
    m->hop_kind = (uint8_t)wire_get_enum(&r, HOP_KINDS);
    m->hop_name = wire_get_view(&r);
    m->host = wire_get_view(&r);
    m->route = wire_get_u32(&r);
    m->site = wire_get_view(&r);
    m->hosts = wire_get_view(&r);
    m->order = wire_get_u32(&r);
    m->connections = wire_get_u32(&r);
    m->messages_per_connection = wire_get_u32(&r);
    m->connection_us = wire_get_u64(&r);
    m->bdat = wire_get_bool(&r);
    m->big = wire_get_bool(&r);
    m->body_bytes = wire_get_u64(&r);
    m->body_crc = wire_get_u32(&r);
    m->envelope = wire_get_view(&r);
    m->indexes = wire_get_view(&r);
    m->body = wire_get_rest(&r);
    return wire_done(&r);
}

bool job_index_put(struct buf *out, uint32_t index)
{
    char room[sizeof(index)];
    struct wire_writer w = wire_write(room, sizeof(room));
    struct view bytes;

    wire_put_u32(&w, index);
    return wire_finish(&w, &bytes) && buf_put(out, bytes);
}

bool job_envelope(const struct message_job_start *m, struct arena *arena, struct envelope *e,
                  const uint32_t **indexes)
{
    struct wire_reader r = wire_read(m->indexes);
    uint32_t *list;

    if (!envelope_decode(m->envelope, arena, e))
        return false;
    list = arena_alloc(arena, e->rcpt_count * sizeof(*list));
    for (size_t i = 0; list != NULL && i < e->rcpt_count; i++)
        list[i] = wire_get_u32(&r);
    *indexes = list;
    return list != NULL && wire_done(&r);
}

bool message_mx_ask_encode(const struct message_mx_ask *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_MX_ASK, room);

    wire_put_u64(&w, m->question);
    wire_put_view(&w, m->domain);
    return message_finish(&w, room);
}

bool message_mx_ask_decode(struct view fields, struct message_mx_ask *m)
{
    struct wire_reader r = wire_read(fields);

    m->question = wire_get_u64(&r);
    m->domain = wire_get_view(&r);
    return wire_done(&r);
}

bool message_mx_answer_encode(const struct message_mx_answer *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_MX_ANSWER, room);

    wire_put_u64(&w, m->question);
    wire_put_view(&w, m->hosts);
    wire_put_u32(&w, m->order);
    return message_finish(&w, room);
}

/* "mx1.example.org,mx2.example.org", perhaps with "+1234abcd" at the end. The worker has it from
 * name servers, and others read it in logs and lists. */
static bool is_set_of_hosts(struct view set)
{
    while (set.len > 0) {
        struct view host = view_take_until(&set, ',');

        if (host.len == 0 || host.len > ADDRESS_DOMAIN_MAX)
            return false;
        for (size_t i = 0; i < host.len; i++) {
            char c = host.ptr[i];

            if (!byte_is_alnum(c) && c != '-' && c != '_' && c != '.' && (c != '+' || i > 0))
                return false;
        }
    }
    return true;
}

bool message_mx_answer_decode(struct view fields, struct message_mx_answer *m)
{
    struct wire_reader r = wire_read(fields);

    m->question = wire_get_u64(&r);
    m->hosts = wire_get_view(&r);
    m->order = wire_get_u32(&r);
    return wire_done(&r) && m->hosts.len <= MAIL_HOSTS_MAX && is_set_of_hosts(m->hosts);
}

bool message_rcpt_result_encode(const struct message_rcpt_result *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_RCPT_RESULT, room);

    wire_put_u64(&w, m->job);
    wire_put_u32(&w, m->rcpt);
    wire_put_u32(&w, m->duration_ms);
    wire_put_view(&w, m->outcome);
    return message_finish(&w, room);
}

bool message_rcpt_result_decode(struct view fields, struct message_rcpt_result *m)
{
    struct wire_reader r = wire_read(fields);

    m->job = wire_get_u64(&r);
    m->rcpt = wire_get_u32(&r);
    m->duration_ms = wire_get_u32(&r);
    m->outcome = wire_get_view(&r);
    return wire_done(&r);
}

bool message_job_again_encode(const struct message_job_again *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_JOB_AGAIN, room);

    wire_put_u64(&w, m->job);
    wire_put_u32(&w, m->rcpts);
    return message_finish(&w, room);
}

bool message_job_again_decode(struct view fields, struct message_job_again *m)
{
    struct wire_reader r = wire_read(fields);

    m->job = wire_get_u64(&r);
    m->rcpts = wire_get_u32(&r);
    return wire_done(&r);
}

bool message_tls_missed_encode(const struct message_tls_missed *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_TLS_MISSED, room);

    wire_put_u64(&w, m->job);
    wire_put_u32(&w, m->for_ms);
    wire_put_view(&w, m->host);
    return message_finish(&w, room);
}

bool message_tls_missed_decode(struct view fields, struct message_tls_missed *m)
{
    struct wire_reader r = wire_read(fields);

    m->job = wire_get_u64(&r);
    m->for_ms = wire_get_u32(&r);
    m->host = wire_get_view(&r);
    return wire_done(&r) && m->host.len <= TLS_MISSED_HOST_MAX;
}

bool message_way_ask_encode(const struct message_way_ask *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_WAY_ASK, room);

    wire_put_u64(&w, m->question);
    wire_put_bool(&w, m->mx);
    wire_put_u8(&w, m->family);
    wire_put_u16(&w, m->port);
    wire_put_view(&w, m->target);
    return message_finish(&w, room);
}

bool message_way_ask_decode(struct view fields, struct message_way_ask *m)
{
    struct wire_reader r = wire_read(fields);

    m->question = wire_get_u64(&r);
    m->mx = wire_get_bool(&r);
    m->family = wire_get_u8(&r);
    m->port = wire_get_u16(&r);
    m->target = wire_get_view(&r);
    return wire_done(&r);
}

bool message_way_answer_encode(const struct message_way_answer *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_WAY_ANSWER, room);

    wire_put_u64(&w, m->question);
    wire_put_view(&w, m->words);
    wire_put_view(&w, m->hosts);
    return message_finish(&w, room);
}

bool message_way_answer_decode(struct view fields, struct message_way_answer *m)
{
    struct wire_reader r = wire_read(fields);

    m->question = wire_get_u64(&r);
    m->words = wire_get_view(&r);
    m->hosts = wire_get_view(&r);
    return wire_done(&r);
}

bool way_hosts_put(struct buf *out, const struct way_host *h)
{
    size_t room;
    char *tail = buf_tail(out, &room);
    struct wire_writer w = wire_write(tail, room);
    struct view bytes;

    wire_put_u16(&w, h->preference);
    wire_put_bool(&w, h->tried);
    wire_put_view(&w, h->name);
    wire_put_view(&w, h->addresses);
    if (!wire_finish(&w, &bytes))
        return false;
    buf_extend(out, bytes.len);
    return true;
}

bool way_hosts_take(struct view *rest, struct way_host *out)
{
    struct wire_reader r = wire_read(*rest);

    *out = (struct way_host){ .tried = false };
    out->preference = wire_get_u16(&r);
    out->tried = wire_get_bool(&r);
    out->name = wire_get_view(&r);
    out->addresses = wire_get_view(&r);
    *rest = r.rest;
    return !r.failed;
}
