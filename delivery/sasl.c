#include "delivery/sasl.h"

#include "common/attrs.h"
#include "common/text.h"

#include <string.h>

static const struct {
    const char *name;
    bool token;
} mechanisms[SASL_MECHANISMS] = {
    [SASL_OAUTHBEARER] = { "OAUTHBEARER", true },
    [SASL_XOAUTH2] = { "XOAUTH2", true },
    [SASL_SCRAM_SHA_256] = { "SCRAM-SHA-256", false },
    [SASL_PLAIN] = { "PLAIN", false },
    [SASL_LOGIN] = { "LOGIN", false },
};

const char *sasl_name(enum sasl_mechanism m)
{
    return mechanisms[m].name;
}

unsigned sasl_read_mechanisms(struct view words)
{
    unsigned found = 0;

    while (words.len > 0) {
        struct view word = view_take_word(&words);

        for (unsigned i = 0; i < SASL_MECHANISMS; i++) {
            if (view_equal_nocase(word, view_of(mechanisms[i].name)))
                found |= 1u << i;
        }
    }
    return found;
}

bool sasl_begin(struct sasl *s, struct credential *c, unsigned offered)
{
    for (unsigned i = 0; i < SASL_MECHANISMS; i++) {
        if ((offered & 1u << i) == 0 || mechanisms[i].token != c->token)
            continue;
        *s = (struct sasl){ .credential = c, .mechanism = (enum sasl_mechanism)i };
        s->proven = i != SASL_SCRAM_SHA_256;
        return true;
    }
    return false;
}

static struct view secret_of(const struct sasl *s)
{
    return view_make(s->credential->secret, s->credential->secret_len);
}

/* ---- SCRAM ---- */

static void make_nonce(struct sasl *s)
{
    char bytes[(sizeof(s->nonce) - 1) / 4 * 3];
    struct buf nonce = buf_on(s->nonce, sizeof(s->nonce));
    bool fits;

    scram_random(bytes, sizeof(bytes));
    fits = base64_encode(view_make(bytes, sizeof(bytes)), &nonce);
    s->nonce[fits ? buf_len(&nonce) : 0] = '\0';
}

/* saslname: "=" is "=3D", "," is "=2C" (RFC 5802, 5.1). */
static void put_name(struct view login, struct buf *out)
{
    for (size_t i = 0; i < login.len; i++) {
        if (login.ptr[i] == '=')
            buf_put(out, VIEW("=3D"));
        else if (login.ptr[i] == ',')
            buf_put(out, VIEW("=2C"));
        else
            buf_put_byte(out, login.ptr[i]);
    }
}

static void put_first(struct sasl *s, struct buf *out)
{
    struct buf bare = buf_on(s->first, sizeof(s->first));

    if (s->nonce[0] == '\0')
        make_nonce(s);
    buf_put(&bare, VIEW("n="));
    put_name(s->credential->login, &bare);
    buf_printf(&bare, ",r=%s", s->nonce);
    s->first_len = bare.overflowed ? 0 : buf_len(&bare);
    buf_put(out, VIEW("n,,"));
    buf_put(out, view_make(s->first, s->first_len));
}

/* "r=...,s=...,i=..."; the nonce begins with ours, or this is somebody else's exchange. */
struct server_first {
    struct view nonce;
    char salt[SCRAM_SALT_MAX];
    size_t salt_len;
    uint64_t iterations;
};

static bool read_server_first(const struct sasl *s, struct view text, struct server_first *f)
{
    struct view nonce = view_take_until(&text, ',');
    struct view salt = view_take_until(&text, ',');
    struct view count = view_take_until(&text, ',');
    struct buf bytes = BUF_ON_ARRAY(f->salt);

    f->nonce = nonce;
    if (!view_take(&f->nonce, VIEW("r=")) || !view_take(&salt, VIEW("s=")) ||
        !view_take(&count, VIEW("i=")) || !base64_decode(salt, &bytes) ||
        !view_to_u64(count, SASL_ITERATIONS_MOST, &f->iterations))
        return false;
    f->salt_len = buf_len(&bytes);
    return f->iterations >= SCRAM_ITERATIONS_LEAST && f->nonce.len > strlen(s->nonce) &&
           view_starts(f->nonce, view_of(s->nonce));
}

static void derive(struct credential *c, const struct server_first *f)
{
    const struct scram_keys *k = &c->derived.keys;

    if (c->is_derived && k->iterations == f->iterations && k->salt_len == f->salt_len &&
        memcmp(k->salt, f->salt, f->salt_len) == 0)
        return;
    scram_derive(view_make(c->secret, c->secret_len), view_make(f->salt, f->salt_len),
                 (unsigned)f->iterations, &c->derived);
    c->is_derived = true;
}

/* AuthMessage = our first message, the server's, and our last one without its proof. */
static bool prove(struct sasl *s, struct view challenge, struct buf *out)
{
    char room[2048], proof[SCRAM_KEY_BYTES];
    struct buf auth = BUF_ON_ARRAY(room);
    struct server_first f;

    if (s->first_len == 0 || !read_server_first(s, challenge, &f) ||
        !buf_printf(&auth, "%.*s,%.*s,c=biws,r=%.*s", (int)s->first_len, s->first,
                    VIEW_ARG(challenge), VIEW_ARG(f.nonce)))
        return false;
    derive(s->credential, &f);
    scram_client_proof(&s->credential->derived, buf_view(&auth), proof);
    scram_server_signature(&s->credential->derived.keys, buf_view(&auth), s->signature);
    return buf_printf(out, "c=biws,r=%.*s,p=", VIEW_ARG(f.nonce)) &&
           base64_encode(view_make(proof, sizeof(proof)), out);
}

static bool check_server(struct sasl *s, struct view challenge)
{
    char room[SCRAM_KEY_BYTES];
    struct buf signature = BUF_ON_ARRAY(room);

    if (!view_take(&challenge, VIEW("v=")) || !base64_decode(challenge, &signature))
        return false;
    s->proven = scram_equal(buf_view(&signature), view_make(s->signature, sizeof(s->signature)));
    return s->proven;
}

static bool answer_scram(struct sasl *s, struct view challenge, struct buf *out)
{
    if (s->step == 1)
        return prove(s, challenge, out);
    return s->step == 2 && check_server(s, challenge);
}

/* ---- the others ---- */

static void put_plain(const struct sasl *s, struct buf *out)
{
    buf_put_byte(out, '\0');
    buf_put(out, s->credential->login);
    buf_put_byte(out, '\0');
    buf_put(out, secret_of(s));
}

static void put_xoauth2(const struct sasl *s, struct buf *out)
{
    struct view token = secret_of(s);

    buf_printf(out, "user=%.*s\1auth=Bearer %.*s\1\1", VIEW_ARG(s->credential->login),
               VIEW_ARG(token));
}

static void put_bearer(const struct sasl *s, struct view host, unsigned port, struct buf *out)
{
    struct view token = secret_of(s);

    buf_put(out, VIEW("n,a="));
    put_name(s->credential->login, out);
    buf_printf(out, ",\1host=%.*s\1port=%u\1auth=Bearer %.*s\1\1", VIEW_ARG(host), port,
               VIEW_ARG(token));
}

bool sasl_first(struct sasl *s, struct view host, unsigned port, struct buf *out)
{
    s->step = 1;
    switch (s->mechanism) {
    case SASL_OAUTHBEARER:
        put_bearer(s, host, port, out);
        return true;
    case SASL_XOAUTH2:
        put_xoauth2(s, out);
        return true;
    case SASL_SCRAM_SHA_256:
        put_first(s, out);
        return true;
    case SASL_PLAIN:
        put_plain(s, out);
        return true;
    case SASL_LOGIN:
    case SASL_MECHANISMS:
        break;
    }
    s->step = 0;
    return false;
}

bool sasl_answer(struct sasl *s, struct view challenge, struct buf *out)
{
    bool known = false;

    switch (s->mechanism) {
    case SASL_SCRAM_SHA_256:
        known = answer_scram(s, challenge, out);
        break;
    case SASL_LOGIN: /* whatever the challenge says, it asks for the name, then for the password */
        known = s->step < 2 && buf_put(out, s->step == 0 ? s->credential->login : secret_of(s));
        break;
    case SASL_OAUTHBEARER: /* the challenge tells why not; this lets the reply come (RFC
                              7628, 3.2.3) */
        known = s->step == 1 && buf_put_byte(out, 1);
        break;
    case SASL_XOAUTH2:
        known = s->step == 1;
        break;
    case SASL_PLAIN:
    case SASL_MECHANISMS:
        break;
    }
    s->step++;
    return known;
}

bool sasl_end(const struct sasl *s)
{
    return s->proven;
}
