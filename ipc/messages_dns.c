#include "ipc/messages_codec.h"

#include <string.h>

const char *dns_result_name(enum dns_result r)
{
    static const char *const names[] = {
        "ok", "no such domain", "no mail hosts", "null MX", "temporary failure", "malformed answer",
    };

    return (unsigned)r < COUNT_OF(names) ? names[r] : "unknown";
}

CODEC_OF_ONE(DNS_FORGET, dns_forget, question, 64)

bool message_dns_ask_encode(const struct message_dns_ask *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_DNS_ASK, room);

    wire_put_u64(&w, m->question);
    wire_put_u8(&w, (uint8_t)m->kind);
    wire_put_view(&w, m->name);
    return message_finish(&w, room);
}

bool message_dns_ask_decode(struct view fields, struct message_dns_ask *m)
{
    struct wire_reader r = wire_read(fields);

    m->question = wire_get_u64(&r);
    m->kind = (enum dns_question)wire_get_enum(&r, DNS_QUESTIONS);
    m->name = wire_get_view(&r);
    return wire_done(&r);
}

bool message_dns_answer_encode(const struct message_dns_answer *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_DNS_ANSWER, room);

    wire_put_u64(&w, m->question);
    wire_put_u8(&w, (uint8_t)m->result);
    wire_put_bool(&w, m->implicit);
    wire_put_view(&w, m->words);
    wire_put_view(&w, m->items);
    wire_put_u32(&w, m->item_count);
    return message_finish(&w, room);
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
