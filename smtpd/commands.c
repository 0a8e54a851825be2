#include "smtpd/commands.h"

#include "smtpd/extensions.h"

#include <string.h>

enum {
    LAST_IN_GROUP = 1, /* RFC 2920, 3.1: nothing may follow before the answer */
    NO_ARGS = 2,
    OF_MAIL = 4, /* its refusal is one of mail */
    UNSAID = 8,  /* by HELP */
};

#define IN(state) (1u << SESSION_##state)
#define ANYWHERE  (IN(NEW) | IN(READY) | IN(MAIL) | IN(RCPT) | IN(CHUNKS))

struct command {
    struct view verb;
    struct step (*run)(struct session *s, struct view args);
    unsigned allowed, flags;
};

static struct step run_ehlo(struct session *s, struct view args);
static struct step run_helo(struct session *s, struct view args);
static struct step run_rset(struct session *s, struct view args);
static struct step run_noop(struct session *s, struct view args);
static struct step run_vrfy(struct session *s, struct view args);
static struct step run_expn(struct session *s, struct view args);
static struct step run_help(struct session *s, struct view args);
static struct step run_quit(struct session *s, struct view args);
static struct step run_http(struct session *s, struct view args);

/* clang-format off */
static const struct command commands[] = {
    /* verb                    handler       allowed in          flags                     RFC 5321 */
    { VIEW_INIT("EHLO"),     run_ehlo,     ANYWHERE,           LAST_IN_GROUP },           /* 4.1.1.1 */
    { VIEW_INIT("HELO"),     run_helo,     ANYWHERE,           LAST_IN_GROUP },           /* 4.1.1.1 */
    { VIEW_INIT("MAIL"),     run_mail,     IN(READY),          OF_MAIL },                 /* 4.1.1.2 */
    { VIEW_INIT("RCPT"),     run_rcpt,     IN(MAIL) | IN(RCPT), OF_MAIL },                /* 4.1.1.3 */
    { VIEW_INIT("DATA"),     run_data,     IN(RCPT),           LAST_IN_GROUP | NO_ARGS | OF_MAIL }, /* 4.1.1.4 */
    { VIEW_INIT("BDAT"),     run_bdat,     ANYWHERE,           OF_MAIL },                 /* RFC 3030, 2 */
    { VIEW_INIT("RSET"),     run_rset,     ANYWHERE,           NO_ARGS },                 /* 4.1.1.5 */
    { VIEW_INIT("VRFY"),     run_vrfy,     ANYWHERE,           0 },                       /* 4.1.1.6 */
    { VIEW_INIT("EXPN"),     run_expn,     ANYWHERE,           UNSAID },                  /* 4.1.1.7 */
    { VIEW_INIT("HELP"),     run_help,     ANYWHERE,           0 },                       /* 4.1.1.8 */
    { VIEW_INIT("NOOP"),     run_noop,     ANYWHERE,           0 },                       /* 4.1.1.9 */
    { VIEW_INIT("QUIT"),     run_quit,     ANYWHERE,           NO_ARGS },                 /* 4.1.1.10 */
    { VIEW_INIT("STARTTLS"), run_starttls, IN(NEW) | IN(READY), LAST_IN_GROUP | NO_ARGS }, /* RFC 3207 */
    { VIEW_INIT("XCLIENT"),  run_xclient,  IN(NEW) | IN(READY), LAST_IN_GROUP },           /* Postfix */
    { VIEW_INIT("AUTH"),     run_auth,     IN(READY),          LAST_IN_GROUP },           /* RFC 4954 */
    /* A browser that was talked into posting here must not get further. */
    { VIEW_INIT("GET"),      run_http,     ANYWHERE,           UNSAID },
    { VIEW_INIT("HEAD"),     run_http,     ANYWHERE,           UNSAID },
    { VIEW_INIT("POST"),     run_http,     ANYWHERE,           UNSAID },
    { VIEW_INIT("PUT"),      run_http,     ANYWHERE,           UNSAID },
    { VIEW_INIT("DELETE"),   run_http,     ANYWHERE,           UNSAID },
    { VIEW_INIT("CONNECT"),  run_http,     ANYWHERE,           UNSAID },
    { VIEW_INIT("OPTIONS"),  run_http,     ANYWHERE,           UNSAID },
    { VIEW_INIT("TRACE"),    run_http,     ANYWHERE,           UNSAID },
    { VIEW_INIT("PATCH"),    run_http,     ANYWHERE,           UNSAID },
    { VIEW_INIT("PRI"),      run_http,     ANYWHERE,           UNSAID },
};
/* clang-format on */

struct step step_accept(enum session_state next, unsigned code, const char *enhanced,
                        const char *text)
{
    return (struct step){ next, WISH_NOTHING, code, enhanced, text };
}

struct step step_refuse(const struct session *s, unsigned code, const char *enhanced,
                        const char *text)
{
    return (struct step){ s->state, WISH_NOTHING, code, enhanced, text };
}

struct step step_close(unsigned code, const char *enhanced, const char *text)
{
    return (struct step){ SESSION_CLOSED, WISH_CLOSE, code, enhanced, text };
}

struct step step_trouble(enum session_state next, enum spool_trouble t)
{
    switch (t) {
    case SPOOL_FULL:
        return step_accept(next, 452, "4.3.1", "Not enough room in the queue, try again later");
    case SPOOL_SUSPENDED:
        return step_close(421, "4.3.2", "The queue takes no mail now, try again later");
    case SPOOL_INVALID:
        return step_accept(next, 554, "5.6.0", "The message could not be understood");
    case SPOOL_FINE:
    case SPOOL_BROKEN:
    case SPOOL_TROUBLES:
        break;
    }
    return step_accept(next, 451, "4.3.0", "The message could not be stored, try again later");
}

bool addresses_short(const struct session *s)
{
    const struct session_budget *b = s->rules->addresses;

    return b != NULL && b->used >= b->most;
}

static const char *const over_rate[] = {
    [RATES_FINE] = NULL,
    [RATES_CLIENT] = "Too much mail from your address, try again later",
    [RATES_NETWORK] = "Too much mail from your network, try again later",
    [RATES_LOGIN] = "Too much mail from your login, try again later",
};

struct step step_counted(struct session *s, enum rate_kind kind)
{
    enum rates_verdict v = s->rules->counted == NULL ? RATES_FINE : s->rules->counted(s, kind);

    if (v == RATES_LOGIN && s->rules->listener->rates.login_surplus == SURPLUS_HOLD) {
        s->transaction.hold = HOLD_SURPLUS;
        v = RATES_FINE;
    }
    if (v == RATES_FINE)
        return step_accept(s->state, 0, NULL, NULL);
    return step_refuse(s, 450, "4.7.1", over_rate[v]);
}

struct step step_rule(struct session *s, const struct rule *rule)
{
    const struct rule_action *a = rule->decision;

    s->asked_rule = rule->label;
    return step_refuse(s, a->code, a->enhanced, a->reply);
}

struct step step_charged(struct session *s, const struct charge *c)
{
    s->asked_rule = c->rule->label;
    return step_refuse(s, 450, "4.7.1", c->limit->reply);
}

/* RFC 5321, 3.1: 554 instead of a greeting. */
struct step step_greet(struct session *s)
{
    const struct rule *rule = screen_session(s, RULE_AT_CONNECT, VIEW_EMPTY);
    struct step step;

    if (rule == NULL)
        return step_accept(SESSION_NEW, 220, NULL, s->rules->greeting);
    step = step_rule(s, rule);
    return step_close(step.code >= 500 ? 554 : 421, step.enhanced, step.text);
}

/* The greeting's answer, unless a rule has something against what the client calls itself: then it
 * has to say something else. */
static struct step step_hello(struct session *s, const char *text)
{
    const struct rule *rule = screen_session(s, RULE_AT_HELO, VIEW_EMPTY);
    struct step step;

    if (rule == NULL)
        return step_accept(SESSION_READY, 250, NULL, text);
    step = step_rule(s, rule);
    step.next = SESSION_NEW;
    return step;
}

static const struct command *find_command(struct view verb)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (view_equal_nocase(commands[i].verb, verb))
            return &commands[i];
    }
    return NULL;
}

/* What rules ask for at MAIL, and everything later at RCPT, has to wait for the client's name. */
static bool awaits_name(const struct session *s, const struct command *c)
{
    return s->naming == NAME_AWAITED &&
           ((c->run == run_mail && screen_asks_name(s, RULE_AT_MAIL)) ||
            (c->run == run_rcpt && screen_asks_name(s, RULE_AT_END)));
}

struct step command_run(struct session *s, struct view line, bool more_input, bool *of_mail)
{
    struct view args = line;
    const struct command *c = find_command(view_take_word(&args));

    args = view_trim(args);
    if (c == NULL)
        return step_refuse(s, 500, "5.5.1", "Command unrecognized");
    *of_mail = (c->flags & OF_MAIL) != 0;
    if ((c->allowed & 1u << s->state) == 0)
        return step_refuse(s, 503, "5.5.1", "Bad sequence of commands");
    if ((c->flags & NO_ARGS) && args.len > 0)
        return step_refuse(s, 501, "5.5.4", "No parameters allowed");
    if ((c->flags & LAST_IN_GROUP) && more_input)
        return step_close(554, "5.5.0", "Command sent before the answer to the last one");
    if (awaits_name(s, c))
        return (struct step){ .next = s->state, .wish = WISH_NAME };
    return c->run(s, args);
}

/* Names are not checked against anything, but they appear in the trace and in logs. */
static bool keep_helo(struct session *s, struct view name)
{
    if (name.len == 0 || name.len > sizeof(s->helo))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];

        if (c <= ' ' || c >= 127)
            return false;
    }
    if (s->helo_fixed)
        return true;
    memcpy(s->helo, name.ptr, name.len);
    s->helo_len = name.len;
    return true;
}

/* Who has told of a client passes on what that one says from here on: it must not tell of others.
 */
static void end_xclient(struct session *s)
{
    if (s->xclient_said)
        s->may_xclient = false;
}

/* ehlo = "EHLO" SP ( Domain / address-literal ) CRLF; also ends a transaction as RSET does */
static struct step run_ehlo(struct session *s, struct view args)
{
    if (!keep_helo(s, args))
        return step_refuse(s, 501, "5.5.4", "Syntax: EHLO hostname");
    s->extended = true;
    end_xclient(s);
    return step_hello(s, extensions_text(s));
}

/* helo = "HELO" SP Domain CRLF */
static struct step run_helo(struct session *s, struct view args)
{
    if (!keep_helo(s, args))
        return step_refuse(s, 501, "5.5.4", "Syntax: HELO hostname");
    s->extended = false;
    end_xclient(s);
    return step_hello(s, s->rules->hostname);
}

static struct step run_rset(struct session *s, struct view args)
{
    (void)args;
    return step_accept(s->state == SESSION_NEW ? SESSION_NEW : SESSION_READY, 250, "2.0.0", "Ok");
}

/* noop = "NOOP" [ SP String ] CRLF */
static struct step run_noop(struct session *s, struct view args)
{
    (void)args;
    return step_accept(s->state, 250, "2.0.0", "Ok");
}

/* vrfy = "VRFY" SP String CRLF; says nothing about who is there (RFC 5321, 7.3) */
static struct step run_vrfy(struct session *s, struct view args)
{
    if (args.len == 0)
        return step_refuse(s, 501, "5.5.4", "Syntax: VRFY address");
    return step_accept(s->state, 252, "2.0.0", "Not verified, but mail for it may be accepted");
}

static struct step run_expn(struct session *s, struct view args)
{
    (void)args;
    return step_refuse(s, 502, "5.5.1", "Command not implemented");
}

/* What this session can have. */
static bool is_there(const struct session *s, const struct command *c)
{
    if (c->run == run_bdat)
        return extension_on(s, EXTENSION_CHUNKING);
    if (c->run == run_starttls)
        return s->rules->starttls && s->tls[0] == '\0';
    if (c->run == run_auth)
        return auth_offered(s);
    if (c->run == run_xclient)
        return s->may_xclient;
    return (c->flags & UNSAID) == 0;
}

static struct step run_help(struct session *s, struct view args)
{
    static char room[SESSION_REPLY_MAX / 2]; /* until the reply is printed, which is at once */
    struct buf text = BUF_ON_ARRAY(room);

    (void)args;
    buf_put(&text, VIEW("Commands:"));
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (is_there(s, &commands[i]))
            buf_printf(&text, " %.*s", VIEW_ARG(commands[i].verb));
    }
    buf_put_byte(&text, '\0');
    return step_accept(s->state, 214, "2.0.0", room);
}

static struct step run_quit(struct session *s, struct view args)
{
    (void)args;
    s->quit = true;
    return step_close(221, "2.0.0", "Bye");
}

static struct step run_http(struct session *s, struct view args)
{
    (void)s;
    (void)args;
    return step_close(421, "4.7.0", "This is a mail server, it does not speak HTTP");
}
