/* XCLIENT: a proxy of ours tells who its client is. Postfix's extension of that name: attributes
 * as ESMTP parameters, values in xtext, then the session begins anew with a greeting. */
#include "mail/params.h"
#include "mail/xtext.h"
#include "smtpd/commands.h"

#include <string.h>

enum { VALUE_MAX = 255 }; /* bytes, decoded */

static bool is_unknown(struct view value)
{
    return view_equal_nocase(value, VIEW("[UNAVAILABLE]")) ||
           view_equal_nocase(value, VIEW("[TEMPUNAVAIL]"));
}

/* A client without an address is nobody: it is in no network. */
static bool take_addr(struct session *s, struct view value)
{
    struct net_address client = { 0 };
    bool may_xclient = s->may_xclient;

    if (!is_unknown(value)) {
        (void)view_take_nocase(&value, VIEW("IPV6:"));
        if (!net_parse_address(value, &client))
            return false;
    }
    session_set_client(s, &client);
    s->may_xclient = may_xclient; /* it may have more to tell */
    return true;
}

static bool take_port(struct session *s, struct view value)
{
    uint64_t port = 0;

    if (!is_unknown(value) && !view_to_u64(value, UINT16_MAX, &port))
        return false;
    s->client.port = (uint16_t)port;
    return true;
}

static bool is_printable(struct view value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if (c <= ' ' || c >= 127)
            return false;
    }
    return value.len > 0;
}

static bool take_name(struct session *s, struct view value)
{
    if (view_equal_nocase(value, VIEW("[TEMPUNAVAIL]")))
        session_name_failed(s);
    else
        session_name_client(s, is_unknown(value) ? VIEW_EMPTY : value);
    return is_printable(value);
}

/* The client's own name stays when the proxy says EHLO. */
static bool take_helo(struct session *s, struct view value)
{
    s->helo_fixed = !is_unknown(value);
    if (!s->helo_fixed)
        return true;
    memcpy(s->helo, value.ptr, value.len);
    s->helo_len = value.len;
    return is_printable(value);
}

static bool take_login(struct session *s, struct view value)
{
    session_log_in(s, is_unknown(value) ? VIEW_EMPTY : value);
    return is_printable(value);
}

static bool take_proto(struct session *s, struct view value)
{
    s->protocol_fixed = NULL;
    if (view_equal_nocase(value, VIEW("SMTP")))
        s->protocol_fixed = "SMTP";
    else if (view_equal_nocase(value, VIEW("ESMTP")))
        s->protocol_fixed = "ESMTP";
    return s->protocol_fixed != NULL || is_unknown(value);
}

/* clang-format off */
static const struct {
    struct view name;
    bool (*take)(struct session *s, struct view value); /* false: no such value */
} attributes[] = {
    { VIEW_INIT("ADDR"),  take_addr }, /* first: it forgets what was known of another client */
    { VIEW_INIT("PORT"),  take_port },
    { VIEW_INIT("NAME"),  take_name },
    { VIEW_INIT("HELO"),  take_helo },
    { VIEW_INIT("LOGIN"), take_login },
    { VIEW_INIT("PROTO"), take_proto },
};
/* clang-format on */

struct said {
    bool there;
    size_t len;
    char value[VALUE_MAX];
};

static bool keep(struct said *all, const struct param *p)
{
    for (size_t i = 0; i < COUNT_OF(attributes); i++) {
        struct said *said = &all[i];
        struct buf value = BUF_ON_ARRAY(said->value);

        if (!view_equal_nocase(attributes[i].name, p->keyword))
            continue;
        if (said->there || !xtext_decode(p->value, &value))
            return false;
        said->there = true;
        said->len = buf_len(&value);
        return said->len > 0;
    }
    return false;
}

/* xclient = "XCLIENT" 1*( SP name "=" xtext ) CRLF. All attributes are read before the first one
 * counts. Once the client was greeted by its new name (end_xclient) there is none any more: what
 * comes then may be the client's own words, which the proxy passes on. */
struct step run_xclient(struct session *s, struct view args)
{
    struct said all[COUNT_OF(attributes)] = { 0 };
    enum params_result result;
    struct param p;

    if (!s->may_xclient)
        return step_refuse(s, 550, "5.7.0", "XCLIENT is for named proxies only");
    while ((result = params_take(&args, &p)) == PARAMS_NEXT) {
        if (!keep(all, &p))
            return step_refuse(s, 501, "5.5.4", "Bad XCLIENT attribute");
    }
    if (result == PARAMS_MALFORMED)
        return step_refuse(s, 501, "5.5.4", "Malformed XCLIENT attributes");
    /* TLS, and the certificate in it, are the proxy's own. */
    s->external = s->bindable = false;
    s->xclient_said = true;
    if (!s->helo_fixed)
        s->helo_len = 0;
    for (size_t i = 0; i < COUNT_OF(attributes); i++) {
        struct view value = view_make(all[i].value, all[i].len);

        if (all[i].there && !attributes[i].take(s, value))
            return step_close(421, "4.5.4", "Bad value of an XCLIENT attribute");
    }
    return step_greet(s);
}
