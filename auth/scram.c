#include "auth/scram.h"

#include "common/text.h"

#include <string.h>

static const char malformed[] = "malformed SCRAM message";

static size_t keep_binding(struct view data, char *room)
{
    if (data.len == 0 || data.len > SCRAM_BINDING_MAX)
        return 0;
    memcpy(room, data.ptr, data.len);
    return data.len;
}

void scram_server_init(struct scram_server *s, bool plus, bool offered_plus,
                       const struct scram_bindings *bindings)
{
    *s = (struct scram_server){ .plus = plus, .offered_plus = offered_plus };
    s->exporter_len = keep_binding(bindings->exporter, s->exporter);
    s->unique_len = keep_binding(bindings->unique, s->unique);
}

static bool put(char *room, size_t size, size_t *len, struct view bytes)
{
    struct buf b = buf_on(room, size);

    buf_extend(&b, *len);
    if (!buf_put(&b, bytes))
        return false;
    *len = buf_len(&b);
    return true;
}

static bool put_auth(struct scram_server *s, struct view bytes)
{
    return put(s->auth, sizeof(s->auth), &s->auth_len, bytes);
}

/* saslname = 1*(value-safe-char / "=2C" / "=3D") */
static bool take_name(struct view text, char *room, size_t size, size_t *len)
{
    struct buf out = buf_on(room, size);

    while (text.len > 0) {
        char c = text.ptr[0];

        if (c == '=') {
            if (view_take(&text, VIEW("=2C")))
                c = ',';
            else if (view_take(&text, VIEW("=3D")))
                c = '=';
            else
                return false;
        } else {
            text = view_from(text, 1);
        }
        if (!buf_put_byte(&out, c))
            return false;
    }
    *len = buf_len(&out);
    return *len > 0 && utf8_valid(buf_view(&out));
}

/* gs2-cbind-flag = ("p=" cb-name) / "n" / "y" */
static const char *take_binding(struct scram_server *s, struct view flag)
{
    if (view_take(&flag, VIEW("p="))) {
        if (!s->plus)
            return "channel binding with a mechanism that has none";
        if (view_equal(flag, VIEW("tls-exporter")))
            s->bound = view_make(s->exporter, s->exporter_len);
        else if (view_equal(flag, VIEW("tls-unique")))
            s->bound = view_make(s->unique, s->unique_len);
        return s->bound.len > 0 ? NULL : "this kind of channel binding cannot be had";
    }
    if (s->plus)
        return "no channel binding with a mechanism that wants it";
    if (view_equal(flag, VIEW("y")))
        /* Somebody between us has taken the -PLUS away (RFC 5802, 6). */
        return s->offered_plus ? "the client did not see that channel binding is offered" : NULL;
    return view_equal(flag, VIEW("n")) ? NULL : malformed;
}

/* printable = %x21-2B / %x2D-7E */
static bool is_nonce(struct view nonce)
{
    for (size_t i = 0; i < nonce.len; i++) {
        if (nonce.ptr[i] <= ' ' || nonce.ptr[i] >= 127 || nonce.ptr[i] == ',')
            return false;
    }
    return nonce.len > 0 && nonce.len <= SCRAM_NONCE_MAX;
}

/* client-first-message-bare = "n=" saslname "," "r=" c-nonce ["," extensions]. An "m=" in front
 * would be an extension that must be understood. */
static const char *take_bare(struct scram_server *s, struct view bare)
{
    struct view name = view_take_until(&bare, ','), nonce = view_take_until(&bare, ',');

    if (!view_take(&name, VIEW("n=")) ||
        !take_name(name, s->login, sizeof(s->login), &s->login_len) ||
        !view_take(&nonce, VIEW("r=")) || !is_nonce(nonce) ||
        !put(s->nonce, sizeof(s->nonce), &s->nonce_len, nonce))
        return malformed;
    return NULL;
}

/* A client that would act for another than the one that logs in. */
static const char *take_authzid(const struct scram_server *s, struct view authzid)
{
    char room[SCRAM_LOGIN_MAX];
    size_t len;

    if (authzid.len == 0)
        return NULL;
    if (!view_take(&authzid, VIEW("a=")) || !take_name(authzid, room, sizeof(room), &len))
        return malformed;
    return view_equal(view_make(room, len), view_make(s->login, s->login_len))
               ? NULL
               : "a login may not act for another";
}

/* client-first-message = gs2-cbind-flag "," ["a=" saslname] "," client-first-message-bare */
const char *scram_hear_first(struct scram_server *s, struct view message)
{
    struct view rest = message, flag, authzid;
    const char *why;

    if (message.len > SCRAM_CLIENT_FIRST_MAX || view_has(message, '\0'))
        return malformed;
    flag = view_take_until(&rest, ',');
    authzid = view_take_until(&rest, ',');
    why = take_binding(s, flag);
    if (why == NULL)
        why = take_bare(s, rest);
    if (why == NULL)
        why = take_authzid(s, authzid);
    if (why != NULL)
        return why;
    if (!put(s->gs2, sizeof(s->gs2), &s->gs2_len, view_sub(message, 0, message.len - rest.len)) ||
        !put_auth(s, rest) || !put_auth(s, VIEW(",")))
        return malformed;
    return NULL;
}

/* server-first-message = "r=" c-nonce s-nonce "," "s=" base64 "," "i=" posit-number */
bool scram_say_first(struct scram_server *s, const struct scram_keys *keys, struct view own_nonce,
                     struct buf *out)
{
    size_t start = buf_len(out);

    s->keys = *keys;
    return put(s->nonce, sizeof(s->nonce), &s->nonce_len, own_nonce) && buf_put(out, VIEW("r=")) &&
           buf_put(out, view_make(s->nonce, s->nonce_len)) && buf_put(out, VIEW(",s=")) &&
           base64_encode(view_make(keys->salt, keys->salt_len), out) && buf_put(out, VIEW(",i=")) &&
           buf_put_u64(out, keys->iterations) && put_auth(s, view_from(buf_view(out), start)) &&
           put_auth(s, VIEW(","));
}

/* cbind-input = gs2-header [ cbind-data ] */
static bool binding_fits(const struct scram_server *s, struct view text)
{
    char wanted_room[sizeof(s->gs2) + SCRAM_BINDING_MAX], room[sizeof(wanted_room) + 3];
    struct buf wanted = BUF_ON_ARRAY(wanted_room), got = BUF_ON_ARRAY(room);

    return buf_put(&wanted, view_make(s->gs2, s->gs2_len)) && buf_put(&wanted, s->bound) &&
           base64_decode(text, &got) && scram_equal(buf_view(&wanted), buf_view(&got));
}

/* client-final-message = "c=" base64 "," "r=" c-nonce s-nonce ["," extensions] "," "p=" base64 */
const char *scram_hear_final(struct scram_server *s, struct view message, struct buf *out)
{
    char proof_room[SCRAM_KEY_BYTES], signature[SCRAM_KEY_BYTES];
    struct buf proof = BUF_ON_ARRAY(proof_room);
    size_t comma = view_find_last(message, ',');
    struct view unproven = view_sub(message, 0, comma), rest = unproven, text, auth;

    text = view_from(message, comma + 1);
    if (comma == message.len || !view_take(&text, VIEW("p=")) || !base64_decode(text, &proof))
        return malformed;
    text = view_take_until(&rest, ',');
    if (!view_take(&text, VIEW("c=")))
        return malformed;
    if (!binding_fits(s, text))
        return "the channel binding does not fit";
    text = view_take_until(&rest, ',');
    if (!view_take(&text, VIEW("r=")) || !view_equal(text, view_make(s->nonce, s->nonce_len)))
        return "the nonce does not fit";
    if (!put_auth(s, unproven))
        return malformed;
    auth = view_make(s->auth, s->auth_len);
    if (!scram_proof_fits(&s->keys, auth, buf_view(&proof)))
        return "wrong password";
    scram_server_signature(&s->keys, auth, signature);
    if (!buf_put(out, VIEW("v=")) || !base64_encode(view_make(signature, sizeof(signature)), out))
        return malformed;
    return NULL;
}
