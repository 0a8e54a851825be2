/* Every pair and triple of commands, in every state, against a small model of what RFC 5321 and its
 * extensions say: the code of each reply, and what can follow. */
#include "smtpd/session.h"

#include "tests/unit/unit.h"

#include "ipc/settings.h"

#include <stdio.h>
#include <string.h>

enum place { NEW, READY, SENDER, RCPT, CHUNKS, OVER, PLACES };

/* How each place is reached. */
static const char *const ways[PLACES] = {
    [NEW] = "",
    [READY] = "EHLO a\r\n",
    [SENDER] = "EHLO a\r\nMAIL FROM:<a@b.test>\r\n",
    [RCPT] = "EHLO a\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<bob@here.test>\r\n",
    [CHUNKS] = "EHLO a\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<bob@here.test>\r\nBDAT 2\r\n\r\n",
};

#define AT(place) (1u << (place))
#define ANYWHERE  (AT(NEW) | AT(READY) | AT(SENDER) | AT(RCPT) | AT(CHUNKS))
#define STAYS     PLACES

/* clang-format off */
static const struct verb {
    const char *text;
    unsigned allowed;
    int code;         /* where it is allowed; elsewhere 503 */
    enum place next;
    int before;       /* another reply first; 0: none */
} verbs[] = {
    { "HELO a\r\n",                      ANYWHERE,               250, READY,  0 },
    { "EHLO a\r\n",                      ANYWHERE,               250, READY,  0 },
    { "EHLO\r\n",                        ANYWHERE,               501, STAYS,  0 },
    { "MAIL FROM:<a@b.test>\r\n",        AT(READY),              250, SENDER, 0 },
    { "MAIL FROM:<>\r\n",                AT(READY),              250, SENDER, 0 },
    { "MAIL FROM:<a@b.test> X=Y\r\n",    AT(READY),              555, STAYS,  0 },
    { "RCPT TO:<bob@here.test>\r\n",     AT(SENDER) | AT(RCPT),  250, RCPT,   0 },
    { "RCPT TO:<eve@here.test>\r\n",     AT(SENDER) | AT(RCPT),  550, STAYS,  0 },
    { "RCPT TO:<eve@other.test>\r\n",    AT(SENDER) | AT(RCPT),  554, STAYS,  0 },
    { "DATA\r\n",                        AT(RCPT),               250, READY,  354 },
    { "DATA\r\na\nb",                    AT(RCPT),               550, READY,  354 },
    { "DATA x\r\n",                      AT(RCPT),               501, STAYS,  0 },
    { "BDAT 2\r\n\r\n",                  AT(RCPT) | AT(CHUNKS),  250, CHUNKS, 0 },
    { "BDAT 3 LAST\r\nx\r\n",            AT(RCPT) | AT(CHUNKS),  250, READY,  0 },
    { "BDAT 1\r\n\n",                    AT(RCPT) | AT(CHUNKS),  550, READY,  0 },
    { "BDAT 9999\r\n",                   AT(RCPT) | AT(CHUNKS),  552, READY,  0 },
    { "RSET\r\n",                        ANYWHERE,               250, READY,  0 },
    { "NOOP\r\n",                        ANYWHERE,               250, STAYS,  0 },
    { "VRFY bob\r\n",                    ANYWHERE,               252, STAYS,  0 },
    { "EXPN bob\r\n",                    ANYWHERE,               502, STAYS,  0 },
    { "HELP\r\n",                        ANYWHERE,               214, STAYS,  0 },
    { "WHAT\r\n",                        ANYWHERE,               500, STAYS,  0 },
    { "STARTTLS\r\n",                    AT(NEW) | AT(READY),    220, NEW,    0 },
    { "QUIT\r\n",                        ANYWHERE,               221, OVER,   0 },
};
/* clang-format on */

static struct settings settings = {
    .hostname = VIEW_INIT("mx.test"),
    .limits = { .message_bytes = 5000,
                .recipients = 100,
                .hops = 50,
                .errors = 1000,
                .body_memory_bytes = 1 << 20 },
    .spool = { .big_body_bytes = 1 << 20 },
};
static struct domain_settings domain = { .name = VIEW_INIT("here.test"), .deliver = DOMAIN_LOCAL };
static struct mailbox_settings mailbox = { .address = VIEW_INIT("bob@here.test"),
                                           .folder = VIEW_INIT("bob") };
static struct listener_settings listener = { .strangers = true };
static const struct message_spool_state spool = { SPOOL_FINE, UINT64_MAX };
static struct content_budget budget = { .most = 1 << 24, .each_most = 1 << 20 };
static struct session_rules rules = { .settings = &settings,
                                      .listener = &listener,
                                      .spool = &spool,
                                      .budget = &budget,
                                      .starttls = true };

static int set_up(void **state)
{
    (void)state;
    table_init(&settings.domains, true);
    table_init(&settings.mailboxes, false);
    table_init(&settings.auth.senders, true);
    table_add(&settings.domains, &domain.entry, domain.name);
    table_add(&settings.mailboxes, &mailbox.entry, mailbox.address);
    for (unsigned i = 0; i < EXTENSIONS; i++)
        settings.extensions.on[i] = listener.extensions.on[i] = true;
    session_rules_init(&rules);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    table_release(&settings.domains);
    table_release(&settings.mailboxes);
    table_release(&settings.auth.senders);
    return 0;
}

/* A session with what it has said. */
struct talk {
    struct session session;
    char room[1 << 16];
    struct buf out;
    bool tls;
};

static void grant(struct talk *t)
{
    if (session_wish(&t->session) == WISH_COMMIT) {
        session_committed(&t->session, 1);
    } else if (session_wish(&t->session) == WISH_TLS) {
        t->tls = true;
        session_tls_ready(&t->session, "TLSv1.3");
    }
}

static void say(struct talk *t, struct view text)
{
    size_t used;

    do {
        used = session_feed(&t->session, text);
        text = view_from(text, used);
        grant(t);
    } while (used > 0);
    if (session_wish(&t->session) != WISH_CLOSE)
        assert_int_equal(text.len, 0);
}

static void begin(struct talk *t, enum place place)
{
    static const struct net_address client = { .family = AF_INET, .bytes = { 192, 0, 2, 7 } };
    struct view way = view_of(ways[place]);

    t->out = BUF_ON_ARRAY(t->room);
    t->tls = false;
    session_init(&t->session, &rules, &client, 1, &t->out);
    while (way.len > 0) { /* line by line: EHLO ends a batch */
        size_t len = view_find(way, '\n') + 1;

        say(t, view_sub(way, 0, len));
        way = view_from(way, len);
    }
    buf_clear(&t->out);
}

/* The code of the one reply that is there now, its lines agreeing; 0: there is none. */
static int heard(struct talk *t)
{
    struct view out = buf_view(&t->out), line;
    int code = 0;

    while (view_take_line(&out, &line)) {
        uint64_t number;

        assert_true(view_to_u64(view_sub(line, 0, 3), 999, &number));
        assert_true(code == 0 || code == (int)number);
        code = (int)number;
        if (line.ptr[3] == ' ')
            assert_int_equal(out.len, 0);
    }
    buf_clear(&t->out);
    return code;
}

/* What the model expects; *place and *tls move. */
static int expect(const struct verb *v, enum place *place, bool *tls)
{
    bool starttls = strcmp(v->text, "STARTTLS\r\n") == 0;

    if ((v->allowed & AT(*place)) == 0 || (starttls && *tls))
        return 503;
    *tls = *tls || starttls;
    if (strcmp(v->text, "RSET\r\n") == 0 && *place == NEW)
        return v->code;
    if (v->next != STAYS)
        *place = v->next;
    return v->code;
}

/* The content that belongs to a command whether it is wanted or not, or only when it is. */
static void say_content(struct talk *t, const struct verb *v, bool wanted)
{
    static char chunk[9999];

    if (strncmp(v->text, "BDAT 9999", 9) == 0)
        say(t, view_make(memset(chunk, 'x', sizeof(chunk)), sizeof(chunk)));
    else if (wanted && strcmp(v->text, "DATA\r\n") == 0)
        say(t, VIEW("A: b\r\n\r\n.\r\n"));
    else if (wanted && v->before == 354)
        say(t, VIEW("\r\n.\r\n"));
}

static void run_one(struct talk *t, const struct verb *v, enum place *place, bool *tls,
                    const char *name)
{
    bool wanted = (v->allowed & AT(*place)) != 0;
    struct view text = view_of(v->text);
    size_t line = view_find(text, '\n') + 1;
    int code = expect(v, place, tls);

    say(t, view_sub(text, 0, line));
    if (wanted && v->before != 0)
        check(name, heard(t) == v->before);
    if (wanted || v->before == 0)
        say(t, view_from(text, line));
    say_content(t, v, wanted);
    if (heard(t) != code)
        fail_msg("%s: %.*s should be answered %d", name, (int)strcspn(v->text, "\r"), v->text,
                 code);
    check(name, (session_wish(&t->session) == WISH_CLOSE) == (*place == OVER));
}

static void run(struct talk *t, enum place start, const size_t *which, size_t count)
{
    enum place place = start;
    bool tls = false;
    char name[128];
    int len = snprintf(name, sizeof(name), "from %d:", (int)start);

    for (size_t i = 0; i < count; i++)
        len += snprintf(name + len, sizeof(name) - (size_t)len, " %.*s",
                        (int)strcspn(verbs[which[i]].text, "\r"), verbs[which[i]].text);
    begin(t, start);
    for (size_t i = 0; i < count && place != OVER; i++)
        run_one(t, &verbs[which[i]], &place, &tls, name);
    session_release(&t->session);
    check(name, budget.used == 0);
}

static void every_triple_is_answered_as_the_model_says(void **state)
{
    static struct talk t;
    size_t which[3];

    (void)state;
    for (enum place start = NEW; start < OVER; start++) {
        for (which[0] = 0; which[0] < COUNT_OF(verbs); which[0]++) {
            for (which[1] = 0; which[1] < COUNT_OF(verbs); which[1]++) {
                for (which[2] = 0; which[2] < COUNT_OF(verbs); which[2]++)
                    run(&t, start, which, 3);
            }
        }
    }
}

/* T5: what a chunk costs is its bytes. */
static void many_tiny_chunks_cost_no_more_memory(void **state)
{
    static struct talk t;
    uint64_t used;

    (void)state;
    begin(&t, CHUNKS);
    say(&t, VIEW("BDAT 1000\r\n"));
    for (int i = 0; i < 1000; i++)
        say(&t, VIEW("x"));
    used = budget.used;
    assert_true(used >= 1000 && used <= 8192);
    for (int i = 0; i < 1000; i++) {
        say(&t, VIEW("BDAT 1\r\nx"));
        say(&t, VIEW("BDAT 0\r\n"));
        buf_clear(&t.out);
    }
    assert_int_equal(budget.used, used);
    assert_int_equal(t.session.state, SESSION_CHUNKS);
    session_release(&t.session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_triple_is_answered_as_the_model_says),
        cmocka_unit_test(many_tiny_chunks_cost_no_more_memory),
    };

    return cmocka_run_group_tests_name("smtpd/sequences", tests, set_up, tear_down);
}
