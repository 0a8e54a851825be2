#include "smtpd/session.h"

#include "common/memory.h"
#include "ipc/policy.h"
#include "mail/reply.h"
#include "smtpd/commands.h"
#include "smtpd/extensions.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTENT_STEP = 16384 }; /* bytes that are looked at together, and need room in memory */

void session_rules_init(struct session_rules *r)
{
    const struct listener_settings *l = r->listener;
    struct view hostname = l->hostname.len > 0 ? l->hostname : r->settings->hostname;

    snprintf(r->hostname, sizeof(r->hostname), "%.*s", VIEW_ARG(hostname));
    snprintf(r->greeting, sizeof(r->greeting), "%s %.*s", r->hostname, VIEW_ARG(l->banner));
    r->needs_header = screen_needs_header(r->settings->rules);
    for (unsigned i = 0; i < EXTENSIONS; i++)
        r->extensions.on[i] = r->settings->extensions.on[i] && l->extensions.on[i];
}

/* What the transaction's addresses take now. */
static void charge(struct session *s)
{
    struct session_budget *b = s->rules->addresses;
    size_t bytes = s->transaction.arena.used;

    if (b == NULL)
        return;
    b->used = b->used - s->charged + bytes;
    s->charged = bytes;
}

static void reset_transaction(struct session *s)
{
    struct transaction *t = &s->transaction;

    recipients_forget(t);
    arena_reset(&t->arena);
    head_clear(&t->head, s->rules->budget);
    content_clear(&t->content);
    *t = (struct transaction){ .arena = t->arena, .content = t->content };
    charge(s);
}

void session_init(struct session *s, const struct session_rules *rules,
                  const struct net_address *client, uint64_t id, struct buf *out)
{
    *s = (struct session){ .rules = rules, .out = out, .id = id };
    session_set_client(s, client);
    s->transaction.content.budget = rules->budget;
    arena_init(&s->transaction.arena, SESSION_ARENA_MAX);
}

void session_set_client(struct session *s, const struct net_address *client)
{
    struct buf text = buf_on(s->client_text, sizeof(s->client_text) - 1);

    s->client = *client;
    s->client_count++;
    s->may_xclient = network_list_has(&s->rules->listener->xclient, client);
    s->helo_len = 0;
    s->helo_fixed = false;
    s->protocol_fixed = NULL;
    memset(s->client_text, 0, sizeof(s->client_text));
    if (!net_print_address(client, &text))
        buf_put(&text, VIEW("unknown"));
    s->trusted = policy_trusts(s->rules->settings, s->rules->listener, client);
    session_name_client(s, VIEW_EMPTY);
    session_list_client(s, VIEW_EMPTY, false);
    session_log_in(s, VIEW_EMPTY);
}

void session_log_in(struct session *s, struct view login)
{
    free(s->login);
    s->login = login.len > 0 ? memory_copy(login) : NULL;
    s->trusted = login.len > 0 || policy_trusts(s->rules->settings, s->rules->listener, &s->client);
}

void session_release(struct session *s)
{
    reset_transaction(s);
    auth_forget(s);
    free(s->client_name);
    s->client_name = NULL;
    free(s->login);
    s->login = NULL;
}

void session_list_client(struct session *s, struct view list, bool sure)
{
    s->listed_at = list;
    s->listed_surely = sure;
}

static void settle_name(struct session *s, struct view name, enum session_naming naming)
{
    free(s->client_name);
    s->client_name = name.len > 0 ? memory_copy(view_sub(name, 0, SESSION_HELO_MAX)) : NULL;
    s->naming = naming;
    if (s->wish == WISH_NAME)
        s->wish = WISH_NOTHING;
}

void session_await_name(struct session *s)
{
    s->naming = NAME_AWAITED;
}

void session_name_client(struct session *s, struct view name)
{
    settle_name(s, name, NAME_SETTLED);
}

void session_name_failed(struct session *s)
{
    settle_name(s, VIEW_EMPTY, NAME_FAILED);
}

static void say(struct session *s, unsigned code, const char *enhanced, const char *text)
{
    bool fits = reply_print(code, enhanced, view_of(text), s->out);

    /* session_feed looks for room first; the other callers begin with an empty buffer. */
    assert(fits);
}

static void tell_refusal(const struct session *s, const struct step *step, bool of_mail)
{
    struct session_refusal r = {
        .code = step->code,
        .enhanced = step->enhanced,
        .text = step->text,
        .rule = s->asked_rule,
        .of_mail = of_mail,
        .sender = s->asked_sender.ptr != NULL ? s->asked_sender : s->transaction.sender,
        .recipient = s->asked_rcpt,
    };

    if (s->rules->refused != NULL)
        s->rules->refused(s, &r);
}

static bool in_transaction(enum session_state state)
{
    return state == SESSION_MAIL || state == SESSION_RCPT || state == SESSION_CONTENT ||
           state == SESSION_CHUNKS;
}

static void close_session(struct session *s)
{
    s->state = SESSION_CLOSED;
    s->wish = WISH_CLOSE;
    reset_transaction(s);
}

/* A failure: of the session, and among those of its client and its network. */
static bool is_one_too_many(struct session *s)
{
    bool over = ++s->errors > s->rules->listener->limits.errors;

    if (s->rules->counted != NULL && s->rules->counted(s, RATE_FAILURES) != RATES_FINE)
        over = true;
    return over;
}

/* What becomes of a decision; the only place where the state changes, errors are counted and a
 * transaction ends. */
static void take_step(struct session *s, struct step step, bool of_mail)
{
    if (step.code >= 400)
        tell_refusal(s, &step, of_mail);
    if (step.code >= 500 && is_one_too_many(s))
        step = step_close(421, "4.7.0", "Too many errors");
    if (step.code != 0)
        say(s, step.code, step.enhanced, step.text);
    s->asked_sender = s->asked_rcpt = VIEW_EMPTY;
    s->asked_rule = NULL;
    s->state = step.next;
    s->wish = step.wish;
    if (step.next != SESSION_AUTH)
        auth_forget(s);
    if (step.next == SESSION_CLOSED)
        close_session(s);
    else if (!in_transaction(step.next))
        reset_transaction(s);
    else
        charge(s);
    if (s->draining)
        session_drain(s, false);
}

void session_greet(struct session *s)
{
    if (s->rules->listener->tls == LISTENER_TLS_IMPLICIT && s->tls[0] == '\0') {
        s->wish = WISH_TLS;
        return;
    }
    take_step(s, step_greet(s), true);
}

/* The length of the first line with its CRLF; 0: it is not whole. Nothing but CRLF ends it. */
static size_t line_length(struct view input)
{
    size_t at = 0;

    for (;;) {
        at += view_find(view_from(input, at), '\n');
        if (at == input.len)
            return 0;
        if (at > 0 && input.ptr[at - 1] == '\r')
            return at + 1;
        at++;
    }
}

/* The rest of a line that was too long. A CR at the end may be half of its CRLF. */
static size_t skip_line(struct session *s, struct view input)
{
    size_t len = line_length(input);

    if (len > 0) {
        s->skipping = false;
        return len;
    }
    return input.ptr[input.len - 1] == '\r' ? input.len - 1 : input.len;
}

/* NULL: as it should be. */
static const char *find_stray(struct view line)
{
    if (view_has(line, '\r') || view_has(line, '\n'))
        return "Bare CR or LF in a command: lines end in CRLF";
    return view_has(line, '\0') ? "NUL in a command" : NULL;
}

static size_t line_most(const struct session *s, struct view input)
{
    bool long_one = s->state == SESSION_AUTH || view_starts_nocase(input, VIEW("AUTH "));

    return long_one ? SESSION_AUTH_LINE_MAX : SESSION_LINE_MAX;
}

/* What follows a BDAT that cannot be read must not be taken for commands. */
static struct step refuse_line(const struct session *s, struct view line, const char *words)
{
    if (s->state == SESSION_AUTH)
        return auth_refuse_line("5.5.6", words);
    if (view_starts_nocase(line, VIEW("BDAT")) && extension_on(s, EXTENSION_CHUNKING))
        return step_close(500, "5.5.2", words);
    return step_refuse(s, 500, "5.5.2", words);
}

static struct step run_line(struct session *s, struct view line, bool more_input, bool *of_mail)
{
    const char *stray = find_stray(line);

    if (stray != NULL)
        return refuse_line(s, line, stray);
    return s->state == SESSION_AUTH ? auth_hear(s, line)
                                    : command_run(s, line, more_input, of_mail);
}

/* Returns what was used; 0: the line is not whole. */
static size_t feed_line(struct session *s, struct view input)
{
    size_t len = line_length(input), most = line_most(s, input);
    struct view line = view_sub(input, 0, len - 2);
    bool of_mail = false;
    struct step step;

    if (len == 0 && input.len < most)
        return 0;
    if (len == 0 || len > most) {
        s->skipping = true;
        take_step(s, refuse_line(s, input, "Line too long"), false);
        return 0;
    }
    step = run_line(s, line, len < input.len, &of_mail);
    if (step.wish == WISH_NAME) { /* the command runs when it is there */
        s->wish = WISH_NAME;
        return 0;
    }
    take_step(s, step, of_mail);
    return len;
}

/* Answers when a chunk or the message has ended. */
static void end_content(struct session *s)
{
    if (s->transaction.chunked && s->transaction.chunk_left == 0)
        take_step(s, chunk_finish(s), true);
    else if (s->transaction.receiver.done)
        take_step(s, data_finish(s), true);
}

static size_t feed_content(struct session *s, struct view input)
{
    struct view rest = view_sub(input, 0, CONTENT_STEP);
    size_t offered = rest.len;

    if (!(s->transaction.chunked ? chunk_take(s, &rest) : data_take(s, &rest)))
        s->wish = WISH_OPEN;
    else
        end_content(s);
    return offered - rest.len;
}

/* Of a chunk that was refused: nothing is kept. */
static size_t feed_refused(struct session *s, struct view input)
{
    size_t used = (size_t)MIN(s->refused_bytes, (uint64_t)input.len);

    s->refused_bytes -= used;
    return used;
}

size_t session_feed(struct session *s, struct view input)
{
    size_t used = 0;

    while (used < input.len && s->wish == WISH_NOTHING && buf_space(s->out) >= SESSION_REPLY_MAX) {
        struct view rest = view_from(input, used);
        bool skipping = s->skipping, in_content = session_in_content(s);
        size_t step;

        if (skipping)
            step = skip_line(s, rest);
        else if (s->refused_bytes > 0)
            step = feed_refused(s, rest);
        else
            step = s->state == SESSION_CONTENT ? feed_content(s, rest) : feed_line(s, rest);
        used += step;
        if ((step == 0 && s->skipping == skipping) || (in_content && !session_in_content(s)))
            break;
    }
    return used;
}

enum session_wish session_wish(const struct session *s)
{
    return s->wish;
}

/* RFC 3207, 4.2: what was said in plain text is forgotten. */
void session_tls_ready(struct session *s, const char *tls_facts)
{
    snprintf(s->tls, sizeof(s->tls), "%s", tls_facts);
    s->helo_len = 0;
    s->helo_fixed = s->extended = false;
    s->protocol_fixed = NULL;
    s->wish = WISH_NOTHING;
    session_log_in(s, VIEW_EMPTY);
    s->state = SESSION_NEW;
    reset_transaction(s);
    if (s->draining)
        session_drain(s, false);
    else if (s->rules->listener->tls == LISTENER_TLS_IMPLICIT)
        session_greet(s);
}

const struct session_auth *session_auth(const struct session *s)
{
    return s->auth;
}

void session_auth_challenged(struct session *s, struct view bytes)
{
    take_step(s, auth_challenge(s, bytes), false);
}

void session_auth_ended(struct session *s, enum login_result result, struct view login)
{
    take_step(s, auth_end(s, result, login), false);
}

/* What was at hand may have been all of the message. */
static void go_on_with_content(struct session *s)
{
    s->wish = WISH_NOTHING;
    data_resume(s);
    end_content(s);
}

void session_opened(struct session *s)
{
    content_use_file(&s->transaction.content);
    go_on_with_content(s);
}

void session_committed(struct session *s, uint64_t message)
{
    snprintf(s->words, sizeof(s->words), "Ok: queued as %016llx", (unsigned long long)message);
    screen_tell_applied(s, message);
    s->errors = 0;
    s->accepted_count++;
    take_step(s, step_accept(SESSION_READY, 250, "2.0.0", s->words), true);
}

/* A message whose end is not read yet is read to it and answered there. */
void session_spool_failed(struct session *s, enum spool_trouble trouble)
{
    bool committing = s->wish == WISH_COMMIT;
    bool opening = s->wish == WISH_OPEN;

    s->transaction.trouble = trouble;
    content_clear(&s->transaction.content);
    s->wish = WISH_NOTHING;
    if (committing)
        take_step(s, step_trouble(SESSION_READY, trouble), true);
    else if (opening)
        go_on_with_content(s);
}

static void leave(struct session *s, const char *enhanced, const char *text)
{
    if (s->state == SESSION_CLOSED)
        return;
    say(s, 421, enhanced, text);
    close_session(s);
}

/* Under implicit TLS nobody could read it before the handshake. */
void session_turn_away(struct session *s, const char *text)
{
    if (s->rules->listener->tls == LISTENER_TLS_IMPLICIT && s->tls[0] == '\0')
        close_session(s);
    else
        leave(s, "4.7.0", text);
}

bool session_in_content(const struct session *s)
{
    return s->state == SESSION_CONTENT || s->state == SESSION_CHUNKS ||
           (s->refused_bytes > 0 && s->state != SESSION_CLOSED);
}

uint64_t session_content_bytes(const struct session *s)
{
    return s->refused_bytes > 0 ? s->refused_size - s->refused_bytes
                                : s->transaction.receiver.bytes;
}

uint64_t session_patience_ms(const struct session *s)
{
    const struct timeouts_settings *t = &s->rules->listener->timeouts;

    switch (s->wish) {
    case WISH_TLS:
        return t->handshake;
    case WISH_AUTH:
        return s->rules->settings->auth.timeout_ms;
    case WISH_NAME:
        return SESSION_NAME_MS;
    case WISH_OPEN:
    case WISH_COMMIT:
        return t->commit;
    case WISH_NOTHING:
    case WISH_CLOSE:
        break;
    }
    return session_in_content(s) ? t->content : t->command;
}

void session_time_out(struct session *s)
{
    leave(s, "4.4.2", "It took too long, closing");
}

void session_drain(struct session *s, bool now)
{
    s->draining = true;
    if (now || (!in_transaction(s->state) && s->wish == WISH_NOTHING))
        leave(s, "4.3.2", "The server is shutting down, try again soon");
}

struct content *session_content(struct session *s)
{
    return &s->transaction.content;
}

/* RFC 3848 */
static const char *protocol(const struct session *s)
{
    static const char *const names[] = {
        "ESMTP",    "ESMTPA",    "ESMTPS",    "ESMTPSA", /* and RFC 6531, 4.3: */
        "UTF8SMTP", "UTF8SMTPA", "UTF8SMTPS", "UTF8SMTPSA",
    };
    bool extended = s->extended;

    if (s->protocol_fixed != NULL)
        extended = s->protocol_fixed[0] == 'E';
    if (!extended)
        return "SMTP";
    return names[(s->transaction.said.utf8 ? 4 : 0) + (s->tls[0] != '\0' ? 2 : 0) +
                 (s->login != NULL ? 1 : 0)];
}

void session_envelope(const struct session *s, struct envelope *e)
{
    const struct transaction *t = &s->transaction;

    *e = t->said;
    e->sender = t->sender;
    e->rcpts = t->to.all;
    e->rcpt_count = t->to.count;
    e->arrival_ms = t->arrival_ms;
    e->body_8bit = t->said.body_8bit || t->receiver.eight_bit;
    e->message_id = header_scan_message_id(&t->header);
    e->client = view_of(s->client_text);
    e->client_name = view_of(s->client_name);
    e->helo = view_make(s->helo, s->helo_len);
    e->protocol = view_of(protocol(s));
    e->tls = view_of(s->tls);
    e->session = view_of(s->id_text);
    e->listener = s->rules->listener->name;
    e->login = view_of(s->login);
    e->hold = view_of(t->hold);
}
