#include "delivery/conn_tls.h"

/* Where the policy was set; NULL: nowhere. */
static const char *tls_origin(const struct conn *c)
{
    const struct route_settings *r = c->destination->route;

    return r != NULL ? r->origin : NULL;
}

void conn_note_tls(struct conn *c)
{
    struct buf text = BUF_ON_ARRAY(c->tls);
    struct tls_facts facts;

    tls_describe(c->stream.tls, &facts);
    if (!facts.resumed)
        c->session_until_ms = conn_loop(c)->now_ms + SESSIONS_AGE_MS;
    tlspolicy_describe(c->policy, tls_origin(c), &facts, &text);
    c->tls_len = buf_len(&text);
}

/* What is said within the machine has no policy. */
void conn_note_lack(struct conn *c, enum tls_lack lack)
{
    struct buf text = BUF_ON_ARRAY(c->tls);

    if (c->tls_len > 0 || dial_target(&c->dial)->kind == TARGET_PATH)
        return;
    tlspolicy_describe_lack(c->policy, tls_origin(c), lack, &text);
    c->tls_len = buf_len(&text);
}

void conn_note_plain(struct conn *c)
{
    if (c->stream.tls == NULL)
        conn_note_lack(c, c->client.ext.starttls ? TLS_REFUSED : TLS_NOT_OFFERED);
}

/* The number of the route whose trust anchors count, plus 1; 0: the general ones do. */
static size_t anchors_of(const struct conn *c)
{
    const struct route_settings *r = c->destination->route;
    size_t number = r == NULL ? 0 : (size_t)(r - conn_settings(c)->routes);

    return r == NULL || conn_worker(c)->route_tls[number] == NULL ? 0 : number + 1;
}

/* What sessions of TLS are remembered by. */
static struct view session_name(const struct conn *c, struct buf *name)
{
    sessions_name(c->dial.route.host, c->dial.address.port, c->policy, anchors_of(c), name);
    return buf_view(name);
}

/* The host gave it with its first words in TLS. */
void conn_keep_session(struct conn *c)
{
    char room[SESSIONS_NAME_MAX];
    struct buf name = BUF_ON_ARRAY(room);
    struct ssl_session_st *s = c->stream.tls != NULL ? tls_take_session(c->stream.tls) : NULL;

    if (s != NULL)
        sessions_keep(&conn_worker(c)->sessions, session_name(c, &name), s, c->session_until_ms);
}

static void offer_session(struct conn *c)
{
    char room[SESSIONS_NAME_MAX];
    struct buf name = BUF_ON_ARRAY(room);
    struct ssl_session_st *s = NULL;

    if (!c->no_resume)
        s = sessions_take(&conn_worker(c)->sessions, session_name(c, &name), conn_loop(c)->now_ms,
                          &c->session_until_ms);
    c->resuming = s != NULL;
    if (s == NULL)
        return;
    tls_offer_session(c->stream.tls, s);
    tls_free_session(&s);
}

/* TLS that not everybody asks for is missing. */
bool conn_lacks_tls(const struct conn *c, const struct outcome *o)
{
    return o->code == 0 && o->enhanced.subject == 7 && c->policy.needs;
}

int conn_open_tls(struct conn *c)
{
    size_t anchors = anchors_of(c);
    struct tls_context *tls =
        anchors > 0 ? conn_worker(c)->route_tls[anchors - 1] : conn_worker(c)->tls;
    int err = stream_connect_tls(&c->stream, tls, c->dial.route.host, c->policy.verify);

    if (err == 0)
        offer_session(c);
    return err;
}
