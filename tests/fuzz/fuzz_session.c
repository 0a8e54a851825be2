/* A whole session: what the client says is fed in parts, wishes are granted, and how it is cut must
 * not matter. Input that begins with '!' is from a trusted client. */
#include "smtpd/session.h"

#include "common/memory.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum {
    INPUT_MAX = 20000,    /* bytes */
    ROOM = 1 << 20,       /* bytes of replies; enough for any input of that size */
    STEPS_MOST = 1 << 20, /* of a session; it cannot have more than bytes */
    LINES = 0,            /* as a length of parts: one line after the other */
};

static struct settings settings = {
    .hostname = VIEW_INIT("mx.test"),
    .limits = { .message_bytes = 3000,
                .recipients = 5,
                .hops = 3,
                .errors = INPUT_MAX, /* would hide a hasty command */
                .body_memory_bytes = 16384 },
    .spool = { .big_body_bytes = 2048 },
};
static struct listener_settings listener;
static const struct message_spool_state spool = { SPOOL_FINE, 2000 };
static struct content_budget budget;
static struct session_rules rules;

static struct domain_settings domains[] = {
    { .name = VIEW_INIT("here.test"), .deliver = DOMAIN_LOCAL },
    { .name = VIEW_INIT("backup.test"), .deliver = DOMAIN_RELAY },
};
static struct mailbox_settings mailbox = { .address = VIEW_INIT("bob@here.test"),
                                           .folder = VIEW_INIT("bob") };

static const struct view team[] = { VIEW_INIT("bob"), VIEW_INIT("x@far.test"),
                                    VIEW_INIT("bob+x@here.test") };
static const struct view round_about[] = { VIEW_INIT("loop@here.test") };
static struct alias_settings aliases[] = {
    { .name = VIEW_INIT("team@here.test"), .targets = team, .target_count = COUNT_OF(team) },
    { .name = VIEW_INIT("loop"), .targets = round_about, .target_count = 1 },
    { .name = VIEW_INIT("pool"), .targets = round_about, .target_count = 1 },
};
static struct domain_settings *domain_list[] = { &domains[0], &domains[1] };

/* What came of it. */
struct outcome_of {
    struct buf out;
    char replies[ROOM], bodies[ROOM];
    size_t bodies_len, committed_len; /* the rest is of a message that has not ended */
    unsigned commits;
};

static void set_up(void)
{
    if (rules.settings != NULL)
        return;
    table_init(&settings.domains, true);
    table_init(&settings.mailboxes, false);
    table_init(&settings.aliases, false);
    settings.detail = VIEW("+");
    settings.domain_list = domain_list;
    settings.domain_count = COUNT_OF(domain_list);
    for (size_t i = 0; i < COUNT_OF(aliases); i++)
        table_add(&settings.aliases, &aliases[i].entry, aliases[i].name);
    table_init(&settings.auth.senders, true);
    settings.auth.users = VIEW("/etc/tern/users");
    listener.auth = LISTENER_AUTH_PLAIN;
    for (size_t i = 0; i < COUNT_OF(domains); i++)
        table_add(&settings.domains, &domains[i].entry, domains[i].name);
    table_add(&settings.mailboxes, &mailbox.entry, mailbox.address);
    budget = (struct content_budget){ .most = settings.limits.body_memory_bytes,
                                      .each_most = settings.spool.big_body_bytes };
    rules = (struct session_rules){ .settings = &settings,
                                    .listener = &listener,
                                    .spool = &spool,
                                    .budget = &budget,
                                    .mechanisms = "PLAIN LOGIN SCRAM-SHA-256",
                                    .starttls = true };
    for (unsigned i = 0; i < EXTENSIONS; i++)
        settings.extensions.on[i] = listener.extensions.on[i] = true;
    listener.limits = settings.limits;
    session_rules_init(&rules);
}

static void take_body(struct session *s, struct outcome_of *o)
{
    struct content *content = session_content(s);
    struct view bytes = content_in_memory(content);

    assert(content->filed || bytes.len <= settings.spool.big_body_bytes);
    if (content->spilled == 0)
        o->bodies_len = o->committed_len;
    bytes.len = MIN(bytes.len, sizeof(o->bodies) - o->bodies_len);
    if (bytes.len > 0)
        memcpy(o->bodies + o->bodies_len, bytes.ptr, bytes.len);
    o->bodies_len += bytes.len;
    content_spilled(content);
}

static void check_envelope(const struct session *s)
{
    static char room[61440];
    struct buf text = BUF_ON_ARRAY(room);
    struct envelope e, back;
    struct arena arena;

    session_envelope(s, &e);
    assert(e.rcpt_count > 0 && e.rcpt_count <= settings.limits.recipients);
    assert(envelope_encode(&e, &text));
    arena_init(&arena, 1 << 20);
    assert(envelope_decode(buf_view(&text), &arena, &back));
    assert(back.rcpt_count == e.rcpt_count && view_equal(back.sender, e.sender));
    arena_reset(&arena);
}

/* What is answered depends on the response alone. */
static void grant_login(struct session *s)
{
    const struct session_auth *a = session_auth(s);
    struct view response = view_make(a->response, a->response_len);

    if (response.len % 4 == 0)
        session_auth_challenged(s, response);
    else if (response.len % 4 == 1)
        session_auth_ended(s, LOGIN_OK, response);
    else
        session_auth_ended(s, (enum login_result)(response.len % LOGIN_RESULTS), VIEW_EMPTY);
}

static void grant(struct session *s, struct outcome_of *o)
{
    switch (session_wish(s)) {
    case WISH_TLS:
        session_tls_ready(s, "TLSv1.3");
        return;
    case WISH_AUTH:
        grant_login(s);
        return;
    case WISH_NAME:
        session_name_failed(s);
        return;
    case WISH_OPEN:
        session_opened(s);
        return;
    case WISH_COMMIT:
        assert(content_bytes(session_content(s)) <= settings.limits.message_bytes + 2048 + 2);
        check_envelope(s);
        take_body(s, o);
        o->committed_len = o->bodies_len;
        o->commits++;
        session_committed(s, o->commits);
        return;
    case WISH_NOTHING:
    case WISH_CLOSE:
        return;
    }
}

/* All of `pending` that can be used now; it moves. */
static void pump(struct session *s, struct view *pending, struct outcome_of *o)
{
    for (unsigned i = 0; i < STEPS_MOST; i++) {
        size_t used = session_feed(s, *pending);
        enum session_wish wish = session_wish(s);

        assert(used <= pending->len);
        *pending = view_from(*pending, used);
        if (session_content(s)->filed)
            take_body(s, o);
        grant(s, o);
        if (used == 0 && (wish == WISH_NOTHING || wish == WISH_CLOSE))
            return;
    }
    assert(false); /* a session that never ends */
}

/* Every line of the server is a reply. */
static void check_replies(struct view out)
{
    struct view line;

    while (view_take_line(&out, &line)) {
        assert(line.len >= 4 && line.ptr[0] >= '2' && line.ptr[0] <= '5');
        assert(byte_is_digit(line.ptr[1]) && byte_is_digit(line.ptr[2]));
        assert(line.ptr[3] == ' ' || line.ptr[3] == '-');
    }
}

static bool next_part(struct fuzz_cuts *cuts, struct view *part)
{
    size_t lf = view_find(cuts->rest, '\n');

    if (cuts->most != LINES)
        return fuzz_next(cuts, part);
    *part = view_sub(cuts->rest, 0, lf + 1);
    cuts->rest = view_from(cuts->rest, part->len);
    return part->len > 0;
}

static void converse(struct view said, size_t most, struct outcome_of *o)
{
    struct net_address client = { .family = AF_INET, .bytes = { 192, 0, 2, 1 } };
    struct fuzz_cuts cuts = fuzz_cut(said, most);
    struct view part, pending = view_sub(said, 0, 0);
    struct session s;

    o->out = BUF_ON_ARRAY(o->replies);
    o->bodies_len = o->committed_len = o->commits = 0;
    session_init(&s, &rules, &client, 1, &o->out);
    s.trusted = view_starts(said, VIEW("!"));
    session_greet(&s);
    while (session_wish(&s) != WISH_CLOSE && next_part(&cuts, &part)) {
        pending.len += part.len; /* the parts lie one behind the other */
        pump(&s, &pending, o);
        assert(session_wish(&s) == WISH_CLOSE || pending.len < SESSION_AUTH_LINE_MAX);
    }
    check_replies(buf_view(&o->out));
    session_release(&s);
    assert(budget.used == 0);
}

static void check_same(const struct outcome_of *a, const struct outcome_of *b)
{
    assert(view_equal(buf_view(&a->out), buf_view(&b->out)));
    assert(a->commits == b->commits && a->committed_len == b->committed_len);
    assert(memcmp(a->bodies, b->bodies, a->committed_len) == 0);
}

/* It was told that it did not wait for an answer. With other cuts it would have. */
static bool was_hasty(const struct outcome_of *o)
{
    struct view out = buf_view(&o->out);

    return view_find_view(out, VIEW("554 5.5.0 ")) < out.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct outcome_of lines, parts;
    static const size_t mosts[] = { 3, 100, INPUT_MAX };
    char *copy;
    struct view said;

    if (len == 0 || len > INPUT_MAX)
        return 0;
    set_up();
    copy = memory_copy(view_make(bytes, len));
    said = view_make(copy, len);
    converse(said, LINES, &lines);
    converse(said, 1, &parts);
    check_same(&lines, &parts);
    for (size_t i = 0; i < COUNT_OF(mosts); i++) {
        converse(said, mosts[i], &parts);
        if (!was_hasty(&parts))
            check_same(&lines, &parts);
    }
    free(copy);
    return 0;
}
