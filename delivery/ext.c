#include "delivery/ext.h"

#include "common/attrs.h"
#include "delivery/sasl.h"

/* size-value = [ 1*20DIGIT ]; RFC 1870, 3. A number beyond 64 bits limits nothing. */
static void read_size(struct view value, struct ext *out)
{
    out->size = true;
    if (!view_to_u64(view_trim(value), UINT64_MAX, &out->size_most))
        out->size_most = 0;
}

/* deliverby-param = min-by-time *( "," extension-token ); RFC 2852, 4 */
static void read_deliver_by(struct view value, struct ext *out)
{
    value = view_trim(value);
    out->deliver_by = true;
    if (!view_to_u64(view_take_until(&value, ','), UINT32_MAX, &out->by_least))
        out->by_least = 0;
}

/* limits-param = *( SP limit-name "=" limit-value ); RFC 9422, 4. A limit of nothing is none. */
static void read_limits(struct view words, struct ext *out)
{
    const struct {
        struct view name;
        uint64_t *limit;
    } limits[] = {
        { VIEW_INIT("MAILMAX"), &out->mails_most },
        { VIEW_INIT("RCPTMAX"), &out->rcpts_most },
        { VIEW_INIT("RCPTDOMAINMAX"), &out->domains_most },
    };

    while (words.len > 0) {
        struct view value = view_take_word(&words);
        struct view name = view_take_until(&value, '=');
        for (size_t i = 0; i < COUNT_OF(limits); i++) {
            if (view_equal_nocase(name, limits[i].name) &&
                !view_to_u64(value, 999999, limits[i].limit))
                *limits[i].limit = 0;
        }
    }
}

/* ehlo-line = ehlo-keyword *( SP ehlo-param ) */
static void read_line(struct view line, struct ext *out)
{
    const struct {
        struct view keyword;
        bool *offered;
    } flags[] = {
        { VIEW_INIT("PIPELINING"), &out->pipelining },
        { VIEW_INIT("8BITMIME"), &out->eight_bit },
        { VIEW_INIT("CHUNKING"), &out->chunking },
        { VIEW_INIT("STARTTLS"), &out->starttls },
        { VIEW_INIT("DSN"), &out->dsn },
        { VIEW_INIT("SMTPUTF8"), &out->utf8 },
        { VIEW_INIT("REQUIRETLS"), &out->require_tls },
        { VIEW_INIT("MT-PRIORITY"), &out->priority },
    };
    struct view keyword = view_take_word(&line);

    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        if (view_equal_nocase(keyword, flags[i].keyword))
            *flags[i].offered = true;
    }
    if (view_equal_nocase(keyword, VIEW("SIZE")))
        read_size(line, out);
    else if (view_equal_nocase(keyword, VIEW("LIMITS")))
        read_limits(line, out);
    else if (view_equal_nocase(keyword, VIEW("AUTH")))
        out->auth |= sasl_read_mechanisms(line);
    else if (view_equal_nocase(keyword, VIEW("DELIVERBY")))
        read_deliver_by(line, out);
}

void ext_read(struct view text, struct ext *out)
{
    *out = (struct ext){ .pipelining = false };
    (void)view_take_until(&text, '\n');
    while (text.len > 0)
        read_line(view_take_until(&text, '\n'), out);
}
