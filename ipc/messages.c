#include "ipc/messages.h"

#include "common/wire.h"
#include "io/channel.h"
#include "ipc/settings.h"

#include <string.h>

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

const char *dns_result_name(enum dns_result r)
{
    static const char *const names[] = {
        "ok", "no such domain", "no mail hosts", "null MX", "temporary failure", "malformed answer",
    };

    return (unsigned)r < COUNT_OF(names) ? names[r] : "unknown";
}

static struct wire_writer begin(enum message type, struct buf *room)
{
    struct wire_writer w = wire_write(room->room, MIN(room->capacity, (size_t)CHANNEL_PACKET_MAX));

    wire_put_u8(&w, (uint8_t)type);
    return w;
}

static bool finish(const struct wire_writer *w, struct buf *room)
{
    struct view bytes;

    buf_clear(room);
    if (!wire_finish(w, &bytes))
        return false;
    buf_extend(room, bytes.len);
    return true;
}

/* A message of one number, or of none, is common enough to be written by a macro. */
#define CODEC_OF_ONE(NAME, lower, field, bits)                                                     \
    bool message_##lower##_encode(const struct message_##lower *m, struct buf *room)               \
    {                                                                                              \
        struct wire_writer w = begin(MESSAGE_##NAME, room);                                        \
                                                                                                   \
        wire_put_u##bits(&w, m->field);                                                            \
        return finish(&w, room);                                                                   \
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
        struct wire_writer w = begin(MESSAGE_##NAME, room);                                        \
                                                                                                   \
        wire_put_u64(&w, m->field);                                                                \
        wire_put_rest(&w, m->bytes);                                                               \
        return finish(&w, room);                                                                   \
    }                                                                                              \
    bool message_##lower##_decode(struct view fields, struct message_##lower *m)                   \
    {                                                                                              \
        struct wire_reader r = wire_read(fields);                                                  \
                                                                                                   \
        m->field = wire_get_u64(&r);                                                               \
        m->bytes = wire_get_rest(&r);                                                              \
        return wire_done(&r);                                                                      \
    }

CODEC_OF_ONE(READY, ready, unused, 8)
CODEC_OF_ONE(DRAIN, drain, stop, 8)
CODEC_OF_ONE(SPOOL_OPEN, spool_open, transaction, 64)
CODEC_OF_ONE(SPOOL_OPENED, spool_opened, transaction, 64)
CODEC_OF_ONE(SPOOL_ABORT, spool_abort, transaction, 64)
CODEC_OF_ONE(READY_FOR, ready_for, jobs, 32)
CODEC_OF_ONE(JOB_CANCEL, job_cancel, job, 64)
CODEC_OF_ONE(JOB_END, job_end, job, 64)
CODEC_OF_PART(SPOOL_PART, spool_part, transaction)
CODEC_OF_PART(JOB_PART, job_part, job)
CODEC_OF_ONE(LOGIN_CANCEL, login_cancel, exchange, 64)
CODEC_OF_PART(LOGIN_CHALLENGE, login_challenge, exchange)
CODEC_OF_PART(LOGIN_RESPONSE, login_response, exchange)
CODEC_OF_PART(KEY_SIGNED, key_signed, request)
CODEC_OF_ONE(TOKEN_REFUSED, token_refused, route, 32)

bool message_grant_encode(const struct message_grant *m, struct buf *room)
{
    struct wire_writer w = begin(MESSAGE_GRANT, room);

    wire_put_u8(&w, (uint8_t)m->kind);
    wire_put_u32(&w, m->index);
    wire_put_u8(&w, (uint8_t)m->peer);
    return finish(&w, room);
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
    struct wire_writer w = begin(MESSAGE_START, room);

    wire_put_u32(&w, m->index);
    wire_put_u32(&w, m->count);
    wire_put_u32(&w, m->generation);
    wire_put_u32(&w, m->uid);
    wire_put_u32(&w, m->gid);
    return finish(&w, room);
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
    struct wire_writer w = begin(MESSAGE_RELOADED, room);

    wire_put_u32(&w, m->generation);
    wire_put_u64(&w, m->at_ms);
    wire_put_bool(&w, m->ok);
    wire_put_view(&w, m->words);
    return finish(&w, room);
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

bool message_spool_state_encode(const struct message_spool_state *m, struct buf *room)
{
    struct wire_writer w = begin(MESSAGE_SPOOL_STATE, room);

    wire_put_u8(&w, (uint8_t)m->trouble);
    wire_put_u64(&w, m->room_bytes);
    return finish(&w, room);
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
    struct wire_writer w = begin(MESSAGE_SPOOL_COMMIT, room);

    wire_put_u64(&w, m->transaction);
    wire_put_u64(&w, m->body_bytes);
    wire_put_u32(&w, m->body_crc);
    wire_put_bool(&w, m->big);
    wire_put_u32(&w, m->envelope_ahead);
    wire_put_view(&w, m->envelope);
    wire_put_rest(&w, m->body);
    return finish(&w, room);
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
    struct wire_writer w = begin(MESSAGE_SPOOL_COMMITTED, room);

    wire_put_u64(&w, m->transaction);
    wire_put_u64(&w, m->message);
    return finish(&w, room);
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
    struct wire_writer w = begin(MESSAGE_SPOOL_FAILED, room);

    wire_put_u64(&w, m->transaction);
    wire_put_u8(&w, (uint8_t)m->trouble);
    return finish(&w, room);
}

bool message_spool_failed_decode(struct view fields, struct message_spool_failed *m)
{
    struct wire_reader r = wire_read(fields);

    m->transaction = wire_get_u64(&r);
    m->trouble = (enum spool_trouble)wire_get_enum(&r, SPOOL_TROUBLES);
    return wire_done(&r);
}

bool message_job_start_encode(const struct message_job_start *m, struct buf *room)
{
    struct wire_writer w = begin(MESSAGE_JOB_START, room);

    wire_put_u64(&w, m->job);
    wire_put_u64(&w, m->message);
    wire_put_u32(&w, m->attempt);
    wire_put_u8(&w, m->hop_kind);
    wire_put_view(&w, m->hop_name);
    wire_put_view(&w, m->host);
    wire_put_u32(&w, m->route);
    wire_put_view(&w, m->site);
    wire_put_view(&w, m->hosts);
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
    return finish(&w, room);
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
    struct wire_writer w = begin(MESSAGE_MX_ASK, room);

    wire_put_u64(&w, m->question);
    wire_put_view(&w, m->domain);
    return finish(&w, room);
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
    struct wire_writer w = begin(MESSAGE_MX_ANSWER, room);

    wire_put_u64(&w, m->question);
    wire_put_view(&w, m->hosts);
    return finish(&w, room);
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
    return wire_done(&r) && m->hosts.len <= MAIL_HOSTS_MAX && is_set_of_hosts(m->hosts);
}

bool message_rcpt_result_encode(const struct message_rcpt_result *m, struct buf *room)
{
    struct wire_writer w = begin(MESSAGE_RCPT_RESULT, room);

    wire_put_u64(&w, m->job);
    wire_put_u32(&w, m->rcpt);
    wire_put_u32(&w, m->duration_ms);
    wire_put_view(&w, m->outcome);
    return finish(&w, room);
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

bool message_dns_ask_encode(const struct message_dns_ask *m, struct buf *room)
{
    struct wire_writer w = begin(MESSAGE_DNS_ASK, room);

    wire_put_u64(&w, m->question);
    wire_put_u8(&w, (uint8_t)m->kind);
    wire_put_view(&w, m->name);
    return finish(&w, room);
}

bool message_dns_ask_decode(struct view fields, struct message_dns_ask *m)
{
    struct wire_reader r = wire_read(fields);

    m->question = wire_get_u64(&r);
    m->kind = (enum dns_question)wire_get_enum(&r, DNS_QUESTIONS);
    m->name = wire_get_view(&r);
    return wire_done(&r);
}

CODEC_OF_ONE(DNS_FORGET, dns_forget, question, 64)

bool message_dns_answer_encode(const struct message_dns_answer *m, struct buf *room)
{
    struct wire_writer w = begin(MESSAGE_DNS_ANSWER, room);

    wire_put_u64(&w, m->question);
    wire_put_u8(&w, (uint8_t)m->result);
    wire_put_bool(&w, m->implicit);
    wire_put_view(&w, m->words);
    wire_put_view(&w, m->items);
    wire_put_u32(&w, m->item_count);
    return finish(&w, room);
}

bool message_dns_answer_decode(struct view fields, struct message_dns_answer *m)
{
    struct wire_reader r = wire_read(fields);

    m->question = wire_get_u64(&r);
    m->result = (enum dns_result)wire_get_enum(&r, DNS_RESULTS);
    m->implicit = wire_get_bool(&r);
    m->words = wire_get_view(&r);
    m->items = wire_get_view(&r);
    m->item_count = wire_get_u32(&r);
    return wire_done(&r);
}

static void put_item(struct wire_writer *w, enum dns_question kind, const struct dns_item *item)
{
    switch (kind) {
    case DNS_ROUTE:
    case DNS_NAME:
        wire_put_u16(w, item->preference);
        wire_put_view(w, item->host);
        break;
    case DNS_ADDRESSES:
    case DNS_LISTED:
        wire_put_u8(w, item->family);
        wire_put_view(w, view_make(item->address, sizeof(item->address)));
        break;
    case DNS_QUESTIONS:
        break;
    }
}

bool dns_items_put(struct buf *out, enum dns_question kind, const struct dns_item *item)
{
    size_t room;
    char *tail = buf_tail(out, &room);
    struct wire_writer w = wire_write(tail, room);
    struct view bytes;

    put_item(&w, kind, item);
    if (!wire_finish(&w, &bytes))
        return false;
    buf_extend(out, bytes.len);
    return true;
}

bool dns_items_take(struct view *rest, enum dns_question kind, struct dns_item *out)
{
    struct wire_reader r = wire_read(*rest);
    struct view address;

    *out = (struct dns_item){ 0 };
    switch (kind) {
    case DNS_ROUTE:
    case DNS_NAME:
        out->preference = wire_get_u16(&r);
        out->host = wire_get_view(&r);
        break;
    case DNS_ADDRESSES:
    case DNS_LISTED:
        out->family = wire_get_u8(&r);
        address = wire_get_view(&r);
        if (address.len != sizeof(out->address))
            return false;
        memcpy(out->address, address.ptr, sizeof(out->address));
        break;
    case DNS_QUESTIONS:
        return false;
    }
    *rest = r.rest;
    return !r.failed;
}

bool message_login_state_encode(const struct message_login_state *m, struct buf *room)
{
    struct wire_writer w = begin(MESSAGE_LOGIN_STATE, room);

    wire_put_view(&w, m->mechanisms);
    return finish(&w, room);
}

bool message_login_state_decode(struct view fields, struct message_login_state *m)
{
    struct wire_reader r = wire_read(fields);

    m->mechanisms = wire_get_view(&r);
    return wire_done(&r);
}

bool message_login_begin_encode(const struct message_login_begin *m, struct buf *room)
{
    struct wire_writer w = begin(MESSAGE_LOGIN_BEGIN, room);

    wire_put_u64(&w, m->exchange);
    wire_put_u64(&w, m->session);
    wire_put_view(&w, m->mechanism);
    wire_put_view(&w, m->client);
    wire_put_view(&w, m->tls);
    wire_put_view(&w, m->exporter);
    wire_put_view(&w, m->unique);
    wire_put_bool(&w, m->initial);
    wire_put_rest(&w, m->response);
    return finish(&w, room);
}

bool message_login_begin_decode(struct view fields, struct message_login_begin *m)
{
    struct wire_reader r = wire_read(fields);

    m->exchange = wire_get_u64(&r);
    m->session = wire_get_u64(&r);
    m->mechanism = wire_get_view(&r);
    m->client = wire_get_view(&r);
    m->tls = wire_get_view(&r);
    m->exporter = wire_get_view(&r);
    m->unique = wire_get_view(&r);
    m->initial = wire_get_bool(&r);
    m->response = wire_get_rest(&r);
    return wire_done(&r);
}

bool message_login_end_encode(const struct message_login_end *m, struct buf *room)
{
    struct wire_writer w = begin(MESSAGE_LOGIN_END, room);

    wire_put_u64(&w, m->exchange);
    wire_put_u8(&w, (uint8_t)m->result);
    wire_put_view(&w, m->login);
    return finish(&w, room);
}

bool message_login_end_decode(struct view fields, struct message_login_end *m)
{
    struct wire_reader r = wire_read(fields);

    m->exchange = wire_get_u64(&r);
    m->result = (enum login_result)wire_get_enum(&r, LOGIN_RESULTS);
    m->login = wire_get_view(&r);
    return wire_done(&r);
}

bool message_key_sign_encode(const struct message_key_sign *m, struct buf *room)
{
    struct wire_writer w = begin(MESSAGE_KEY_SIGN, room);

    wire_put_u64(&w, m->request);
    wire_put_u32(&w, m->key);
    wire_put_u8(&w, m->how);
    wire_put_rest(&w, m->bytes);
    return finish(&w, room);
}

bool message_key_sign_decode(struct view fields, struct message_key_sign *m)
{
    struct wire_reader r = wire_read(fields);

    m->request = wire_get_u64(&r);
    m->key = wire_get_u32(&r);
    m->how = wire_get_u8(&r);
    m->bytes = wire_get_rest(&r);
    return wire_done(&r);
}

bool message_token_ask_encode(const struct message_token_ask *m, struct buf *room)
{
    struct wire_writer w = begin(MESSAGE_TOKEN_ASK, room);

    wire_put_u64(&w, m->question);
    wire_put_u64(&w, m->patience_ms);
    wire_put_view(&w, m->command);
    return finish(&w, room);
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
    struct wire_writer w = begin(MESSAGE_TOKEN_ANSWER, room);

    wire_put_u64(&w, m->question);
    wire_put_u64(&w, m->lifetime_s);
    wire_put_view(&w, m->token);
    wire_put_view(&w, m->words);
    return finish(&w, room);
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

bool message_way_ask_encode(const struct message_way_ask *m, struct buf *room)
{
    struct wire_writer w = begin(MESSAGE_WAY_ASK, room);

    wire_put_u64(&w, m->question);
    wire_put_bool(&w, m->mx);
    wire_put_u8(&w, m->family);
    wire_put_u16(&w, m->port);
    wire_put_view(&w, m->target);
    return finish(&w, room);
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
    struct wire_writer w = begin(MESSAGE_WAY_ANSWER, room);

    wire_put_u64(&w, m->question);
    wire_put_view(&w, m->words);
    wire_put_view(&w, m->hosts);
    return finish(&w, room);
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
