#include "auth/sasl.h"

#include "common/text.h"

#include <string.h>

bool sasl_init(struct sasl *s, struct view mechanism, const struct scram_bindings *bindings)
{
    bool bindable = bindings->exporter.len > 0 || bindings->unique.len > 0;
    bool plus = view_equal_nocase(mechanism, VIEW("SCRAM-SHA-256-PLUS"));

    *s = (struct sasl){ .mechanism = SASL_SCRAM };
    scram_server_init(&s->scram, plus, bindable, bindings);
    if (plus)
        return bindable;
    if (view_equal_nocase(mechanism, VIEW("SCRAM-SHA-256")))
        return true;
    s->mechanism = SASL_PLAIN;
    if (view_equal_nocase(mechanism, VIEW("PLAIN")))
        return true;
    s->mechanism = SASL_LOGIN;
    return view_equal_nocase(mechanism, VIEW("LOGIN"));
}

void sasl_release(struct sasl *s)
{
    explicit_bzero(s, sizeof(*s));
}

struct view sasl_login(const struct sasl *s)
{
    return view_make(s->login, s->login_len);
}

static enum sasl_step refuse(struct sasl *s, const char *why)
{
    s->why = why;
    return SASL_REFUSED;
}

static bool keep(struct view text, char *room, size_t size, size_t *len)
{
    if (text.len == 0 || text.len > size || view_has(text, '\0') || !utf8_valid(text))
        return false;
    memcpy(room, text.ptr, text.len);
    *len = text.len;
    return true;
}

static bool keep_login(struct sasl *s, struct view text)
{
    return keep(text, s->login, sizeof(s->login), &s->login_len);
}

static bool keep_password(struct sasl *s, struct view text)
{
    return keep(text, s->password, sizeof(s->password), &s->password_len);
}

/* message = [authzid] UTF8NUL authcid UTF8NUL passwd; RFC 4616, 2 */
static enum sasl_step hear_plain(struct sasl *s, struct view message)
{
    struct view authzid = view_take_until(&message, '\0');
    struct view login = view_take_until(&message, '\0');

    if (!keep_login(s, login) || !keep_password(s, message))
        return refuse(s, "malformed PLAIN message");
    if (authzid.len > 0 && !view_equal(authzid, login))
        return refuse(s, "a login may not act for another");
    return SASL_PASSWORD;
}

/* LOGIN has no grammar but these two questions, which are what clients look for. */
static enum sasl_step hear_login(struct sasl *s, struct view message, struct buf *out)
{
    if (s->awaited == SASL_FIRST) {
        s->awaited = SASL_SECOND;
        if (!keep_login(s, message))
            return refuse(s, "malformed login");
        return buf_put(out, VIEW("Password:")) ? SASL_CHALLENGE : refuse(s, "no room");
    }
    return keep_password(s, message) ? SASL_PASSWORD : refuse(s, "malformed password");
}

static enum sasl_step hear_scram(struct sasl *s, struct view message, struct buf *out)
{
    const char *why;

    switch (s->awaited) {
    case SASL_FIRST:
        s->awaited = SASL_SECOND;
        why = scram_hear_first(&s->scram, message);
        if (why != NULL || !keep_login(s, view_make(s->scram.login, s->scram.login_len)))
            return refuse(s, why != NULL ? why : "malformed login");
        return SASL_LOOK_UP;
    case SASL_SECOND:
        s->awaited = SASL_LAST;
        why = scram_hear_final(&s->scram, message, out);
        return why == NULL ? SASL_CHALLENGE : refuse(s, why);
    case SASL_LAST:
        break;
    }
    /* SMTP has no place for data with success (RFC 4954, 4): it was a challenge, and the client
     * agrees with nothing. */
    return message.len == 0 ? SASL_PROVEN : refuse(s, "more than was asked for");
}

enum sasl_step sasl_begin(struct sasl *s, struct buf *out)
{
    if (s->mechanism == SASL_LOGIN && !buf_put(out, VIEW("Username:")))
        return refuse(s, "no room");
    return SASL_CHALLENGE;
}

enum sasl_step sasl_hear(struct sasl *s, struct view response, struct buf *out)
{
    switch (s->mechanism) {
    case SASL_PLAIN:
        return hear_plain(s, response);
    case SASL_LOGIN:
        return hear_login(s, response, out);
    case SASL_SCRAM:
        break;
    }
    return hear_scram(s, response, out);
}

enum sasl_step sasl_say_keys(struct sasl *s, const struct scram_keys *keys, struct view nonce,
                             struct buf *out)
{
    return scram_say_first(&s->scram, keys, nonce, out) ? SASL_CHALLENGE
                                                        : refuse(s, "malformed SCRAM message");
}
