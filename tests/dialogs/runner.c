/* Runs dialogues against the server's engine: runner SETTINGS DIALOGUE. Each is run with what the
 * client says in one piece, byte by byte, and cut at random. What stands in a dialogue:
 *
 *   # a comment; empty lines too
 *   client 192.0.2.7         where the client is (this is the default)        | these
 *   at submission            the listener's name; else the first one          | come
 *   listener none            its TLS: none, offered, implicit, required       |
 *   set limits.errors 3      another setting, in its smallest unit            | first
 *   offer dsn smtputf8       these extensions, which are off otherwise        |
 *   spool full               the queue's state: fine, full, broken, suspended
 *   room 100                 its room, in bytes
 *   mechanisms PLAIN LOGIN   those that the auth process offers
 *   plain                    the listener's network is trusted: logins without TLS
 *   listed bl.test           the client stands on a list
 *   perhaps-listed bl.test   and one that may allow it did not answer
 *   naming                   the name of the client's host is being looked up
 *   rate messages 3          so many (messages, recipients, failures) are within the rates, ...
 *   rate-of login            ...which are those of: client (the default), network, login
 *   surplus hold             what is beyond a login's: refuse (the default), hold
 *   certificate              the client has one that is a login's
 *   check-from               logins write from their own addresses
 *   whole                    runs in one piece only: it depends on what arrives together
 *
 *   C: MAIL FROM:<a@b.test>  the client's line, CRLF is added
 *   C+ QUIT\r\n              its bytes, with \r \n \t \0 \\ \xHH, and nothing added
 *   C* 3000 x                bytes that many times
 *   S: 250 2.1.0 Sender ok   the server's whole line
 *   S~ 250-                  how its line begins
 *   wish commit              what the engine waits for: nothing, tls, auth, name, open, commit,
 * close give committed           what it gets: tls, opened, committed, or why not (as for spool)
 *   give challenge Who?      what the auth process says; with empty text too
 *   give login bob           ...and how it ends: also refused, too-many, temporary
 *   give name a.test         the name; "give name" alone: there is none; "give name-failed"
 *   response \0bob\0secret   what the client has answered, as bytes; "response" alone: nothing
 *   M: Subject: x            a line of the message that is to be committed, behind Received
 *   M* 3000 x                a line made of that
 *   M.                       its end
 *   trace with ESMTP         words in its Received field
 *   no-trace for             words that are not there
 *   envelope from=a@b.test   a line of its envelope
 *   no-envelope hold=        no line of it begins so
 *   after 300s               silence
 *   turn-away Go             the client has to go, and is told that
 *   drain                    the server wants to end; "drain now": it ends
 *
 * The server must say what stands there, and nothing else. */
#include "common/memory.h"
#include "common/text.h"
#include "io/clock.h"
#include "io/config.h"
#include "ipc/rules.h"
#include "smtpd/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    ROOM = 1 << 20, /* bytes for what each side says at once, and for a message */
    RANDOM_RUNS = 20,
};

enum cut { CUT_WHOLE, CUT_BYTES, CUT_RANDOM };

static const char *const cut_names[] = { "whole", "byte by byte", "cut at random" };

struct dialog {
    const char *path;
    unsigned line; /* number */
    enum cut cut;
    uint64_t random;
    struct settings settings;
    struct listener_settings listener;
    struct message_spool_state spool;
    struct content_budget budget;
    struct session_budget addresses;
    struct session_rules rules;
    char mechanisms[256];
    bool certified;
    struct net_address client;
    struct session session;
    bool begun, whole_only, failed;
    uint64_t rates[RATE_KINDS]; /* what is left of them */
    enum rates_verdict rates_of;
    struct rates buckets; /* of rules, when one was asked for */
    struct buf said;      /* by the client, since the server was last listened to */
    struct buf pending;   /* arrived, not used by the engine yet */
    struct buf out;
    struct buf message; /* spilled or about to be committed */
    struct view message_rest, trace;
    bool message_read;
};

static void fail(struct dialog *d, const char *what, struct view wanted, struct view got)
{
    char room[1024];
    struct buf text = BUF_ON_ARRAY(room);

    (void)json_quote(view_sub(got, 0, 120), &text);
    fprintf(stderr, "%s:%u: (%s) %s: \"%.*s\", but it is %.*s\n", d->path, d->line,
            cut_names[d->cut], what, VIEW_ARG(wanted), VIEW_ARG(buf_view(&text)));
    d->failed = true;
}

static uint64_t random_below(struct dialog *d, uint64_t count)
{
    d->random = d->random * 6364136223846793005u + 1442695040888963407u;
    return (d->random >> 33) % count;
}

/* ---- what stands in for the driver ---- */

static void spill(struct dialog *d)
{
    struct content *content = session_content(&d->session);

    if (!content->filed)
        return;
    (void)buf_put(&d->message, content_in_memory(content));
    content_spilled(content);
}

static void pump(struct dialog *d)
{
    size_t used;

    do {
        /* The engine must not look beyond what it is given: it gets a copy of exactly that. */
        struct view input = buf_view(&d->pending);
        char *copy = memory_copy(input);

        used = session_feed(&d->session, view_make(copy, input.len));
        free(copy);
        buf_consume(&d->pending, used);
        spill(d);
    } while (used > 0);
}

static void arrive(struct dialog *d, struct view bytes)
{
    if (d->session.wish == WISH_CLOSE)
        return;
    (void)buf_put(&d->pending, bytes);
    pump(d);
}

static enum rates_verdict count_rate(struct session *s, enum rate_kind kind)
{
    struct dialog *d = container_of(s, struct dialog, session);

    if (d->rates[kind] == 0)
        return d->rates_of;
    d->rates[kind]--;
    return RATES_FINE;
}

/* Those of rules are real. */
static bool charge_rate(struct session *s, const struct rates_bucket *b, bool take)
{
    struct dialog *d = container_of(s, struct dialog, session);
    struct error err;
    int fd;

    if (d->buckets.memory == NULL) {
        fd = memfd_create("rates", MFD_CLOEXEC);
        if (ftruncate(fd, RATES_BYTES) < 0 || rates_open(&d->buckets, fd, &d->settings, &err) < 0)
            abort();
    }
    return take ? rates_bucket_take(&d->buckets, b, s->now_ms)
                : rates_bucket_look(&d->buckets, b, s->now_ms);
}

static void begin(struct dialog *d)
{
    if (d->begun)
        return;
    d->begun = true;
    d->rules = (struct session_rules){
        .settings = &d->settings,
        .listener = &d->listener,
        .spool = &d->spool,
        .budget = &d->budget,
        .addresses = &d->addresses,
        .counted = count_rate,
        .charged = charge_rate,
        .mechanisms = d->mechanisms,
        .starttls = d->listener.tls != LISTENER_TLS_NONE,
    };
    d->addresses.most = d->settings.limits.address_memory_bytes;
    d->budget.most = d->settings.limits.body_memory_bytes;
    d->budget.each_most = d->settings.spool.big_body_bytes;
    session_rules_init(&d->rules);
    session_init(&d->session, &d->rules, &d->client, 0x5f2a, &d->out);
    d->session.now_ms = 1785758400000;
    session_greet(&d->session);
}

/* 1 to `most`, and small ones often. */
static size_t random_count(struct dialog *d, size_t most)
{
    size_t limit = 1 + random_below(d, 4000);

    return 1 + random_below(d, MIN(most, limit));
}

/* Sends what the client said, in pieces. */
static void flush_client(struct dialog *d)
{
    begin(d);
    while (buf_len(&d->said) > 0) {
        size_t left = buf_len(&d->said), count = left;

        if (d->cut == CUT_BYTES)
            count = 1;
        else if (d->cut == CUT_RANDOM)
            count = random_count(d, left);
        arrive(d, view_sub(buf_view(&d->said), 0, count));
        buf_consume(&d->said, count);
    }
}

static void expect_silence(struct dialog *d)
{
    flush_client(d);
    if (buf_len(&d->out) > 0)
        fail(d, "silence was expected", VIEW_EMPTY, buf_view(&d->out));
    buf_clear(&d->out);
}

/* ---- the words of a dialogue ---- */

static bool put_escape(struct view *text, struct buf *out)
{
    static const char names[] = "rnt0\\", bytes[] = "\r\n\t\0\\";
    const char *name;
    uint64_t number;

    if (view_take_byte(text, 'x')) {
        if (!view_hex_to_u64(view_sub(*text, 0, 2), &number))
            return false;
        *text = view_from(*text, 2);
        return buf_put_byte(out, (char)(uint8_t)number);
    }
    name = text->len > 0 ? memchr(names, text->ptr[0], sizeof(names) - 1) : NULL;
    if (name == NULL)
        return false;
    *text = view_from(*text, 1);
    return buf_put_byte(out, bytes[name - names]);
}

static bool put_escaped(struct view text, struct buf *out)
{
    while (text.len > 0) {
        char c = text.ptr[0];

        text = view_from(text, 1);
        if (c != '\\' ? !buf_put_byte(out, c) : !put_escape(&text, out))
            return false;
    }
    return true;
}

static bool put_repeated(struct view args, struct buf *out)
{
    uint64_t count;

    if (!view_to_u64(view_take_until(&args, ' '), ROOM, &count))
        return false;
    while (count-- > 0) {
        if (!put_escaped(args, out))
            return false;
    }
    return true;
}

static void before_client(struct dialog *d)
{
    begin(d);
    if (buf_len(&d->said) == 0)
        expect_silence(d);
}

static bool run_say(struct dialog *d, struct view args)
{
    before_client(d);
    return buf_put(&d->said, args) && buf_put(&d->said, VIEW("\r\n"));
}

static bool run_say_bytes(struct dialog *d, struct view args)
{
    before_client(d);
    return put_escaped(args, &d->said);
}

static bool run_say_repeated(struct dialog *d, struct view args)
{
    before_client(d);
    return put_repeated(args, &d->said);
}

static struct view take_reply(struct dialog *d)
{
    struct view out, line;

    flush_client(d);
    out = buf_view(&d->out);
    line = view_sub(out, 0, view_find_view(out, VIEW("\r\n")));
    buf_consume(&d->out, MIN(out.len, line.len + 2));
    return line;
}

static bool run_hear(struct dialog *d, struct view args)
{
    struct view line = take_reply(d);

    if (!view_equal(line, args))
        fail(d, "the server should say", args, line);
    return true;
}

static bool run_hear_start(struct dialog *d, struct view args)
{
    struct view line = take_reply(d);

    if (!view_starts(line, args))
        fail(d, "the server's line should begin with", args, line);
    return true;
}

static const char *const wishes[] = {
    [WISH_NOTHING] = "nothing", [WISH_TLS] = "tls",   [WISH_AUTH] = "auth",
    [WISH_NAME] = "name",       [WISH_OPEN] = "open", [WISH_COMMIT] = "commit",
    [WISH_CLOSE] = "close",
};
static const char *const troubles[] = {
    [SPOOL_FINE] = "fine",           [SPOOL_FULL] = "full",       [SPOOL_BROKEN] = "broken",
    [SPOOL_SUSPENDED] = "suspended", [SPOOL_INVALID] = "invalid",
};

static bool find_word(const char *const *words, size_t count, struct view word, unsigned *out)
{
    for (unsigned i = 0; i < count; i++) {
        if (view_equal(view_of(words[i]), word)) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* What is to be committed, and its Received field apart. */
static void take_message(struct dialog *d)
{
    struct view all, rest, line;

    (void)buf_put(&d->message, content_in_memory(session_content(&d->session)));
    all = rest = buf_view(&d->message);
    if (view_starts(rest, VIEW("Received: "))) {
        do
            (void)view_take_line(&rest, &line);
        while (view_starts(rest, VIEW("\t")));
    }
    d->trace = view_sub(all, 0, all.len - rest.len);
    d->message_rest = rest;
    d->message_read = false;
}

static bool run_wish(struct dialog *d, struct view args)
{
    struct view wish;

    flush_client(d);
    wish = view_of(wishes[d->session.wish]);
    if (!view_equal(wish, args))
        fail(d, "the engine should wish", args, wish);
    if (d->session.wish == WISH_COMMIT)
        take_message(d);
    return true;
}

static void end_message(struct dialog *d)
{
    if (d->message_read && d->message_rest.len > 0)
        fail(d, "the message should end here", VIEW_EMPTY, d->message_rest);
    buf_clear(&d->message);
    d->message_rest = d->trace = VIEW_EMPTY;
    d->message_read = false;
}

static bool give_login(struct dialog *d, struct view args)
{
    static const char *const results[] = {
        [LOGIN_REFUSED] = "refused", [LOGIN_TEMPORARY] = "temporary", [LOGIN_TOO_MANY] = "too-many"
    };
    struct view word = view_take_word(&args);

    if (view_equal(word, VIEW("challenge"))) {
        session_auth_challenged(&d->session, args);
        return true;
    }
    if (view_equal(word, VIEW("login"))) {
        session_auth_ended(&d->session, LOGIN_OK, args);
        return true;
    }
    for (unsigned i = LOGIN_REFUSED; i < COUNT_OF(results); i++) {
        if (view_equal(word, view_of(results[i]))) {
            session_auth_ended(&d->session, (enum login_result)i, VIEW_EMPTY);
            return true;
        }
    }
    return false;
}

static bool give_name(struct dialog *d, struct view args)
{
    if (view_equal(args, VIEW("name-failed")))
        session_name_failed(&d->session);
    else if (view_equal(view_take_word(&args), VIEW("name")))
        session_name_client(&d->session, args);
    else
        return false;
    return true;
}

static bool run_give(struct dialog *d, struct view args)
{
    unsigned trouble;

    expect_silence(d);
    if (give_name(d, args)) {
        pump(d);
        return true;
    }
    if (view_equal(args, VIEW("tls"))) {
        buf_clear(&d->pending);
        d->session.bindable = true;
        d->session.external = d->certified;
        session_tls_ready(&d->session, "TLSv1.3 TLS_AES_256_GCM_SHA384 256");
    } else if (view_equal(args, VIEW("opened"))) {
        session_opened(&d->session);
        spill(d);
    } else if (view_equal(args, VIEW("committed"))) {
        end_message(d);
        session_committed(&d->session, 0x19a2c);
    } else if (find_word(troubles, COUNT_OF(troubles), args, &trouble)) {
        end_message(d);
        session_spool_failed(&d->session, (enum spool_trouble)trouble);
    } else if (d->session.wish != WISH_AUTH || !give_login(d, args)) {
        return false;
    }
    pump(d);
    return true;
}

static void expect_line(struct dialog *d, struct view wanted)
{
    struct view line = view_sub(d->message_rest, 0, view_find_view(d->message_rest, VIEW("\r\n")));

    d->message_read = true;
    d->message_rest = view_from(d->message_rest, line.len + 2);
    if (!view_equal(line, wanted))
        fail(d, "the message's line should be", wanted, line);
}

static bool run_message_line(struct dialog *d, struct view args)
{
    expect_line(d, args);
    return true;
}

static bool run_message_repeated(struct dialog *d, struct view args)
{
    struct buf line;
    bool good;

    buf_new(&line, ROOM);
    good = put_repeated(args, &line);
    expect_line(d, buf_view(&line));
    buf_free(&line);
    return good;
}

static bool run_message_end(struct dialog *d, struct view args)
{
    d->message_read = true;
    if (d->message_rest.len > 0)
        fail(d, "the message should end here", VIEW_EMPTY, d->message_rest);
    return args.len == 0;
}

static bool run_trace(struct dialog *d, struct view args)
{
    if (view_find_view(d->trace, args) == d->trace.len)
        fail(d, "Received should have", args, d->trace);
    return true;
}

static bool run_no_trace(struct dialog *d, struct view args)
{
    if (view_find_view(d->trace, args) != d->trace.len)
        fail(d, "Received should not have", args, d->trace);
    return true;
}

static bool check_envelope(struct dialog *d, struct view args, bool wanted)
{
    static char room[65536];
    struct buf text = BUF_ON_ARRAY(room);
    struct envelope e;
    struct view rest, line;
    bool found = false;

    session_envelope(&d->session, &e);
    if (!envelope_encode(&e, &text))
        return false;
    rest = buf_view(&text);
    while (!found && view_take_line(&rest, &line))
        found = wanted ? view_equal(line, args) : view_starts(line, args);
    if (found != wanted)
        fail(d, wanted ? "the envelope should have" : "the envelope should not have", args,
             buf_view(&text));
    return true;
}

static bool run_envelope(struct dialog *d, struct view args)
{
    return check_envelope(d, args, true);
}

static bool run_no_envelope(struct dialog *d, struct view args)
{
    return check_envelope(d, args, false);
}

static bool run_response(struct dialog *d, struct view args)
{
    const struct session_auth *a;
    static char room[ROOM];
    struct buf wanted = BUF_ON_ARRAY(room);

    flush_client(d);
    a = session_auth(&d->session);
    if (a == NULL || !put_escaped(args, &wanted))
        return false;
    if (!view_equal(view_make(a->response, a->response_len), buf_view(&wanted)))
        fail(d, "the response should be", args, view_make(a->response, a->response_len));
    return true;
}

static bool run_after(struct dialog *d, struct view args)
{
    uint64_t seconds;

    if (!view_ends_nocase(args, VIEW("s")) ||
        !view_to_u64(view_sub(args, 0, args.len - 1), 1000000, &seconds))
        return false;
    expect_silence(d);
    if (seconds * 1000 < session_patience_ms(&d->session))
        return true;
    if (d->session.wish == WISH_OPEN || d->session.wish == WISH_COMMIT)
        session_spool_failed(&d->session, SPOOL_BROKEN);
    else if (d->session.wish == WISH_AUTH)
        session_auth_ended(&d->session, LOGIN_TEMPORARY, VIEW_EMPTY);
    else if (d->session.wish == WISH_NAME)
        session_name_failed(&d->session);
    else
        session_time_out(&d->session);
    pump(d);
    return true;
}

static bool run_drain(struct dialog *d, struct view args)
{
    expect_silence(d);
    session_drain(&d->session, args.len > 0);
    return args.len == 0 || view_equal(args, VIEW("now"));
}

static bool run_turn_away(struct dialog *d, struct view args)
{
    char text[128];

    expect_silence(d);
    (void)snprintf(text, sizeof(text), "%.*s", VIEW_ARG(args));
    session_turn_away(&d->session, text);
    return args.len > 0;
}

static bool run_client(struct dialog *d, struct view args)
{
    return !d->begun && net_parse_address(args, &d->client);
}

static bool run_at(struct dialog *d, struct view args)
{
    for (size_t i = 0; i < d->settings.listener_count && !d->begun; i++) {
        d->listener = d->settings.listeners[i];
        if (view_equal(d->listener.name, args))
            return true;
    }
    return false;
}

static bool run_listener(struct dialog *d, struct view args)
{
    static const char *const kinds[] = { [LISTENER_TLS_OFFERED] = "offered",
                                         [LISTENER_TLS_NONE] = "none",
                                         [LISTENER_TLS_IMPLICIT] = "implicit",
                                         [LISTENER_TLS_REQUIRED] = "required" };

    return !d->begun && find_word(kinds, COUNT_OF(kinds), args, &d->listener.tls);
}

static bool run_mechanisms(struct dialog *d, struct view args)
{
    flush_client(d);
    d->settings.auth.users = VIEW("/etc/tern/users");
    (void)snprintf(d->mechanisms, sizeof(d->mechanisms), "%.*s", VIEW_ARG(args));
    return true;
}

static bool run_certificate(struct dialog *d, struct view args)
{
    d->certified = true;
    return args.len == 0;
}

static bool run_check_from(struct dialog *d, struct view args)
{
    d->settings.auth.check_from = true;
    return args.len == 0;
}

static bool run_plain(struct dialog *d, struct view args)
{
    d->listener.auth = LISTENER_AUTH_PLAIN;
    return args.len == 0;
}

static bool run_set(struct dialog *d, struct view args)
{
    const struct {
        struct view name;
        uint64_t *field;
    } fields[] = {
        { VIEW("limits.message-bytes"), &d->listener.limits.message_bytes },
        { VIEW("limits.recipients"), &d->listener.limits.recipients },
        { VIEW("limits.hops"), &d->listener.limits.hops },
        { VIEW("limits.errors"), &d->listener.limits.errors },
        { VIEW("limits.address-memory"), &d->settings.limits.address_memory_bytes },
        { VIEW("limits.body-memory"), &d->settings.limits.body_memory_bytes },
        { VIEW("spool.big-body"), &d->settings.spool.big_body_bytes },
    };
    struct view name = view_take_word(&args);

    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        if (view_equal(fields[i].name, name))
            return !d->begun && view_to_u64(args, UINT64_MAX, fields[i].field);
    }
    return false;
}

static bool run_listed(struct dialog *d, struct view args)
{
    begin(d);
    session_list_client(&d->session, args, true);
    return args.len > 0;
}

static bool run_perhaps_listed(struct dialog *d, struct view args)
{
    begin(d);
    session_list_client(&d->session, args, false);
    return args.len > 0;
}

static bool run_naming(struct dialog *d, struct view args)
{
    begin(d);
    session_await_name(&d->session);
    return args.len == 0;
}

static bool run_rate(struct dialog *d, struct view args)
{
    static const char *const kinds[] = { [RATE_CONNECTIONS] = "connections",
                                         [RATE_MESSAGES] = "messages",
                                         [RATE_RECIPIENTS] = "recipients",
                                         [RATE_FAILURES] = "failures" };
    unsigned kind;

    return find_word(kinds, COUNT_OF(kinds), view_take_word(&args), &kind) &&
           view_to_u64(args, UINT64_MAX, &d->rates[kind]);
}

static bool run_rate_of(struct dialog *d, struct view args)
{
    static const char *const owners[] = { [RATES_FINE] = "nobody",
                                          [RATES_CLIENT] = "client",
                                          [RATES_NETWORK] = "network",
                                          [RATES_LOGIN] = "login" };
    unsigned owner;

    if (!find_word(owners, COUNT_OF(owners), args, &owner))
        return false;
    d->rates_of = (enum rates_verdict)owner;
    return true;
}

static bool run_surplus(struct dialog *d, struct view args)
{
    static const char *const ways[] = { [SURPLUS_REFUSE] = "refuse", [SURPLUS_HOLD] = "hold" };

    return find_word(ways, COUNT_OF(ways), args, &d->listener.rates.login_surplus);
}

/* By their names as settings. */
static bool run_offer(struct dialog *d, struct view args)
{
    const struct config_item *item;
    const char *section;

    while (args.len > 0) {
        struct view word = view_take_word(&args);
        bool found = false;

        for (size_t i = 0; i < settings_item_count(); i++) {
            settings_item(i, &section, &item);
            if (!view_equal(view_of(section), VIEW("extensions")) ||
                !view_equal(view_of(item->name), word))
                continue;
            *(bool *)((char *)&d->settings.extensions + item->offset) = true;
            found = true;
        }
        if (d->begun || !found)
            return false;
    }
    return true;
}

static bool run_spool(struct dialog *d, struct view args)
{
    unsigned trouble;

    flush_client(d);
    if (!find_word(troubles, COUNT_OF(troubles), args, &trouble))
        return false;
    d->spool.trouble = (enum spool_trouble)trouble;
    return true;
}

static bool run_room(struct dialog *d, struct view args)
{
    flush_client(d);
    return view_to_u64(args, UINT64_MAX, &d->spool.room_bytes);
}

static bool run_whole(struct dialog *d, struct view args)
{
    d->whole_only = true;
    return args.len == 0;
}

static const struct {
    struct view word;
    bool (*run)(struct dialog *d, struct view args);
} words[] = {
    { VIEW_INIT("C:"), run_say },
    { VIEW_INIT("C+"), run_say_bytes },
    { VIEW_INIT("C*"), run_say_repeated },
    { VIEW_INIT("S:"), run_hear },
    { VIEW_INIT("S~"), run_hear_start },
    { VIEW_INIT("wish"), run_wish },
    { VIEW_INIT("give"), run_give },
    { VIEW_INIT("response"), run_response },
    { VIEW_INIT("M:"), run_message_line },
    { VIEW_INIT("M*"), run_message_repeated },
    { VIEW_INIT("M."), run_message_end },
    { VIEW_INIT("trace"), run_trace },
    { VIEW_INIT("no-trace"), run_no_trace },
    { VIEW_INIT("envelope"), run_envelope },
    { VIEW_INIT("no-envelope"), run_no_envelope },
    { VIEW_INIT("after"), run_after },
    { VIEW_INIT("turn-away"), run_turn_away },
    { VIEW_INIT("drain"), run_drain },
    { VIEW_INIT("client"), run_client },
    { VIEW_INIT("at"), run_at },
    { VIEW_INIT("listener"), run_listener },
    { VIEW_INIT("mechanisms"), run_mechanisms },
    { VIEW_INIT("plain"), run_plain },
    { VIEW_INIT("certificate"), run_certificate },
    { VIEW_INIT("check-from"), run_check_from },
    { VIEW_INIT("set"), run_set },
    { VIEW_INIT("listed"), run_listed },
    { VIEW_INIT("perhaps-listed"), run_perhaps_listed },
    { VIEW_INIT("naming"), run_naming },
    { VIEW_INIT("rate"), run_rate },
    { VIEW_INIT("rate-of"), run_rate_of },
    { VIEW_INIT("surplus"), run_surplus },
    { VIEW_INIT("offer"), run_offer },
    { VIEW_INIT("spool"), run_spool },
    { VIEW_INIT("room"), run_room },
    { VIEW_INIT("whole"), run_whole },
};

static bool run_line(struct dialog *d, struct view line)
{
    struct view word = view_take_until(&line, ' '); /* one blank: more of them belong to the text */

    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (view_equal(words[i].word, word))
            return words[i].run(d, line);
    }
    return false;
}

/* ---- runs ---- */

static void run(struct dialog *d, struct view text)
{
    struct view line;

    buf_new(&d->said, ROOM);
    buf_new(&d->pending, ROOM);
    buf_new(&d->out, ROOM);
    buf_new(&d->message, 2 * ROOM);
    while (!d->failed && view_take_line(&text, &line)) {
        d->line++;
        if (line.len > 0 && line.ptr[0] != '#' && !run_line(d, line)) {
            fprintf(stderr, "%s:%u: not understood: %.*s\n", d->path, d->line, VIEW_ARG(line));
            d->failed = true;
        }
    }
    if (!d->failed)
        expect_silence(d);
    session_release(&d->session);
    rates_close(&d->buckets);
    if (!d->failed && (d->budget.used != 0 || d->addresses.used != 0)) {
        fprintf(stderr, "%s: memory of messages is still counted\n", d->path);
        d->failed = true;
    }
    buf_free(&d->said);
    buf_free(&d->pending);
    buf_free(&d->out);
    buf_free(&d->message);
}

static struct view read_file(const char *path)
{
    char *room = memory_new(ROOM);
    FILE *f = fopen(path, "rb");
    size_t len;

    if (f == NULL) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    len = fread(room, 1, ROOM, f);
    fclose(f);
    return view_make(room, len);
}

int main(int argc, char **argv)
{
    struct dialog fresh = {
        .client = { .family = AF_INET, .bytes = { 192, 0, 2, 7 } },
        .spool = { SPOOL_FINE, UINT64_MAX },
        .rates = { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX },
        .rates_of = RATES_CLIENT,
    };
    struct error err = { "" };
    struct config *config;
    struct view text;
    bool failed = false, whole_only = false;

    if (argc != 3) {
        fprintf(stderr, "usage: %s SETTINGS DIALOGUE\n", argv[0]);
        return EXIT_FAILURE;
    }
    config = config_read(argv[1]);
    settings_read(&fresh.settings, config);
    clock_load_zone();
    if (rules_prepare(fresh.settings.rules, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return EXIT_FAILURE;
    }
    if (config_error_count(config) > 0) {
        fprintf(stderr, "%.*s", VIEW_ARG(config_errors(config)));
        return EXIT_FAILURE;
    }
    fresh.path = argv[2];
    fresh.listener = fresh.settings.listeners[0];
    text = read_file(argv[2]);
    for (unsigned i = 0; i < 2 + RANDOM_RUNS && !failed && !(whole_only && i > 0); i++) {
        struct dialog d = fresh;

        d.cut = i < CUT_RANDOM ? (enum cut)i : CUT_RANDOM;
        d.random = i;
        run(&d, text);
        failed = d.failed;
        whole_only = d.whole_only;
    }
    settings_release(&fresh.settings);
    config_free(&config);
    free((char *)(uintptr_t)text.ptr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
