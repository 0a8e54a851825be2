#include "delivery/client.h"

#include "tests/fuzz/fuzz.h"

enum { RCPTS = 3, NOTED_MAX = 1 << 16 };

struct run {
    struct client client;
    struct client_message message;
    bool active;   /* a transaction runs */
    bool dot_said; /* its final dot was said, before anything was heard about it */
    bool decided[RCPTS];
    struct buf *noted;
};

static void book(struct run *r, const struct client_verdict *v)
{
    const struct outcome *o = &v->outcome;

    assert(r->active);
    if (v->later) { /* never the only one */
        assert(v->rcpt < RCPTS && !r->decided[v->rcpt]);
        r->decided[v->rcpt] = true;
        assert(!(r->decided[0] && r->decided[1] && r->decided[2]));
        (void)buf_printf(r->noted, "%zu later\n", v->rcpt);
        return;
    }
    assert(o->enhanced.class == (o->class == OUTCOME_DELIVERED  ? 2
                                 : o->class == OUTCOME_DEFERRED ? 4
                                                                : 5));
    /* Success is said by the reply to the dot, and by nothing else. */
    assert(o->class != OUTCOME_DELIVERED || (v->rest && r->dot_said && o->code / 100 == 2));
    if (v->rest) {
        r->active = false;
    } else {
        assert(v->rcpt < RCPTS && !r->decided[v->rcpt]);
        r->decided[v->rcpt] = true;
        r->active = !(r->decided[0] && r->decided[1] && r->decided[2]);
    }
    (void)buf_printf(r->noted, "%d %zu %s %u %.*s\n", v->rest, v->rcpt,
                     outcome_class_name(o->class), o->code, VIEW_ARG(o->text));
}

static void start(struct run *r)
{
    struct client_verdict v;

    assert(!r->active || r->client.chunk_refused);
    r->active = true;
    r->dot_said = false;
    r->decided[0] = r->decided[1] = r->decided[2] = false;
    if (client_start(&r->client, &r->message, &v)) {
        book(r, &v);
        client_quit(&r->client);
    }
}

static bool fulfil(struct run *r)
{
    struct buf *out = &r->client.out;
    bool said = buf_len(out) > 0;

    (void)buf_put(r->noted, buf_view(out));
    buf_clear(out);
    switch (client_wish(&r->client)) {
    case CLIENT_WISH_NOTHING:
        client_speak(&r->client);
        return said;
    case CLIENT_WISH_TLS:
        client_tls_ready(&r->client);
        return true;
    case CLIENT_WISH_BODY:
    case CLIENT_WISH_CHUNK:
        r->dot_said = true;
        client_body_sent(&r->client);
        return true;
    case CLIENT_WISH_MESSAGE:
        start(r);
        return true;
    case CLIENT_WISH_CLOSE:
        break;
    }
    return false;
}

static void hear(struct run *r, struct view input)
{
    struct client_verdict v;

    while (client_hear(&r->client, &input, &v))
        book(r, &v);
    assert(input.len == 0 || client_wish(&r->client) == CLIENT_WISH_CLOSE);
}

/* The first byte chooses the session: TLS wanted, by which means, how much is heard at once. */
static void talk(struct run *r, struct view input, size_t most)
{
    unsigned choice = (unsigned char)input.ptr[0];
    struct fuzz_cuts cuts = fuzz_cut(view_from(input, 1), most);
    struct view part;

    client_init(&r->client, VIEW("me.test"),
                (struct tls_policy){ .level = (enum route_tls)(choice % 3),
                                     .implicit = (choice & 4) != 0,
                                     .onward = (choice & 8) != 0 },
                (choice & 16) != 0);
    while (fulfil(r))
        ;
    while (client_wish(&r->client) != CLIENT_WISH_CLOSE && fuzz_next(&cuts, &part)) {
        hear(r, part);
        while (fulfil(r))
            ;
    }
    if (client_wish(&r->client) != CLIENT_WISH_CLOSE)
        client_lost(&r->client, VIEW("closed"));
    assert(client_why(&r->client)->enhanced.class != 0);
    client_release(&r->client);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const struct envelope_rcpt rcpts[RCPTS] = { { .address = VIEW_INIT("a@b.test") },
                                                       { .address = VIEW_INIT("c@b.test") },
                                                       { .address = VIEW_INIT("d@b.test") } };
    static const struct envelope envelope = {
        .sender = VIEW_INIT("s@a.test"), .rcpts = rcpts, .rcpt_count = RCPTS, .body_8bit = true
    };
    static const uint32_t batch[RCPTS] = { 0, 1, 2 };
    static char room[NOTED_MAX];
    static struct run r;

    if (len == 0)
        return 0;
    for (size_t most = 1; most <= len; most = most * 16) {
        struct buf noted = BUF_ON_ARRAY(room);

        r = (struct run){ .noted = &noted };
        r.message = (struct client_message){
            .envelope = &envelope,
            .rcpts = batch,
            .rcpt_count = RCPTS,
            .bytes = (bytes[0] & 64) != 0 ? 100000 : 1000,
            .chunk = (bytes[0] & 32) != 0,
        };
        talk(&r, view_make(bytes, len), most);
    }
    return 0;
}
