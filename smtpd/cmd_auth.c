#include "common/memory.h"
#include "common/text.h"
#include "mail/xtext.h"
#include "smtpd/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHALLENGE_MAX = 768 }; /* bytes before base64; so that its reply fits */

static const struct view plus = VIEW_INIT("-PLUS");

static struct view mechanisms(const struct session *s)
{
    const struct session_rules *r = s->rules;

    return r->mechanisms == NULL || r->listener->auth == LISTENER_AUTH_NONE
               ? VIEW_EMPTY
               : view_of(r->mechanisms);
}

static bool is_private(const struct session *s)
{
    return s->tls[0] != '\0' || s->rules->listener->auth == LISTENER_AUTH_PLAIN;
}

/* Then there is EXTERNAL, which the auth process has no part in. */
static bool has_certificate(const struct session *s)
{
    return s->external && s->rules->listener->auth != LISTENER_AUTH_NONE;
}

bool auth_configured(const struct session *s)
{
    return s->rules->listener->auth != LISTENER_AUTH_NONE &&
           (settings_has_logins(s->rules->settings) || s->external);
}

bool auth_away(const struct session *s)
{
    return mechanisms(s).len == 0 && !has_certificate(s);
}

bool auth_offered(const struct session *s)
{
    return (mechanisms(s).len > 0 || has_certificate(s)) && is_private(s) && s->login == NULL;
}

/* The next one that this session can have. */
static bool take_mechanism(const struct session *s, struct view *rest, struct view *out)
{
    while (rest->len > 0) {
        *out = view_take_word(rest);
        if (s->bindable || !view_ends_nocase(*out, plus))
            return true;
    }
    return false;
}

const char *auth_offer(const struct session *s, const char *ehlo)
{
    static char room[SESSION_REPLY_MAX]; /* until the reply is printed, which is at once */
    struct view rest = mechanisms(s), one;
    size_t len;

    if (!auth_offered(s))
        return ehlo;
    len = (size_t)snprintf(room, sizeof(room), "%s\nAUTH", ehlo);
    while (take_mechanism(s, &rest, &one) && len + one.len + 2 < sizeof(room))
        len += (size_t)snprintf(room + len, sizeof(room) - len, " %.*s", VIEW_ARG(one));
    if (has_certificate(s) && len + sizeof(" EXTERNAL") < sizeof(room))
        (void)snprintf(room + len, sizeof(room) - len, " EXTERNAL");
    return room;
}

static bool has_mechanism(const struct session *s, struct view name)
{
    struct view rest = mechanisms(s), one;

    while (take_mechanism(s, &rest, &one)) {
        if (view_equal_nocase(one, name))
            return true;
    }
    return has_certificate(s) && view_equal_nocase(name, VIEW("EXTERNAL"));
}

static void forget_response(struct session_auth *a)
{
    if (a->response != NULL)
        explicit_bzero(a->response, a->response_room);
    free(a->response);
}

void auth_forget(struct session *s)
{
    struct session_auth *a = s->auth;

    s->auth = NULL;
    if (a == NULL)
        return;
    forget_response(a);
    free(a);
}

/* "=" is an empty response, where nothing at all is none (RFC 4954, 4). */
static bool keep_response(struct session_auth *a, struct view text)
{
    struct buf out;

    if (view_equal(text, VIEW("=")))
        text = VIEW_EMPTY;
    if (a->response_room < text.len) {
        forget_response(a);
        a->response = memory_new(text.len);
        a->response_room = text.len;
    }
    out = buf_on(a->response, a->response_room);
    if (!base64_decode(text, &out))
        return false;
    a->response_len = buf_len(&out);
    return true;
}

/* Refused, and the exchange is over. */
static struct step end(unsigned code, const char *enhanced, const char *text)
{
    return step_accept(SESSION_READY, code, enhanced, text);
}

static struct step await_answer(void)
{
    return (struct step){ .next = SESSION_AUTH, .wish = WISH_AUTH };
}

/* auth-command = "AUTH" SP sasl-mech [ SP initial-response ] CRLF; RFC 4954, 4 and 8 */
struct step run_auth(struct session *s, struct view args)
{
    struct view mechanism = view_take_word(&args);
    struct session_auth *a;

    if (!auth_configured(s) || !s->extended)
        return step_refuse(s, 502, "5.5.1", "Nobody can log in here");
    if (s->login != NULL)
        return step_refuse(s, 503, "5.5.1", "You are logged in already");
    if (!is_private(s))
        return step_refuse(s, 538, "5.7.11", "Encryption required: say STARTTLS first");
    if (mechanism.len == 0)
        return step_refuse(s, 501, "5.5.4", "Syntax: AUTH mechanism");
    if (auth_away(s))
        return step_refuse(s, 454, "4.7.0", "Logins cannot be checked now, try again later");
    if (!has_mechanism(s, mechanism) || mechanism.len >= sizeof(a->mechanism))
        return step_refuse(s, 504, "5.5.4", "Unrecognized authentication mechanism");
    a = s->auth = memory_new(sizeof(*a));
    memcpy(a->mechanism, mechanism.ptr, mechanism.len);
    a->initial = args.len > 0;
    if (!keep_response(a, args))
        return end(501, "5.5.2", "Not valid base64");
    return await_answer();
}

struct step auth_hear(struct session *s, struct view line)
{
    if (view_equal(line, VIEW("*")))
        return end(501, "5.0.0", "Authentication cancelled");
    if (!keep_response(s->auth, line))
        return end(501, "5.5.2", "Not valid base64");
    return await_answer();
}

struct step auth_refuse_line(const char *enhanced, const char *text)
{
    return end(500, enhanced, text);
}

struct step auth_challenge(struct session *s, struct view bytes)
{
    static char room[CHALLENGE_MAX * 4 / 3 + 8]; /* until the reply is printed, which is at once */
    struct buf text = buf_on(room, sizeof(room) - 1);

    if (bytes.len > CHALLENGE_MAX || !base64_encode(bytes, &text))
        return end(454, "4.7.0", "Logins cannot be checked now, try again later");
    room[buf_len(&text)] = '\0';
    s->auth->begun = true;
    return step_accept(SESSION_AUTH, 334, NULL, room);
}

struct step auth_end(struct session *s, enum login_result result, struct view login)
{
    switch (result) {
    case LOGIN_OK:
        if (login.len == 0 || login.len > SESSION_LOGIN_MAX)
            break;
        session_log_in(s, login);
        if (s->rules->counted != NULL && s->rules->counted(s, RATE_CONNECTIONS) != RATES_FINE)
            return step_close(421, "4.7.0", "Too many sessions of your login, try again later");
        return step_accept(SESSION_READY, 235, "2.7.0", "Authentication successful");
    case LOGIN_REFUSED:
        return end(535, "5.7.8", "Authentication credentials invalid");
    case LOGIN_TOO_MANY:
        return end(454, "4.7.0", "Too many logins have failed, try again later");
    case LOGIN_TEMPORARY:
    case LOGIN_RESULTS:
        break;
    }
    return end(454, "4.7.0", "Logins cannot be checked now, try again later");
}

/* Who submitted the message first, as another server believes. Nobody here relies on it, which is
 * the same as to read it as "<>" (RFC 4954, 5). */
struct step take_auth_parameter(struct session *s, struct view value)
{
    char room[SESSION_LINE_MAX];
    struct buf unread = BUF_ON_ARRAY(room);

    if (!auth_configured(s))
        return step_refuse(s, 555, "5.5.4", "Parameter not recognized");
    if (value.len == 0 || !xtext_decode(value, &unread))
        return step_refuse(s, 501, "5.5.4", "Bad AUTH value");
    return step_accept(SESSION_MAIL, 0, NULL, NULL);
}

bool auth_checks_from(const struct session *s)
{
    return s->login != NULL && s->rules->settings->auth.check_from;
}

/* Without a From field nobody is named. What cannot be understood here, a reader may understand. */
bool auth_owns_from(const struct session *s)
{
    const struct from_scan *f = &s->transaction.from;
    struct view rest = view_make(f->text, f->len);
    char room[ADDRESS_MAX];
    struct buf text = BUF_ON_ARRAY(room);
    enum from_result result;
    struct address a;

    if (f->count > 1 || f->cut)
        return false;
    while ((result = from_take(&rest, &text, &a)) == FROM_ADDRESS) {
        if (!settings_login_owns(s->rules->settings, view_of(s->login), &a))
            return false;
    }
    return result == FROM_END;
}
