#include "queue/row.h"
#include "queue/row_parts.h"

#include <inttypes.h>

enum { LAST_ARENA_MAX = 65536 }; /* of one outcome */

static void put_past_last(const struct past *p, struct buf *out)
{
    struct arena arena;
    struct outcome o;

    arena_init(&arena, LAST_ARENA_MAX);
    if (p->outcome.len > 0 && outcome_decode(p->outcome, &arena, &o)) {
        begin_object(out, "last");
        row_put_attempt(out, &o, p->at_ms, 0);
    }
    arena_reset(&arena);
}

static void put_past_rcpt(const struct past *p, const struct envelope_rcpt *r, struct buf *out)
{
    begin_element(out);
    put_view(out, "addr", r->address);
    put_some(out, "original", r->original);
    put_view(out, "state", view_of(past_state_name(p->state)));
    buf_put_byte(out, '}');
}

void row_write_past(const struct past *p, struct buf *out)
{
    const struct envelope *e = &p->envelope;
    size_t left_out = 0;

    buf_printf(out, "{\"v\":1,\"id\":\"%016" PRIx64 "\"", p->id);
    put_view(out, "state", view_of(past_state_name(p->state)));
    put_time(out, "at", p->at_ms);
    put_time(out, "arrived", e->arrival_ms);
    put_number(out, "size", p->body_bytes);
    put_view(out, "sender", e->sender);
    put_number(out, "attempts", p->attempts);
    row_put_facts(e, out);
    put_past_last(p, out);
    put_key(out, "rcpts");
    buf_put_byte(out, '[');
    for (size_t i = 0; i < e->rcpt_count; i++) {
        if (buf_space(out) < RCPT_ROOM)
            left_out++;
        else
            put_past_rcpt(p, &e->rcpts[i], out);
    }
    buf_put_byte(out, ']');
    if (left_out > 0)
        put_number(out, "rcpts_left_out", left_out);
    buf_put(out, VIEW("}\n"));
}
