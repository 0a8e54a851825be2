#include "delivery/dial.h"

#include "common/text.h"
#include "delivery/hosts.h"
#include "io/log.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    RESOLVE_MS = 2 * 60 * 1000, /* for the dns process, which has its own time-outs */
    SAY_AGAIN_MS = 60 * 1000,   /* that nothing can be connected to */
};

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

static bool is_own(const struct outcome *o)
{
    return o->class == OUTCOME_DEFERRED && o->code == 0 && o->scope == SCOPE_MESSAGE &&
           o->enhanced.subject == 3;
}

/* What one host lacks for good counts least, then what is wrong here. */
static int weight_of(const struct outcome *o)
{
    return o->class == OUTCOME_FAILED ? 0 : is_own(o) ? 1 : 2;
}

static void keep_failure(struct dial *d, const struct outcome *o)
{
    struct dial_failure *f = &d->failure;

    if (d->failed && weight_of(o) < weight_of(&f->outcome))
        return;
    d->failed = true;
    f->outcome = *o;
    f->outcome.text = copy_text(f->text, sizeof(f->text), o->text);
    f->outcome.host = copy_text(f->host, sizeof(f->host), o->host);
    f->outcome.tls = copy_text(f->tls, sizeof(f->tls), o->tls);
}

void dial_keep_failure(struct dial *d, const struct outcome *o)
{
    d->met = d->met || (o->class == OUTCOME_FAILED && o->scope != SCOPE_DOMAIN);
    keep_failure(d, o);
}

static void note_host(struct dial *d, const struct net_address *a)
{
    struct buf text = BUF_ON_ARRAY(d->host);

    d->address = *a;
    if (dial_target(d)->kind == TARGET_PATH)
        buf_put(&text, dial_target(d)->host);
    else
        (void)(buf_put(&text, d->route.host) && buf_put_byte(&text, '[') &&
               net_print_address(a, &text) && buf_printf(&text, "]:%u", a->port));
    d->host_len = buf_len(&text);
}

static void fail_to_connect(struct dial *d, const struct net_address *a, struct view words)
{
    struct outcome o = { .class = OUTCOME_DEFERRED,
                         .scope = SCOPE_DESTINATION,
                         .enhanced = { 4, 4, 1 },
                         .text = words,
                         .doing = VIEW_INIT("connecting") };

    note_host(d, a);
    o.host = dial_host(d);
    d->unreached = a->family;
    keep_failure(d, &o);
}

/* The socket could not even be made, or sent from: whoever is called is not to blame. */
static bool is_fault_of_ours(const struct dial *d, int err)
{
    static const int always[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM };
    /* Policy (EACCES, EPERM, EINVAL: a route that prohibits, or a firewall), no source address or
     * port, no route. */
    static const int in_networks[] = { EACCES,        EPERM,  EINVAL,      EADDRINUSE,
                                       EADDRNOTAVAIL, EAGAIN, ENETUNREACH, EAFNOSUPPORT };

    for (size_t i = 0; i < COUNT_OF(always); i++) {
        if (err == -always[i])
            return true;
    }
    for (size_t i = 0; i < COUNT_OF(in_networks); i++) {
        if (err == -in_networks[i])
            return dial_target(d)->kind != TARGET_PATH;
    }
    return false;
}

/* Costs the message an attempt, and not the destination. */
static void fail_here(struct dial *d, const struct net_address *a, int err)
{
    char room[OUTCOME_TEXT_MAX];
    struct buf words = BUF_ON_ARRAY(room);
    struct outcome o = { .class = OUTCOME_DEFERRED,
                         .scope = SCOPE_MESSAGE,
                         .enhanced = { 4, 3, 0 },
                         .doing = VIEW_INIT("connecting") };

    note_host(d, a);
    buf_printf(&words, "this host cannot connect: %.*s", VIEW_ARG(dial_words(err)));
    o.text = buf_view(&words);
    o.host = dial_host(d);
    if (err == -ENETUNREACH)
        d->unreached = a->family;
    keep_failure(d, &o);
}

static void fail_at_once(struct dial *d, const struct net_address *a, int err)
{
    if (is_fault_of_ours(d, err))
        fail_here(d, a, err);
    else
        fail_to_connect(d, a, dial_words(err));
}

/* For a while others of the destination avoid it too. */
bool dial_avoid_ipv6(struct dial *d, const struct outcome *o)
{
    if (d->address.family != AF_INET6 || !route_blames_ipv6(o) ||
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

    if (d->unreached != 0 && d->address.family != d->unreached)
        *m = (struct route_memory){ d->unreached, loop_of(d)->now_ms + ROUTE_SECOND_MS };
}

static int open_socket(const struct dial *d, const struct net_address *a)
{
    const struct route_settings *r = d->destination->route;
    const struct net_address *source = NULL;

    if (dial_target(d)->kind == TARGET_PATH)
        return net_connect_unix(dial_target(d)->host);
    for (size_t i = 0; r != NULL && i < r->source_count; i++) {
        if (r->sources[i].family == a->family)
            source = &r->sources[i];
    }
    return net_connect(a, source);
}

static bool is_running(const struct dial_attempt *a)
{
    return a->watch.fd >= 0;
}

/* 0: under way. */
static int start_attempt(struct dial *d, struct dial_attempt *a)
{
    int fd = open_socket(d, &a->address);
    int err;

    if (fd < 0)
        return fd;
    a->watch.fd = fd;
    err = loop_watch(loop_of(d), &a->watch, WANT_WRITE);
    if (err < 0) {
        close(fd);
        a->watch.fd = -1;
        return err;
    }
    loop_start_timer(loop_of(d), &a->timer, settings_of(d)->timeouts.connect);
    return 0;
}

/* The socket is the caller's. */
static int end_attempt(struct dial *d, struct dial_attempt *a)
{
    int fd = a->watch.fd;

    loop_stop_timer(loop_of(d), &a->timer);
    loop_unwatch(loop_of(d), &a->watch);
    a->watch.fd = -1;
    return fd;
}

/* ---- TLS ---- */

static struct tls_wish tls_wish(const struct dial *d)
{
    struct tls_wish wish = d->destination->tls;

    wish.implicit = dial_target(d)->implicit_tls;
    if (dial_target(d)->kind == TARGET_PATH) /* never leaves the machine */
        wish = (struct tls_wish){ .level = ROUTE_TLS_NONE };
    return wish;
}

struct tls_policy dial_tls_policy(const struct dial *d)
{
    return tlspolicy_choose(tls_wish(d),
                            tlspolicy_recall(&d->destination->tls_memories, &d->address),
                            loop_of(d)->now_ms);
}

void dial_meet_us(struct dial *d)
{
    route_meet_us(&d->route);
}

/* ---- one address ---- */

/* Another free one is the newest then. True: under way. */
static bool try_address(struct dial *d, const struct net_address *address)
{
    struct dial_attempt *a = &d->attempts[is_running(d->attempts)];
    int err;

    a->address = *address;
    err = start_attempt(d, a);
    if (!d->paid && !is_fault_of_ours(d, err))
        destination_count_attempt(d->destination);
    d->paid = d->paid && is_fault_of_ours(d, err);
    if (err < 0) {
        fail_at_once(d, address, err);
        return false;
    }
    d->newest = a;
    return true;
}

/* ---- two addresses at a time ---- */

static struct dial_attempt *other_than(struct dial *d, const struct dial_attempt *a)
{
    return &d->attempts[a == d->attempts];
}

static void end_race(struct dial *d)
{
    loop_stop_timer(loop_of(d), &d->timer);
    if (d->racing)
        destination_end_race(d->destination);
    d->racing = false;
}

/* Another address of the host beside the one that is under way. */
static void race(struct dial *d)
{
    uint8_t family = d->newest->address.family;

    while (route_next_beside(&d->route, family)) {
        if (try_address(d, &d->route.address))
            return;
    }
    end_race(d);
}

/* The first to answer wins. What began before it does not work well; what began after had no time
 * to show, and may be tried yet. */
static void win(struct dial *d, struct dial_attempt *a, int fd)
{
    struct dial_attempt *other = other_than(d, a);

    note_host(d, &a->address);
    if (is_running(other)) {
        if (other == d->newest)
            route_put_back(&d->route);
        else
            d->unreached = other->address.family;
        close(end_attempt(d, other));
    }
    end_race(d);
    remember_family(d);
    d->connected(d, fd);
}

static void lose(struct dial *d, struct dial_attempt *a, struct view words)
{
    struct dial_attempt *other = other_than(d, a);

    fail_to_connect(d, &a->address, words);
    if (is_running(other)) {
        d->newest = other;
        race(d);
    } else {
        end_race(d);
        seek(d);
    }
}

static void on_ready(struct watch *w, unsigned what)
{
    struct dial_attempt *a = container_of(w, struct dial_attempt, watch);
    struct dial *d = a->dial;
    int fd = end_attempt(d, a);
    int err = net_connect_result(fd);

    (void)what;
    if (err == 0) {
        win(d, a, fd);
        return;
    }
    close(fd);
    lose(d, a, dial_words(err));
}

static void on_late(struct timer *t)
{
    struct dial_attempt *a = container_of(t, struct dial_attempt, timer);

    close(end_attempt(a->dial, a));
    lose(a->dial, a, VIEW("timed out"));
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
    bool mx = t->kind == TARGET_MX || t == &to->own; /* an address literal is its own mail host */

    route_release(&d->route);
    route_init(&d->route, settings_of(d), mx, mx ? d->domain : t->host,
               mx ? to->own.port : t->port);
    d->route.family = family_of(to->route);
    if (loop_of(d)->now_ms < to->families.until_ms)
        d->route.second = to->families.second;
}

/* What was heard counts more than what could not be looked up; but not what a host lacks for good,
 * which the one that was not found may have. */
static void keep_end(struct dial *d)
{
    const struct outcome *end = &d->route.end;
    bool lacking = d->failed && d->failure.outcome.class == OUTCOME_FAILED;

    if (d->route.tried == 0 || (lacking && end->text.len > 0))
        keep_failure(d, end);
}

/* The target is used up. True: another may do; not where the domain takes no mail at all. */
static bool next_target(struct dial *d)
{
    bool tried = d->route.tried > 0;

    d->host_len = 0;
    keep_end(d);
    if ((!tried && d->route.end.class == OUTCOME_FAILED) ||
        d->target_at + 1 == d->destination->target_count)
        return false;
    d->target_at++;
    begin_target(d);
    return true;
}

/* Connections are shared by the domains that had the same mail hosts in the same order when the
 * queue asked. If this one has others now, nobody but this job may use the connection. */
static void check_hosts(struct dial *d, const struct message_dns_answer *a)
{
    char room[MAIL_HOSTS_MAX + 1];
    struct buf name = BUF_ON_ARRAY(room);
    uint32_t order;

    if (d->route.question != DNS_ROUTE || d->destination->mail_hosts.len == 0)
        return;
    order = hosts_name(a, settings_of(d)->hostname, &name);
    d->alone =
        !view_equal(buf_view(&name), d->destination->mail_hosts) || order != d->destination->order;
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

/* Not of a family that this host does not have, as long as the other does. */
static void complain(const struct dial *d)
{
    struct worker *w = d->destination->worker;
    const struct outcome *o = &d->failure.outcome;
    uint64_t now_ms = loop_of(d)->now_ms;

    if (!is_own(o) || (w->complained_ms > 0 && now_ms < w->complained_ms + SAY_AGAIN_MS))
        return;
    w->complained_ms = now_ms;
    log_error("connecting_impossible", LOG_VIEW("destination", d->destination->name),
              LOG_VIEW("host", o->host), LOG_VIEW("reason", o->text));
}

static void seek(struct dial *d)
{
    for (;;) {
        switch (next_need(d)) {
        case ROUTE_ASK:
            resolve(d);
            return;
        case ROUTE_TRY:
            if (try_address(d, &d->route.address)) {
                if (route_has_more(&d->route))
                    loop_start_timer(loop_of(d), &d->timer, DIAL_PATIENCE_MS);
                return;
            }
            break;
        case ROUTE_END:
            if (next_target(d))
                break;
            complain(d);
            assert(d->failed && d->failure.outcome.class != OUTCOME_DELIVERED);
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

/* Where there is no room for a second attempt, the first is given up for the other family, once: it
 * may have to be waited for in the end. */
static bool turn_to_other_family(struct dial *d)
{
    if (d->turned || !route_put_behind(&d->route))
        return false;
    d->turned = true;
    d->unreached = d->newest->address.family;
    close(end_attempt(d, d->newest));
    seek(d);
    return true;
}

/* The answer is late, or the address that is tried. */
static void on_timer(struct timer *t)
{
    struct dial *d = container_of(t, struct dial, timer);

    if (!is_running(&d->attempts[0]) && !is_running(&d->attempts[1])) {
        give_up_resolving(d);
    } else if (destination_begin_race(d->destination)) {
        d->racing = true;
        race(d);
    } else if (!turn_to_other_family(d)) {
        loop_start_timer(loop_of(d), &d->timer, DIAL_PATIENCE_MS);
    }
}

/* ---- for the connection ---- */

void dial_init(struct dial *d, struct destination *to, bool paid)
{
    d->destination = to;
    d->paid = paid;
    d->question.answered = on_answered;
    d->timer.fire = on_timer;
    for (size_t i = 0; i < DIAL_ATTEMPTS_MAX; i++)
        d->attempts[i] = (struct dial_attempt){ .dial = d,
                                                .watch = { .fd = -1, .ready = on_ready },
                                                .timer = { .fire = on_late } };
}

void dial_begin(struct dial *d, struct view domain)
{
    struct destination *to = d->destination;

    d->domain = domain;
    d->target_at = d->target_first = 0;
    if (to->route != NULL && to->route->balance)
        d->target_first =
            to->worker->turns[to->route - settings_of(d)->routes]++ % to->target_count;
    d->alone = d->failed = d->met = d->turned = false;
    d->unreached = 0;
    begin_target(d);
    seek(d);
}

void dial_next(struct dial *d)
{
    seek(d);
}

void dial_leave_host(struct dial *d)
{
    d->route.address_at = d->route.address_count;
}

void dial_again(struct dial *d)
{
    const struct net_address address = d->address;

    if (!try_address(d, &address))
        seek(d);
}

void dial_stop(struct dial *d)
{
    for (size_t i = 0; i < DIAL_ATTEMPTS_MAX; i++) {
        if (is_running(&d->attempts[i]))
            close(end_attempt(d, &d->attempts[i]));
    }
    end_race(d);
    asker_forget(&d->destination->worker->asker, &d->question);
    route_release(&d->route);
}
