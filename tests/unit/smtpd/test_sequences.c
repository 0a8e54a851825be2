/* Every pair and triple of commands, in every state (before and after a greeting, under TLS, logged
 * in, in each part of a transaction, where lines are no commands), against a small model of what
 * RFC 5321 and its extensions say: the code of each reply, and what can follow. */
#include "smtpd/session.h"

#include "tests/unit/unit.h"

#include "common/text.h"
#include "ipc/settings.h"

#include <stdio.h>
#include <string.h>

enum place { NEW, READY, SENDER, RCPT, CHUNKS, RESPONSE, CONTENT, CHUNK, OVER, PLACES };

#define SAY_EHLO "EHLO a\r\n"
#define SAY_TLS  "STARTTLS\r\n"
#define SAY_AUTH "AUTH PLAIN AGEAYg==\r\n"
#define SAY_MAIL "MAIL FROM:<a@b.test>\r\n"
#define SAY_RCPT SAY_MAIL "RCPT TO:<bob@here.test>\r\n"

/* What decides about an answer. */
struct at {
    enum place place;
    bool tls, login;
    bool plain; /* HELO was the last greeting */
};

/* clang-format off */
static const struct start {
    const char *way; /* how it is reached */
    struct at at;
} starts[] = {
    { "",                                                         { NEW,      false, false, false } },
    { SAY_EHLO,                                                   { READY,    false, false, false } },
    { "HELO a\r\n",                                               { READY,    false, false, true } },
    { SAY_EHLO SAY_MAIL,                                          { SENDER,   false, false, false } },
    { SAY_EHLO SAY_RCPT,                                          { RCPT,     false, false, false } },
    { "HELO a\r\n" SAY_RCPT,                                      { RCPT,     false, false, true } },
    { SAY_EHLO SAY_RCPT "BDAT 2\r\n\r\n",                         { CHUNKS,   false, false, false } },
    { SAY_EHLO "AUTH LOGIN\r\n",                                  { RESPONSE, false, false, false } },
    { SAY_EHLO SAY_RCPT "DATA\r\n",                               { CONTENT,  false, false, false } },
    { SAY_EHLO SAY_RCPT "BDAT 4000\r\nA: b\r\n",                  { CHUNK,    false, false, false } },
    { SAY_TLS,                                                    { NEW,      true,  false, false } },
    { SAY_TLS SAY_EHLO,                                           { READY,    true,  false, false } },
    { SAY_TLS SAY_EHLO SAY_MAIL,                                  { SENDER,   true,  false, false } },
    { SAY_TLS SAY_EHLO SAY_RCPT,                                  { RCPT,     true,  false, false } },
    { SAY_TLS SAY_EHLO SAY_RCPT "BDAT 2\r\n\r\n",                 { CHUNKS,   true,  false, false } },
    { SAY_TLS SAY_EHLO "AUTH LOGIN\r\n",                          { RESPONSE, true,  false, false } },
    { SAY_TLS SAY_EHLO SAY_RCPT "DATA\r\n",                       { CONTENT,  true,  false, false } },
    { SAY_EHLO SAY_AUTH,                                          { READY,   false, true,  false } },
    { SAY_TLS SAY_EHLO SAY_AUTH,                                  { READY,   true,  true,  false } },
    { SAY_TLS SAY_EHLO SAY_AUTH "HELO a\r\n",                     { READY,   true,  true,  true } },
    { SAY_TLS SAY_EHLO SAY_AUTH SAY_MAIL,                         { SENDER,  true,  true,  false } },
    { SAY_TLS SAY_EHLO SAY_AUTH SAY_RCPT,                         { RCPT,    true,  true,  false } },
    { SAY_TLS SAY_EHLO SAY_AUTH SAY_RCPT "BDAT 2\r\n\r\n",        { CHUNKS,  true,  true,  false } },
    { SAY_TLS SAY_EHLO SAY_AUTH SAY_RCPT "BDAT 4000\r\nA: b\r\n", { CHUNK,   true,  true,  false } },
};

#define IN(place) (1u << (place))
#define ANYWHERE  (IN(NEW) | IN(READY) | IN(SENDER) | IN(RCPT) | IN(CHUNKS))
#define STAYS     PLACES

/* What else a verb does, or depends on. */
enum twist { NOTHING, GREETS_PLAINLY, GREETS, ENCRYPTS, LOGS_IN, RELAYS, RESETS };

static const struct verb {
    const char *text;
    unsigned allowed;
    int code;         /* where it is allowed; elsewhere 503 */
    enum place next;
    int before;       /* another reply first; 0: none */
    enum twist twist;
} verbs[] = {
    { "HELO a\r\n",                      ANYWHERE,               250, READY,  0,   GREETS_PLAINLY },
    { "EHLO a\r\n",                      ANYWHERE,               250, READY,  0,   GREETS },
    { "EHLO\r\n",                        ANYWHERE,               501, STAYS,  0,   NOTHING },
    { "MAIL FROM:<a@b.test>\r\n",        IN(READY),              250, SENDER, 0,   NOTHING },
    { "MAIL FROM:<>\r\n",                IN(READY),              250, SENDER, 0,   NOTHING },
    { "MAIL FROM:<a@b.test> X=Y\r\n",    IN(READY),              555, STAYS,  0,   NOTHING },
    { "RCPT TO:<bob@here.test>\r\n",     IN(SENDER) | IN(RCPT),  250, RCPT,   0,   NOTHING },
    { "RCPT TO:<eve@here.test>\r\n",     IN(SENDER) | IN(RCPT),  550, STAYS,  0,   NOTHING },
    { "RCPT TO:<eve@other.test>\r\n",    IN(SENDER) | IN(RCPT),  554, STAYS,  0,   RELAYS },
    { "DATA\r\n",                        IN(RCPT),               250, READY,  354, NOTHING },
    { "DATA\r\na\nb",                    IN(RCPT),               550, READY,  354, NOTHING },
    { "DATA x\r\n",                      IN(RCPT),               501, STAYS,  0,   NOTHING },
    { "BDAT 2\r\n\r\n",                  IN(RCPT) | IN(CHUNKS),  250, CHUNKS, 0,   NOTHING },
    { "BDAT 3 LAST\r\nx\r\n",            IN(RCPT) | IN(CHUNKS),  250, READY,  0,   NOTHING },
    { "BDAT 1\r\n\n",                    IN(RCPT) | IN(CHUNKS),  550, READY,  0,   NOTHING },
    { "BDAT 9999\r\n",                   IN(RCPT) | IN(CHUNKS),  552, READY,  0,   NOTHING },
    { "RSET\r\n",                        ANYWHERE,               250, READY,  0,   RESETS },
    { "NOOP\r\n",                        ANYWHERE,               250, STAYS,  0,   NOTHING },
    { "VRFY bob\r\n",                    ANYWHERE,               252, STAYS,  0,   NOTHING },
    { "EXPN bob\r\n",                    ANYWHERE,               502, STAYS,  0,   NOTHING },
    { "HELP\r\n",                        ANYWHERE,               214, STAYS,  0,   NOTHING },
    { "WHAT\r\n",                        ANYWHERE,               500, STAYS,  0,   NOTHING },
    { "STARTTLS\r\n",                    IN(NEW) | IN(READY),    220, NEW,    0,   ENCRYPTS },
    { "AUTH PLAIN AGEAYg==\r\n",         IN(READY),              235, STAYS,  0,   LOGS_IN },
    { "AUTH LOGIN\r\n*\r\n",             IN(READY),              501, STAYS,  334, LOGS_IN },
    { "XCLIENT NAME=x\r\n",              IN(NEW) | IN(READY),    550, STAYS,  0,   NOTHING },
    { "QUIT\r\n",                        ANYWHERE,               221, OVER,   0,   NOTHING },
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
static struct listener_settings listener = { .strangers = true, .auth = LISTENER_AUTH_PLAIN };
static const struct message_spool_state spool = { SPOOL_FINE, UINT64_MAX };
static struct content_budget budget = { .most = 1 << 24, .each_most = 1 << 20 };
static struct session_rules rules = { .settings = &settings,
                                      .listener = &listener,
                                      .spool = &spool,
                                      .budget = &budget,
                                      .mechanisms = "PLAIN LOGIN",
                                      .starttls = true };

static int set_up(void **state)
{
    (void)state;
    table_init(&settings.domains, true);
    table_init(&settings.mailboxes, false);
    table_init(&settings.auth.senders, true);
    table_add(&settings.domains, &domain.entry, domain.name);
    table_add(&settings.mailboxes, &mailbox.entry, mailbox.address);
    settings.auth.users = VIEW("/etc/tern/users");
    for (unsigned i = 0; i < EXTENSIONS; i++)
        settings.extensions.on[i] = listener.extensions.on[i] = true;
    listener.limits = settings.limits;
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
};

/* Who answers with more than an initial response has a wrong password. */
static void judge(struct session *s)
{
    const struct session_auth *a = session_auth(s);

    if (a->begun)
        session_auth_ended(s, LOGIN_REFUSED, VIEW_EMPTY);
    else if (a->initial)
        session_auth_ended(s, LOGIN_OK, VIEW("a@b.test"));
    else
        session_auth_challenged(s, VIEW("Username:"));
}

static void grant(struct talk *t)
{
    if (session_wish(&t->session) == WISH_COMMIT)
        session_committed(&t->session, 1);
    else if (session_wish(&t->session) == WISH_TLS)
        session_tls_ready(&t->session, "TLSv1.3");
    else if (session_wish(&t->session) == WISH_AUTH)
        judge(&t->session);
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

static void begin(struct talk *t, const struct start *start)
{
    static const struct net_address client = { .family = AF_INET, .bytes = { 192, 0, 2, 7 } };
    struct view way = view_of(start->way);

    t->out = BUF_ON_ARRAY(t->room);
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

/* Why a verb is refused although its place is right; 0: it is not. */
static int refusal(const struct verb *v, const struct at *at)
{
    if (v->twist == ENCRYPTS && at->tls)
        return 503;
    if (v->twist == LOGS_IN && at->plain)
        return 502;
    return v->twist == LOGS_IN && at->login ? 503 : 0;
}

static bool is_allowed(const struct verb *v, const struct at *at)
{
    return (v->allowed & IN(at->place)) != 0 && refusal(v, at) == 0;
}

static void move(const struct verb *v, struct at *at)
{
    if (v->twist == GREETS_PLAINLY || v->twist == GREETS)
        at->plain = v->twist == GREETS_PLAINLY;
    if (v->twist == ENCRYPTS)
        *at = (struct at){ .place = NEW, .tls = true };
    if (v->code == 235)
        at->login = true;
    if (v->next != STAYS && !(v->twist == RESETS && at->place == NEW))
        at->place = v->next;
}

/* What the model expects of a verb that is heard as one; `at` moves. */
static int expect(const struct verb *v, struct at *at)
{
    if ((v->allowed & IN(at->place)) == 0)
        return 503;
    if (!is_allowed(v, at))
        return refusal(v, at);
    if (v->twist == RELAYS && at->login) {
        at->place = RCPT;
        return 250;
    }
    move(v, at);
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

/* Where lines are not commands: a response, or part of a message, whatever they look like. */
static void run_as_text(struct talk *t, struct view line, struct at *at, const char *name)
{
    char room[64];
    struct buf decoded = BUF_ON_ARRAY(room);
    int code = 0;

    if (at->place == RESPONSE) {
        at->place = READY;
        code = base64_decode(view_sub(line, 0, line.len - 2), &decoded) ? 535 : 501;
    }
    say(t, line);
    check(name, heard(t) == code);
    check(name, session_wish(&t->session) == WISH_NOTHING);
}

static void run_one(struct talk *t, const struct verb *v, struct at *at, const char *name)
{
    bool wanted = is_allowed(v, at);
    struct view text = view_of(v->text);
    size_t line = view_find(text, '\n') + 1;
    int code;

    if (at->place == RESPONSE || at->place == CONTENT || at->place == CHUNK) {
        run_as_text(t, view_sub(text, 0, line), at, name);
        return;
    }
    code = expect(v, at);
    say(t, view_sub(text, 0, line));
    if (wanted && v->before != 0)
        check(name, heard(t) == v->before);
    if (wanted || v->before == 0)
        say(t, view_from(text, line));
    say_content(t, v, wanted);
    if (heard(t) != code)
        fail_msg("%s: %.*s should be answered %d", name, (int)strcspn(v->text, "\r"), v->text,
                 code);
    check(name, (session_wish(&t->session) == WISH_CLOSE) == (at->place == OVER));
}

static void run(struct talk *t, const struct start *start, const size_t *which, size_t count)
{
    struct at at = start->at;
    char name[128];
    int len = snprintf(name, sizeof(name), "start %d:", (int)(start - starts));

    for (size_t i = 0; i < count; i++)
        len += snprintf(name + len, sizeof(name) - (size_t)len, " %.*s",
                        (int)strcspn(verbs[which[i]].text, "\r"), verbs[which[i]].text);
    begin(t, start);
    for (size_t i = 0; i < count && at.place != OVER; i++)
        run_one(t, &verbs[which[i]], &at, name);
    check(name, (t->session.login != NULL) == at.login && (t->session.tls[0] != '\0') == at.tls);
    session_release(&t->session);
    check(name, budget.used == 0);
}

static void every_triple_is_answered_as_the_model_says(void **state)
{
    static struct talk t;
    size_t which[3];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        for (which[0] = 0; which[0] < COUNT_OF(verbs); which[0]++) {
            for (which[1] = 0; which[1] < COUNT_OF(verbs); which[1]++) {
                for (which[2] = 0; which[2] < COUNT_OF(verbs); which[2]++)
                    run(&t, &starts[i], which, 3);
            }
        }
    }
}

/* The ways lead where the table says. */
static void every_start_is_what_it_says(void **state)
{
    static const enum session_state states[] = {
        [NEW] = SESSION_NEW,         [READY] = SESSION_READY,   [SENDER] = SESSION_MAIL,
        [RCPT] = SESSION_RCPT,       [CHUNKS] = SESSION_CHUNKS, [RESPONSE] = SESSION_AUTH,
        [CONTENT] = SESSION_CONTENT, [CHUNK] = SESSION_CONTENT,
    };
    static struct talk t;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        const struct at *at = &starts[i].at;

        begin(&t, &starts[i]);
        check(starts[i].way, t.session.state == states[at->place]);
        check(starts[i].way, (t.session.tls[0] != '\0') == at->tls);
        check(starts[i].way, (t.session.login != NULL) == at->login);
        check(starts[i].way, at->place == NEW || t.session.extended != at->plain);
        session_release(&t.session);
    }
}

/* What a chunk costs is its bytes. */
static void many_tiny_chunks_cost_no_more_memory(void **state)
{
    static struct talk t;
    uint64_t used;

    (void)state;
    begin(&t, &(struct start){ .way = SAY_EHLO SAY_RCPT "BDAT 2\r\n\r\n" });
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
        cmocka_unit_test(every_start_is_what_it_says),
        cmocka_unit_test(every_triple_is_answered_as_the_model_says),
        cmocka_unit_test(many_tiny_chunks_cost_no_more_memory),
    };

    return cmocka_run_group_tests_name("smtpd/sequences", tests, set_up, tear_down);
}
