#include "auth/dovecot.h"

#include "common/text.h"

#include <string.h>

static enum dovecot_event fail(struct dovecot *d, const char *why)
{
    d->why = why;
    return DOVECOT_BROKEN;
}

/* ---- what it says ---- */

/* version = "VERSION" TAB major TAB minor; only another major number is another protocol */
static enum dovecot_event hear_version(struct dovecot *d, struct view fields)
{
    struct view major = view_take_until(&fields, '\t');

    d->versioned = true;
    return view_equal(major, VIEW("1")) ? DOVECOT_NOTHING
                                        : fail(d, "it speaks another version of the protocol");
}

static bool has_field(struct view fields, struct view wanted)
{
    while (fields.len > 0) {
        if (view_equal(view_take_until(&fields, '\t'), wanted))
            return true;
    }
    return false;
}

/* mech = "MECH" TAB name *( TAB property ). Channel binding would need data that we do not pass on.
 */
static enum dovecot_event hear_mech(struct dovecot *d, struct view fields)
{
    struct view name = view_take_until(&fields, '\t');
    struct buf out = buf_on(d->mechanisms, sizeof(d->mechanisms) - 1); /* with a NUL elsewhere */

    for (size_t i = 0; i < name.len; i++) {
        if (!byte_is_alnum(name.ptr[i]) && name.ptr[i] != '-' && name.ptr[i] != '_')
            return fail(d, "a mechanism has a strange name");
    }
    if (name.len == 0 || name.len > 20 || has_field(fields, VIEW("anonymous")) ||
        has_field(fields, VIEW("private")) || view_equal_nocase(name, VIEW("EXTERNAL")) ||
        view_ends_nocase(name, VIEW("-PLUS")))
        return DOVECOT_NOTHING;
    buf_extend(&out, d->mechanisms_len);
    if (buf_space(&out) > name.len && (buf_len(&out) == 0 || buf_put_byte(&out, ' ')))
        (void)buf_put(&out, name);
    d->mechanisms_len = buf_len(&out);
    return DOVECOT_NOTHING;
}

/* The sockets for other purposes (auth-userdb, auth-master) begin in the same way, but have no
 * mechanisms. */
static enum dovecot_event hear_server_id(struct dovecot *d)
{
    return d->mechanisms_len > 0
               ? DOVECOT_NOTHING
               : fail(d, "it has no mechanisms: this is not the socket for clients (auth-client)");
}

static enum dovecot_event hear_done(struct dovecot *d)
{
    if (!d->versioned)
        return fail(d, "it does not say its version");
    if (d->mechanisms_len == 0)
        return hear_server_id(d);
    d->ready = true;
    return DOVECOT_READY;
}

static bool take_id(struct dovecot *d, struct view *fields)
{
    uint64_t id;

    if (!view_to_u64(view_take_until(fields, '\t'), UINT32_MAX, &id))
        return false;
    d->id = (uint32_t)id;
    return true;
}

/* cont = "CONT" TAB id TAB base64 */
static enum dovecot_event hear_cont(struct dovecot *d, struct view fields)
{
    struct buf out = buf_on(d->room, DOVECOT_BYTES_MAX);

    if (!take_id(d, &fields) || !base64_decode(view_take_until(&fields, '\t'), &out))
        return fail(d, "malformed CONT");
    d->bytes = buf_view(&out);
    return DOVECOT_CHALLENGE;
}

/* A value may have TAB, CR, LF, NUL and SOH as SOH and a letter. */
static bool unescape(struct view text, struct buf *out)
{
    static const char letters[] = "01trn", bytes[] = { '\0', '\001', '\t', '\r', '\n' };

    while (text.len > 0) {
        char c = text.ptr[0];
        const char *letter;

        text = view_from(text, 1);
        if (c == '\001') {
            letter = text.len == 0 ? NULL : memchr(letters, text.ptr[0], sizeof(letters) - 1);
            if (letter == NULL)
                return false;
            c = bytes[letter - letters];
            text = view_from(text, 1);
        }
        if (!buf_put_byte(out, c))
            return false;
    }
    return true;
}

static bool take_user(struct dovecot *d, struct view value)
{
    struct buf out = BUF_ON_ARRAY(d->room);

    if (!unescape(value, &out) || buf_len(&out) == 0 || view_has(buf_view(&out), '\0') ||
        !utf8_valid(buf_view(&out)))
        return false;
    d->user = buf_view(&out);
    return true;
}

static bool take_fields(struct dovecot *d, struct view fields)
{
    while (fields.len > 0) {
        struct view field = view_take_until(&fields, '\t');

        if (view_take(&field, VIEW("user="))) {
            if (!take_user(d, field))
                return false;
        } else if (view_equal(field, VIEW("temp")) || view_equal(field, VIEW("code=temp_fail"))) {
            d->temporary = true;
            d->why = "Dovecot cannot check it now";
        } else if (view_equal(field, VIEW("code=user_disabled")) ||
                   view_equal(field, VIEW("user_disabled"))) {
            d->why = "the user is disabled";
        } else if (view_equal(field, VIEW("code=pass_expired")) ||
                   view_equal(field, VIEW("pass_expired"))) {
            d->why = "the password has expired";
        } else if (view_equal(field, VIEW("code=authz_fail")) || view_equal(field, VIEW("authz"))) {
            d->why = "a login may not act for another";
        }
    }
    return true;
}

/* fail = "FAIL" TAB id *( TAB parameter ); ok = "OK" TAB id *( TAB parameter ) */
static enum dovecot_event hear_end(struct dovecot *d, struct view fields, enum dovecot_event event)
{
    d->user = VIEW_EMPTY;
    d->temporary = false;
    d->why = "Dovecot says no";
    if (!take_id(d, &fields) || !take_fields(d, fields))
        return fail(d, "malformed OK or FAIL");
    if (event == DOVECOT_OK && d->user.len == 0)
        return fail(d, "OK without a user");
    return event;
}

/* Before the handshake is over nothing was asked. What is not known here is passed over. */
static enum dovecot_event hear_line(struct dovecot *d, struct view line)
{
    struct view word = view_take_until(&line, '\t');

    if (view_equal(word, VIEW("VERSION")))
        return hear_version(d, line);
    if (!d->ready && view_equal(word, VIEW("MECH")))
        return hear_mech(d, line);
    if (!d->ready && view_equal(word, VIEW("SPID")))
        return hear_server_id(d);
    if (!d->ready && view_equal(word, VIEW("DONE")))
        return hear_done(d);
    if (d->ready && view_equal(word, VIEW("CONT")))
        return hear_cont(d, line);
    if (d->ready && view_equal(word, VIEW("OK")))
        return hear_end(d, line, DOVECOT_OK);
    if (d->ready && view_equal(word, VIEW("FAIL")))
        return hear_end(d, line, DOVECOT_FAIL);
    return DOVECOT_NOTHING;
}

enum dovecot_event dovecot_hear(struct dovecot *d, struct view *input)
{
    while (input->len > 0) {
        size_t len = view_find(*input, '\n');
        bool whole = len < input->len;
        enum dovecot_event event;

        if (len >= sizeof(d->line) - d->line_len)
            return fail(d, "a line is too long");
        memcpy(d->line + d->line_len, input->ptr, len);
        d->line_len += len;
        *input = view_from(*input, len + whole);
        if (!whole)
            break;
        event = hear_line(d, view_make(d->line, d->line_len));
        d->line_len = 0;
        if (event != DOVECOT_NOTHING)
            return event;
    }
    return DOVECOT_NOTHING;
}

/* ---- what we say ---- */

/* 1.2 is what we know; a later server does not offer more to us than that. */
bool dovecot_put_hello(uint32_t pid, struct buf *out)
{
    return buf_printf(out, "VERSION\t1\t2\nCPID\t%u\n", pid);
}

static bool put_escaped(struct view text, struct buf *out)
{
    static const char letters[] = "01trn", bytes[] = { '\0', '\001', '\t', '\r', '\n' };

    for (size_t i = 0; i < text.len; i++) {
        const char *byte = memchr(bytes, text.ptr[i], sizeof(bytes));

        if (byte == NULL ? !buf_put_byte(out, text.ptr[i])
                         : !buf_put_byte(out, '\001') || !buf_put_byte(out, letters[byte - bytes]))
            return false;
    }
    return true;
}

static bool put_field(const char *name, struct view value, struct buf *out)
{
    return value.len == 0 || (buf_printf(out, "\t%s=", name) && put_escaped(value, out));
}

/* auth = "AUTH" TAB id TAB mechanism *( TAB parameter ) [ TAB "resp=" base64 ], which comes last.
 * Where the listener's network is trusted, what comes from it is secured without TLS. We count
 * failures ourselves: Dovecot need not make everybody wait who shares the client's address. */
bool dovecot_put_request(const struct dovecot_request *r, struct buf *out)
{
    return buf_printf(out, "AUTH\t%u\t", r->id) && put_escaped(r->mechanism, out) &&
           buf_put(out, VIEW("\tservice=smtp")) && put_field("session", r->session, out) &&
           put_field("rip", r->client, out) &&
           buf_put(out, r->tls ? VIEW("\tsecured=tls") : VIEW("\tsecured")) &&
           buf_put(out, VIEW("\tno-penalty")) &&
           (!r->initial || (buf_put(out, VIEW("\tresp=")) && base64_encode(r->response, out))) &&
           buf_put_byte(out, '\n');
}

bool dovecot_put_response(uint32_t id, struct view response, struct buf *out)
{
    return buf_printf(out, "CONT\t%u\t", id) && base64_encode(response, out) &&
           buf_put_byte(out, '\n');
}

bool dovecot_put_cancel(uint32_t id, struct buf *out)
{
    return buf_printf(out, "CANCEL\t%u\n", id);
}
