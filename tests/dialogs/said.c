/* What client, server and driver say. */
#include "tests/dialogs/dialog.h"

#include <stdio.h>
#include <string.h>

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
    } else if (find_word(troubles, TROUBLES, args, &trouble)) {
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

/* And nothing of the messages before it is left. */
static bool run_applied(struct dialog *d, struct view args)
{
    if (!view_equal(args, view_of(d->applied)))
        fail(d, "the message's rules should be", args, view_of(d->applied));
    d->applied[0] = '\0';
    return true;
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

const struct word words_said[] = {
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
    { VIEW_INIT("applied"), run_applied },
    { VIEW_INIT("after"), run_after },
    { VIEW_INIT("turn-away"), run_turn_away },
    { VIEW_INIT("drain"), run_drain },
    { VIEW_INIT(""), NULL },
};
