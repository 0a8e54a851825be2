#include "tests/unit/delivery/dialogue.h"

#include "tests/unit/unit.h"

#include <string.h>

enum { RCPTS_MAX = 200 };

struct stage {
    const struct dialogue *d;
    struct client client;
    struct envelope envelope;
    struct client_message message;
    uint32_t batch[RCPTS_MAX];
    unsigned started;
    struct buf *said;
};

static const char *const scopes[] = { "rcpt", "message", "domain", "destination" };

static void note_output(struct stage *s)
{
    struct view out = buf_view(&s->client.out);
    struct view line;

    while (view_take_line(&out, &line))
        buf_printf(s->said, "%.*s\n", VIEW_ARG(line));
    buf_clear(&s->client.out);
}

static void note_outcome(struct stage *s, const struct outcome *o)
{
    buf_printf(s->said, "%s ", outcome_class_name(o->class));
    if (o->code != 0)
        buf_printf(s->said, "%u ", o->code);
    enhanced_print(o->enhanced, s->said);
}

static void note_verdict(struct stage *s, const struct client_verdict *v)
{
    if (v->later) {
        buf_printf(s->said, "[%zu later%s]\n", v->rcpt, v->full ? ", full" : "");
        return;
    }
    if (v->rest)
        buf_put(s->said, VIEW("[rest "));
    else
        buf_printf(s->said, "[%zu ", v->rcpt);
    note_outcome(s, &v->outcome);
    check(s->d->name, v->outcome.scope == (v->rest ? SCOPE_MESSAGE : SCOPE_RCPT));
    buf_printf(s->said, "%s%s]\n", v->elsewhere ? ", elsewhere" : "", v->full ? ", full" : "");
}

static void note_end(struct stage *s)
{
    const struct outcome *o = client_why(&s->client);

    buf_put(s->said, VIEW("[over "));
    note_outcome(s, o);
    buf_printf(s->said, " %s: %.*s while %.*s]\n", scopes[o->scope], VIEW_ARG(o->text),
               VIEW_ARG(o->doing));
}

static void start_message(struct stage *s)
{
    struct client_verdict v;

    if (s->started++ == MAX(s->d->messages, 1)) {
        buf_put(s->said, VIEW("[quit]\n"));
        client_quit(&s->client);
        return;
    }
    buf_put(s->said, VIEW("[start]\n"));
    if (client_start(&s->client, &s->message, &v))
        note_verdict(s, &v);
}

/* False: nothing to do before the server speaks. */
static bool fulfil(struct stage *s)
{
    note_output(s);
    switch (client_wish(&s->client)) {
    case CLIENT_WISH_NOTHING:
        client_speak(&s->client);
        return buf_len(&s->client.out) > 0;
    case CLIENT_WISH_TLS:
        buf_put(s->said, VIEW("[tls]\n"));
        client_tls_ready(&s->client);
        return true;
    case CLIENT_WISH_BODY:
        return false; /* at the end of the turn */
    case CLIENT_WISH_CHUNK:
        if (s->d->slow)
            return false;
        buf_put(s->said, VIEW("[chunk]\n"));
        client_body_sent(&s->client);
        return true;
    case CLIENT_WISH_MESSAGE:
        start_message(s);
        return true;
    case CLIENT_WISH_CLOSE:
        return false;
    }
    return false;
}

static void hear(struct stage *s, struct view input)
{
    struct client_verdict v;

    while (client_hear(&s->client, &input, &v))
        note_verdict(s, &v);
    check(s->d->name, input.len == 0 || client_wish(&s->client) == CLIENT_WISH_CLOSE);
    while (fulfil(s))
        ;
}

static void take_turn(struct stage *s, struct view turn, struct cutter how)
{
    static char room[65536];
    struct buf bytes = BUF_ON_ARRAY(room);
    struct view rest, line;

    while (view_take_line(&turn, &line))
        buf_printf(&bytes, "%.*s\r\n", VIEW_ARG(line));
    rest = buf_view(&bytes);
    while (rest.len > 0 && client_wish(&s->client) != CLIENT_WISH_CLOSE) {
        size_t len = how.seed == NULL ? how.most : 1 + (size_t)random_below(how.seed, how.most);

        hear(s, view_sub(rest, 0, len));
        rest = view_from(rest, len);
    }
}

/* A server that is silent gets the content. */
static void send_body(struct stage *s)
{
    if (client_wish(&s->client) != CLIENT_WISH_BODY && client_wish(&s->client) != CLIENT_WISH_CHUNK)
        return;
    buf_put(s->said,
            client_wish(&s->client) == CLIENT_WISH_BODY ? VIEW("[body]\n") : VIEW("[chunk]\n"));
    client_body_sent(&s->client);
}

static void run_turns(struct stage *s, struct cutter how)
{
    struct view turns = view_of(s->d->server);

    while (turns.len > 0 && client_wish(&s->client) != CLIENT_WISH_CLOSE) {
        struct view turn = view_take_until(&turns, '|');

        if (view_equal(turn, VIEW("EOF")))
            client_closed(&s->client, VIEW("closed"));
        else if (view_equal(turn, VIEW("LATE")))
            client_lost(&s->client, VIEW("timed out"));
        else if (view_equal(turn, VIEW("BODY")))
            send_body(s);
        else
            take_turn(s, turn, how);
    }
}

static void make_envelope(struct stage *s, struct arena *arena)
{
    static char names[RCPTS_MAX][16];
    static struct envelope_rcpt rcpts[RCPTS_MAX];

    s->envelope = (struct envelope){ .sender = VIEW_INIT("s@a.test"),
                                     .rcpts = rcpts,
                                     .rcpt_count = s->d->rcpts > 0 ? s->d->rcpts : 2,
                                     .body_8bit = s->d->eight_bit };
    for (size_t i = 0; i < s->envelope.rcpt_count; i++) {
        struct buf name = BUF_ON_ARRAY(names[i]);

        buf_printf(&name, "r%zu@b.test", i);
        rcpts[i].address = buf_view(&name);
    }
    if (s->d->envelope != NULL)
        assert_true(envelope_decode(view_of(s->d->envelope), arena, &s->envelope));
}

static void make_message(struct stage *s)
{
    for (uint32_t i = 0; i < s->envelope.rcpt_count; i++)
        s->batch[i] = i;
    s->message = (struct client_message){ .envelope = &s->envelope,
                                          .rcpts = s->batch,
                                          .rcpt_count = s->envelope.rcpt_count,
                                          .bytes = s->d->bytes > 0 ? s->d->bytes : 7,
                                          .chunk = s->d->chunk,
                                          .by_seconds = s->d->by_seconds };
}

static void log_in(struct stage *s)
{
    static struct credential c;
    struct view secret = view_of(s->d->secret);

    c = (struct credential){ .login = VIEW_INIT("me"), .token = s->d->token };
    c.secret_len = secret.len;
    memcpy(c.secret, secret.ptr, secret.len);
    client_log_in(&s->client, &c, VIEW("mx.test"), 587);
}

void dialogue_run(const struct dialogue *d, struct cutter how, struct buf *transcript)
{
    static struct stage stage;
    struct stage *s = &stage;
    static const struct settings settings = { .hostname = VIEW_INIT("me.test") };
    const struct tls_memory memory = { .broken_until_ms = d->broken };
    struct arena arena;

    *s = (struct stage){ .d = d, .said = transcript };
    arena_init(&arena, 65536);
    make_envelope(s, &arena);
    make_message(s);
    client_init(&s->client, VIEW("me.test"),
                tlspolicy_choose((struct tls_wish){ d->tls, d->implicit, d->onward }, &memory, 0),
                d->lmtp);
    if (d->mx)
        s->client.own = &settings;
    if (d->secret != NULL)
        log_in(s);
    while (fulfil(s))
        ;
    run_turns(s, how);
    note_output(s);
    if (client_wish(&s->client) == CLIENT_WISH_CLOSE)
        note_end(s);
    client_release(&s->client);
    arena_reset(&arena);
}

static void run_case(const struct dialogue *d, struct cutter how)
{
    static char room[65536];
    struct buf transcript = BUF_ON_ARRAY(room);

    dialogue_run(d, how, &transcript);
    check_view(d->name, buf_view(&transcript), view_of(d->transcript));
}

void dialogue_check(const struct dialogue *cases, size_t count)
{
    uint64_t seed = 1;

    for (size_t i = 0; i < count; i++) {
        run_case(&cases[i], (struct cutter){ SIZE_MAX, NULL });
        if (cases[i].whole_only)
            continue;
        run_case(&cases[i], (struct cutter){ 1, NULL });
        for (int round = 0; round < 20; round++)
            run_case(&cases[i], (struct cutter){ 20, &seed });
    }
}
