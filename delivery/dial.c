#include "delivery/dial.h"

#include "common/text.h"
#include "delivery/hosts.h"
#include "io/log.h"

#include <string.h>
#include <unistd.h>

enum { RESOLVE_MS = 2 * 60 * 1000 }; /* for the dns process, which has its own time-outs */

static void seek(struct dial *d);

static struct loop *loop_of(const struct dial *d)
{
    return d->destination->worker->loop;
}

static const struct settings *settings_of(const struct dial *d)
{
    return d->destination->worker->settings;
}

const struct route_target *dial_target(const struct dial *d)
{
    const struct destination *to = d->destination;

    return &to->targets[(d->target_first + d->target_at) % to->target_count];
}

struct view dial_host(const struct dial *d)
{
    return view_make(d->host, d->host_len);
}

/* ---- failures ---- */

static struct view copy_text(char *room, size_t size, struct view text)
{
    text = view_sub(text, 0, size);
    if (text.len > 0)
        memcpy(room, text.ptr, text.len);
    return view_make(room, text.len);
}

struct view dial_words(int err)
{
    static char room[128];
    struct view words = copy_text(room, sizeof(room), view_of(strerror(-err)));

    room[0] = byte_lower(room[0]);
    return words;
}

void dial_keep_failure(struct dial *d, const struct outcome *o)
{
    struct dial_failure *f = &d->failure;

    if (d->failed && o->class == OUTCOME_FAILED && f->outcome.class == OUTCOME_DEFERRED)
        return;
    d->failed = true;
    f->outcome = *o;
    f->outcome.text = copy_text(f->text, sizeof(f->text), o->text);
    f->outcome.host = copy_text(f->host, sizeof(f->host), o->host);
    f->outcome.tls = copy_text(f->tls, sizeof(f->tls), o->tls);
}

static void fail_to_connect(struct dial *d, struct view words)
{
    const struct outcome o = { .class = OUTCOME_DEFERRED,
                               .scope = SCOPE_DESTINATION,
                               .enhanced = { 4, 4, 1 },
                               .text = words,
                               .host = dial_host(d),
                               .doing = VIEW_INIT("connecting") };

    d->unreached = d->route.address.family;
    dial_keep_failure(d, &o);
}

/* For a while others of the destination avoid it too. */
bool dial_avoid_ipv6(struct dial *d, const struct outcome *o)
{
    if (d->route.address.family != AF_INET6 || !route_blames_ipv6(o) ||
        !route_turn_from(&d->route, AF_INET6))
        return false;
    d->unreached = AF_INET6;
    log_warn("ipv6_refused", LOG_VIEW("destination", d->destination->name),
             LOG_VIEW("host", dial_host(d)), LOG_U64("code", o->code), LOG_VIEW("reason", o->text));
    return true;
}

/* ---- connecting ---- */

/* A connection at last: what the other family cost is not to be paid again for a while. */
static void remember_family(struct dial *d)
{
    struct route_memory *m = &d->destination->families;

    if (d->unreached != 0 && d->route.address.family != d->unreached)
        *m = (struct route_memory){ d->unreached, loop_of(d)->now_ms + ROUTE_SECOND_MS };
}

static void note_host(struct dial *d)
{
    struct buf text = BUF_ON_ARRAY(d->host);
    const struct net_address *a = &d->route.address;

    if (dial_target(d)->kind == TARGET_PATH)
        buf_put(&text, dial_target(d)->host);
    else
        (void)(buf_put(&text, d->route.host) && buf_put_byte(&text, '[') &&
               net_print_address(a, &text) && buf_printf(&text, "]:%u", a->port));
    d->host_len = buf_len(&text);
}

static int open_socket(const struct dial *d)
{
    const struct route_settings *r = d->destination->route;
    const struct net_address *source = NULL;

    if (dial_target(d)->kind == TARGET_PATH)
        return net_connect_unix(dial_target(d)->host);
    for (size_t i = 0; r != NULL && i < r->source_count; i++) {
        if (r->sources[i].family == d->route.address.family)
            source = &r->sources[i];
    }
    return net_connect(&d->route.address, source);
}

static int start_connecting(struct dial *d)
{
    int fd = open_socket(d);
    int err;

    if (fd < 0)
        return fd;
    d->watch.fd = fd;
    err = loop_watch(loop_of(d), &d->watch, WANT_WRITE);
    if (err < 0) {
        close(fd);
        d->watch.fd = -1;
        return err;
    }
    if (!d->paid)
        destination_count_attempt(d->destination);
    d->paid = false;
    loop_start_timer(loop_of(d), &d->timer, settings_of(d)->timeouts.connect);
    return 0;
}

/* True: under way. */
static bool try_address(struct dial *d)
{
    int err;

    note_host(d);
    err = start_connecting(d);
    if (err < 0)
        fail_to_connect(d, dial_words(err));
    return err == 0;
}

/* The socket is the caller's. */
static int stop_connecting(struct dial *d)
{
    int fd = d->watch.fd;

    loop_stop_timer(loop_of(d), &d->timer);
    if (fd >= 0)
        loop_unwatch(loop_of(d), &d->watch);
    d->watch.fd = -1;
    return fd;
}

static void on_ready(struct watch *w, unsigned what)
{
    struct dial *d = container_of(w, struct dial, watch);
    int fd = stop_connecting(d);
    int err = net_connect_result(fd);

    (void)what;
    if (err < 0) {
        close(fd);
        fail_to_connect(d, dial_words(err));
        seek(d);
        return;
    }
    remember_family(d);
    d->connected(d, fd);
}

/* ---- finding a host ---- */

/* Only a source's own family is used, when there is but one. */
static uint8_t family_of(const struct route_settings *r)
{
    return r != NULL && r->source_count == 1 ? r->sources[0].family : 0;
}

static void begin_target(struct dial *d)
{
    const struct destination *to = d->destination;
    const struct route_target *t = dial_target(d);
    bool mx = t->kind == TARGET_MX;

    route_release(&d->route);
    route_init(&d->route, settings_of(d), mx, mx ? d->domain : t->host,
               mx ? to->own.port : t->port);
    d->route.family = family_of(to->route);
    if (loop_of(d)->now_ms < to->families.until_ms)
        d->route.second = to->families.second;
}

/* The target is used up. True: another may do; not where the domain takes no mail at all. */
static bool next_target(struct dial *d)
{
    bool tried = d->route.tried > 0;

    d->host_len = 0;
    if (!tried)
        dial_keep_failure(d, &d->route.end);
    if ((!tried && d->route.end.class == OUTCOME_FAILED) ||
        d->target_at + 1 == d->destination->target_count)
        return false;
    d->target_at++;
    begin_target(d);
    return true;
}

/* Connections are shared by the domains that had the same mail hosts when the queue asked. If this
 * one has others now, nobody but this job may use the connection. */
static void check_hosts(struct dial *d, const struct message_dns_answer *a)
{
    char room[MAIL_HOSTS_MAX + 1];
    struct buf name = BUF_ON_ARRAY(room);

    if (d->route.question != DNS_ROUTE || d->destination->mail_hosts.len == 0)
        return;
    hosts_name(a, &name);
    d->alone = !view_equal(buf_view(&name), d->destination->mail_hosts);
}

static void on_answered(struct question *q, const struct message_dns_answer *a)
{
    struct dial *d = container_of(q, struct dial, question);

    loop_stop_timer(loop_of(d), &d->timer);
    check_hosts(d, a);
    route_answer(&d->route, a);
    seek(d);
}

static void resolve(struct dial *d)
{
    loop_start_timer(loop_of(d), &d->timer, RESOLVE_MS);
    asker_ask(&d->destination->worker->asker, &d->question, d->route.question, d->route.name);
}

/* A path is one address; everything else has a route. */
static enum route_need next_need(struct dial *d)
{
    if (dial_target(d)->kind != TARGET_PATH)
        return route_next(&d->route);
    return d->route.tried++ == 0 ? ROUTE_TRY : ROUTE_END;
}

static void seek(struct dial *d)
{
    for (;;) {
        switch (next_need(d)) {
        case ROUTE_ASK:
            resolve(d);
            return;
        case ROUTE_TRY:
            if (try_address(d))
                return;
            break;
        case ROUTE_END:
            if (next_target(d))
                break;
            d->ended(d);
            return;
        }
    }
}

static void give_up_resolving(struct dial *d)
{
    static const struct message_dns_answer late = { .result = DNS_TEMPORARY,
                                                    .words = VIEW_INIT("no answer in time") };

    asker_forget(&d->destination->worker->asker, &d->question);
    route_answer(&d->route, &late);
    seek(d);
}

static void on_timer(struct timer *t)
{
    struct dial *d = container_of(t, struct dial, timer);

    if (d->watch.fd < 0) {
        give_up_resolving(d);
        return;
    }
    close(stop_connecting(d));
    fail_to_connect(d, VIEW("timed out"));
    seek(d);
}

/* ---- for the connection ---- */

void dial_init(struct dial *d, struct destination *to, bool paid)
{
    d->destination = to;
    d->paid = paid;
    d->question.answered = on_answered;
    d->watch.fd = -1;
    d->watch.ready = on_ready;
    d->timer.fire = on_timer;
}

void dial_begin(struct dial *d, struct view domain)
{
    struct destination *to = d->destination;

    d->domain = domain;
    d->target_at = d->target_first = 0;
    if (to->route != NULL && to->route->balance)
        d->target_first = to->next_target++ % to->target_count;
    d->alone = d->failed = false;
    d->unreached = 0;
    begin_target(d);
    seek(d);
}

void dial_next(struct dial *d)
{
    seek(d);
}

void dial_again(struct dial *d)
{
    if (!try_address(d))
        seek(d);
}

void dial_stop(struct dial *d)
{
    int fd = stop_connecting(d);

    if (fd >= 0)
        close(fd);
    asker_forget(&d->destination->worker->asker, &d->question);
    route_release(&d->route);
}
