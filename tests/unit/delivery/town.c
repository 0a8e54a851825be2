#include "tests/unit/delivery/town.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "delivery/destination.h"
#include "delivery/hosts.h"
#include "io/net.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RESULTS_BYTES = 65536, TURNS_MAX = 5000, TURN_MS = 20 };

/* ---- mail hosts ---- */

static void close_guest(struct town_guest *g)
{
    if (g->closed || g->host == NULL)
        return;
    loop_unwatch(&g->host->town->loop, &g->watch);
    close(g->watch.fd);
    buf_free(&g->input);
    g->closed = true;
    g->host->open--;
}

/* The host's word on a verb; empty: none. */
static struct view find_reply(const struct town_host *h, struct view verb)
{
    struct view script = view_of(h->script);
    struct view line;

    while (view_take_line(&script, &line)) {
        if (view_equal_nocase(view_take_word(&line), verb))
            return line;
    }
    return VIEW_EMPTY;
}

static void reply(struct town_guest *g, struct view verb, const char *usual)
{
    struct view text = find_reply(g->host, verb);
    char room[512];
    struct buf out = BUF_ON_ARRAY(room);

    if (text.len == 0)
        text = view_of(usual);
    if (view_equal(text, VIEW("close")))
        close_guest(g);
    if (g->closed || view_equal(text, VIEW("-")))
        return;
    while (text.len > 0) { /* "\" ends a line of a reply */
        buf_put(&out, view_take_until(&text, '\\'));
        buf_put(&out, VIEW("\r\n"));
    }
    assert_true(write(g->watch.fd, buf_view(&out).ptr, buf_len(&out)) > 0);
}

static void take_content(struct town_guest *g, struct view content)
{
    struct town_host *h = g->host;

    buf_clear(&h->heard);
    assert_true(buf_put(&h->heard, content));
    h->messages++;
    g->content = false;
    reply(g, VIEW("CONTENT"), "250 2.0.0 taken");
    if (h->close_after > 0 && h->messages % h->close_after == 0)
        close_guest(g);
}

static bool take_chunk(struct town_guest *g)
{
    struct town_host *h = g->host;
    struct view reply_text = find_reply(h, VIEW("BDAT"));
    struct view input = buf_view(&g->input);

    if (input.len < g->chunk)
        return false;
    buf_clear(&h->heard);
    assert_true(buf_put(&h->heard, view_sub(input, 0, (size_t)g->chunk)));
    h->messages += reply_text.len == 0;
    reply(g, VIEW("BDAT"), "250 2.0.0 taken");
    if (h->close_after > 0 && h->messages % h->close_after == 0)
        close_guest(g);
    if (!g->closed)
        buf_consume(&g->input, (size_t)g->chunk);
    g->chunk = 0;
    return !g->closed;
}

static bool is_too_many(struct town_guest *g)
{
    g->rcpts++;
    g->host->rcpts++;
    return (g->host->rcpts_most > 0 && g->rcpts > g->host->rcpts_most) ||
           (g->host->full > 0 && g->rcpts == g->host->full);
}

static void take_command(struct town_guest *g, struct view line)
{
    static const struct {
        struct view verb;
        const char *usual;
    } verbs[] = {
        { VIEW_INIT("EHLO"), "250-mx.test\\250-8BITMIME\\250 PIPELINING" },
        { VIEW_INIT("DATA"), "354 go" },
        { VIEW_INIT("QUIT"), "221 bye" },
    };
    struct view verb = view_take_word(&line);
    const char *usual = "250 ok";

    if (view_equal(verb, VIEW("BDAT"))) { /* is answered behind the chunk */
        assert_true(view_to_u64(view_take_word(&line), UINT32_MAX, &g->chunk) && g->chunk > 0);
        if (find_reply(g->host, VIEW("EARLY")).len > 0)
            reply(g, VIEW("EARLY"), "");
        return;
    }

    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        if (view_equal(verb, verbs[i].verb))
            usual = verbs[i].usual;
    }
    if (view_equal(verb, VIEW("MAIL")))
        g->rcpts = 0;
    if (view_equal(verb, VIEW("RCPT")) && is_too_many(g))
        usual = g->host->bare ? "452 no" : "452 4.5.3 too many";
    reply(g, verb, usual);
    if (g->closed)
        return;
    g->content = view_equal(verb, VIEW("DATA")) && find_reply(g->host, verb).len == 0;
    if (view_equal(verb, VIEW("QUIT")))
        close_guest(g);
    else if (view_equal(verb, VIEW("STARTTLS")) && find_reply(g->host, VIEW("TLS")).len > 0)
        g->tls = true;
}

/* One command or one content from the front of the input. */
static bool take_input(struct town_guest *g)
{
    struct view input = buf_view(&g->input);
    bool lone_dot = g->content && view_starts(input, VIEW(".\r\n"));
    struct view end = lone_dot ? VIEW(".\r\n") : g->content ? VIEW("\r\n.\r\n") : VIEW("\r\n");
    size_t at = view_find_view(input, end);
    struct view unit = view_sub(input, 0, at);

    if (g->chunk > 0)
        return take_chunk(g);
    if (at == input.len)
        return false;
    if (lone_dot) {
        g->content = false;
        reply(g, VIEW(""), "554 nothing for nobody");
    } else if (g->content) {
        take_content(g, unit);
    } else {
        take_command(g, unit);
    }
    if (!g->closed)
        buf_consume(&g->input, at + end.len);
    return !g->closed;
}

static void on_guest(struct watch *w, unsigned what)
{
    struct town_guest *g = container_of(w, struct town_guest, watch);
    size_t room;
    char *tail = buf_tail(&g->input, &room);
    ssize_t n = read(w->fd, tail, room);

    (void)what;
    if (n <= 0) {
        close_guest(g);
        return;
    }
    buf_extend(&g->input, (size_t)n);
    if (g->tls) { /* the client's hello */
        reply(g, VIEW("TLS"), "");
        close_guest(g);
        return;
    }
    while (take_input(g))
        ;
}

static void on_host(struct watch *w, unsigned what)
{
    struct town_host *h = container_of(w, struct town_host, watch);
    struct town_guest *g = &h->guests[h->connections];
    struct net_address peer;
    int fd = net_accept(w->fd, &peer);

    (void)what;
    if (fd < 0)
        return;
    assert_true(h->connections < TOWN_GUESTS_MAX);
    *g = (struct town_guest){ .host = h, .watch = { .fd = fd, .ready = on_guest } };
    buf_new(&g->input, 4 << 20);
    h->connections++;
    h->open++;
    h->most_open = MAX(h->most_open, h->open);
    assert_int_equal(loop_watch(&h->town->loop, &g->watch, WANT_READ), 0);
    reply(g, VIEW("GREETING"), "220 mx.test");
}

static void open_host(struct town *t, struct town_host *h, unsigned number, const char *script)
{
    struct net_address a = { .family = AF_INET, .bytes = { 127, 0, 0, (uint8_t)(2 + number) } };
    struct sockaddr_storage bound = { 0 };
    socklen_t len = sizeof(bound);
    struct error err;

    a.port = (uint16_t)t->settings.delivery.port;
    *h = (struct town_host){ .town = t, .script = script };
    h->watch.ready = on_host;
    h->watch.fd = net_listen(&a, &err);
    assert_true(h->watch.fd >= 0);
    assert_int_equal(getsockname(h->watch.fd, (struct sockaddr *)&bound, &len), 0);
    assert_true(net_from_sockaddr(&bound, &a));
    t->settings.delivery.port = a.port;
    buf_new(&h->heard, 4 << 20);
    assert_int_equal(loop_watch(&t->loop, &h->watch, WANT_READ), 0);
}

static void close_host(struct town *t, struct town_host *h)
{
    for (unsigned i = 0; i < h->connections; i++)
        close_guest(&h->guests[i]);
    loop_unwatch(&t->loop, &h->watch);
    close(h->watch.fd);
    buf_free(&h->heard);
}

/* ---- dns ---- */

static void put_items(enum dns_question kind, struct view words, struct buf *items)
{
    while (words.len > 0) {
        struct dns_item item = { .family = 0 };
        struct net_address a;
        uint64_t preference;

        if (kind == DNS_ROUTE) {
            assert_true(view_to_u64(view_take_word(&words), UINT16_MAX, &preference));
            item.preference = (uint16_t)preference;
            item.host = view_take_word(&words);
        } else {
            assert_true(net_parse_address(view_take_word(&words), &a));
            item.family = a.family;
            memcpy(item.address, a.bytes, sizeof(item.address));
        }
        assert_true(dns_items_put(items, kind, &item));
    }
}

static bool on_asked(struct peer *p, enum message type, struct view fields, int fd)
{
    struct town *t = container_of(p, struct town, dns);
    struct message_dns_answer answer = { .result = DNS_NO_DOMAIN };
    struct view names = view_of(t->names);
    struct message_dns_ask m;
    char room[4096];
    struct buf items = BUF_ON_ARRAY(room);
    struct view line;

    if (type == MESSAGE_DNS_FORGET)
        return true;
    assert_true(type == MESSAGE_DNS_ASK && fd < 0 && message_dns_ask_decode(fields, &m));
    t->questions++;
    if (t->dns_silent)
        return true;
    answer.question = m.question;
    while (view_take_line(&names, &line)) {
        struct view word;

        if (!view_equal(view_take_word(&line), m.name))
            continue;
        word = view_take_word(&line);
        if (view_equal(word, VIEW("late")))
            answer.result = DNS_TEMPORARY;
        if (!view_equal(word, m.kind == DNS_ROUTE ? VIEW("mx") : VIEW("a")))
            continue;
        answer.result = DNS_OK;
        put_items(m.kind, line, &items);
    }
    answer.items = buf_view(&items);
    peer_send_dns_answer(&t->dns, &answer, -1);
    return true;
}

/* ---- queue ---- */

static void note_result(struct town *t, const struct message_rcpt_result *m)
{
    struct arena arena;
    struct outcome o;

    arena_init(&arena, 65536);
    assert_true(outcome_decode(m->outcome, &arena, &o));
    buf_printf(&t->results, "%u ", (unsigned)m->job);
    if (m->rcpt == JOB_ALL_RCPTS)
        buf_put(&t->results, VIEW("all "));
    else
        buf_printf(&t->results, "%u ", m->rcpt);
    buf_printf(&t->results, "%s %u ", outcome_class_name(o.class), o.code);
    enhanced_print(o.enhanced, &t->results);
    buf_put_byte(&t->results, '\n');
    t->scope = o.scope;
    buf_clear(&t->reason);
    assert_true(outcome_print(&o, &t->reason));
    arena_reset(&arena);
}

static bool on_result(struct peer *p, enum message type, struct view fields, int fd)
{
    struct town *t = container_of(p, struct town, queue);
    struct message_rcpt_result result;
    struct message_ready_for ready;
    struct message_mx_answer mx;
    struct message_tls_missed missed;
    struct message_job_again again;
    struct message_job_end end;

    assert_true(fd < 0);
    if (type == MESSAGE_RCPT_RESULT && message_rcpt_result_decode(fields, &result)) {
        note_result(t, &result);
    } else if (type == MESSAGE_MX_ANSWER && message_mx_answer_decode(fields, &mx)) {
        buf_printf(&t->results, "%u hosts %.*s\n", (unsigned)mx.question, VIEW_ARG(mx.hosts));
    } else if (type == MESSAGE_TLS_MISSED && message_tls_missed_decode(fields, &missed)) {
        missed.host.len = view_find_last(missed.host, ':'); /* any port */
        buf_printf(&t->tls_missed, "%.*s\n", VIEW_ARG(missed.host));
    } else if (type == MESSAGE_JOB_AGAIN && message_job_again_decode(fields, &again)) {
        t->more++;
        t->more_rcpts += again.rcpts;
    } else if (type == MESSAGE_JOB_END && message_job_end_decode(fields, &end)) {
        buf_printf(&t->results, "%u end\n", (unsigned)end.job);
        t->ended++;
    } else {
        assert_true(type == MESSAGE_READY_FOR && message_ready_for_decode(fields, &ready));
        t->ready_for = ready.jobs;
    }
    return true;
}

static int open_peer(struct town *t, struct peer *p, enum process self)
{
    int fds[2];

    peer_close(p);
    assert_int_equal(channel_pair(fds), 0);
    assert_int_equal(peer_open(p, &t->loop, self, DELIVERY, 0, fds[0]), 0);
    return fds[1];
}

void town_connect_queue(struct town *t)
{
    worker_connect_queue(&t->worker, 0, open_peer(t, &t->queue, QUEUE));
}

void town_connect_dns(struct town *t)
{
    asker_connect(&t->worker.asker, 0, open_peer(t, &t->dns, DNS));
}

static int make_file(struct view body)
{
    int fd = memfd_create("body", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, body.ptr, body.len), (ssize_t)body.len);
    return fd;
}

static void put_envelope(const struct town *t, struct view domain, struct buf *text,
                         struct buf *indexes)
{
    char rooms[TOWN_RCPTS_MAX][ADDRESS_MAX];
    struct envelope_rcpt rcpts[TOWN_RCPTS_MAX] = { 0 };
    struct envelope e = { .sender = VIEW_INIT("s@a.test"),
                          .rcpts = rcpts,
                          .rcpt_count = t->rcpts > 0 ? t->rcpts : 2,
                          .require_tls = t->require_tls };

    for (unsigned i = 0; i < e.rcpt_count; i++) {
        struct buf address = BUF_ON_ARRAY(rooms[i]);

        buf_printf(&address, "%c@%.*s", (char)('a' + i),
                   VIEW_ARG(i == 1 && t->second != NULL ? view_of(t->second) : domain));
        rcpts[i].address = buf_view(&address);
        assert_true(job_index_put(indexes, i));
    }
    assert_true(envelope_encode(&e, text));
}

/* As the queue has it from a worker that asked just now. */
static uint32_t order_of_hosts(const struct town *t, struct view domain)
{
    char room[4096], name_room[MAIL_HOSTS_MAX + ADDRESS_DOMAIN_MAX];
    struct buf items = BUF_ON_ARRAY(room), name = BUF_ON_ARRAY(name_room);
    struct message_dns_answer answer = { .result = DNS_OK };
    struct view names = view_of(t->names);
    struct view line;

    while (view_take_line(&names, &line)) {
        if (view_equal(view_take_word(&line), domain) &&
            view_equal(view_take_word(&line), VIEW("mx")))
            put_items(DNS_ROUTE, line, &items);
    }
    answer.items = buf_view(&items);
    return hosts_name(&answer, t->settings.hostname, &name);
}

void town_send_job(struct town *t, uint64_t job, struct view domain, struct view body, bool big)
{
    char text_room[4096], indexes_room[256];
    struct buf text = BUF_ON_ARRAY(text_room), indexes = BUF_ON_ARRAY(indexes_room);
    struct message_job_start m = { .job = job,
                                   .hop_kind = HOP_MX,
                                   .hop_name = domain,
                                   .host = domain,
                                   .site = t->site != NULL ? view_of(t->site) : domain,
                                   .hosts = view_of(t->mail_hosts != NULL ? t->mail_hosts : ""),
                                   .order = order_of_hosts(t, domain),
                                   .connections = (uint32_t)t->settings.delivery.concurrency,
                                   .messages_per_connection =
                                       (uint32_t)t->settings.delivery.messages_per_connection,
                                   .connection_us = t->connection_us,
                                   .attempt = MAX(t->attempt, 1),
                                   .bdat = true,
                                   .big = big,
                                   .body_bytes = body.len,
                                   .body_crc = crc32c(0, body) };
    int fd = big ? make_file(body) : -1;

    if (t->routed) {
        m.hop_kind = HOP_ROUTE;
        m.host = VIEW_EMPTY;
        m.route = 1;
    }
    put_envelope(t, domain, &text, &indexes);
    m.envelope = buf_view(&text);
    m.indexes = buf_view(&indexes);
    m.body = big ? VIEW_EMPTY : body;
    peer_send_job_start(&t->queue, &m, fd);
    if (fd >= 0)
        close(fd);
}

void town_deliver(struct town *t, unsigned job, const char *domain)
{
    town_send_job(t, job, view_of(domain), TOWN_HELLO, false);
    assert_true(town_await(t, job));
}

char *town_make_body(size_t bytes, const char *unit)
{
    char *body = memory_new(bytes);
    size_t len = strlen(unit);

    for (size_t i = 0; i < bytes - 2; i++)
        body[i] = unit[i % len];
    memcpy(body + bytes - 2, "\r\n", 2);
    return body;
}

/* ---- the town ---- */

static void on_gone(struct peer *p)
{
    (void)p;
}

void town_open(struct town *t, const char *names, const char *script0, const char *script1)
{
    struct error err;

    *t = (struct town){ .names = names };
    log_open("test", LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    assert_int_equal(loop_init(&t->loop), 0);
    t->settings.hostname = VIEW("me.test");
    t->settings.delivery = (struct delivery_settings){ .concurrency = 4,
                                                       .connections = 50,
                                                       .hosts = 5,
                                                       .addresses = 8,
                                                       .messages_per_connection = 100,
                                                       .loopback = true };
    t->settings.timeouts = (struct timeouts_settings){ .handshake = 5000,
                                                       .drain = 5000,
                                                       .connect = 5000,
                                                       .greeting = 5000,
                                                       .ehlo = 5000,
                                                       .mail = 5000,
                                                       .rcpt = 5000,
                                                       .data = 5000,
                                                       .block = 5000,
                                                       .final = 5000,
                                                       .rset = 5000,
                                                       .opening = 60000,
                                                       .transaction = 60000,
                                                       .idle_connection = 5000 };
    t->tls = tls_client_new(VIEW_EMPTY, &err);
    assert_non_null(t->tls);
    open_host(t, &t->hosts[0], 0, script0);
    open_host(t, &t->hosts[1], 1, script1);
    buf_new(&t->results, RESULTS_BYTES);
    buf_new(&t->reason, 4096);
    buf_new(&t->tls_missed, 4096);
    t->queue.heard = on_result;
    t->queue.gone = on_gone;
    t->dns.heard = on_asked;
    t->dns.gone = on_gone;
    worker_init(&t->worker, &t->settings, &t->loop, t->tls);
    town_connect_queue(t);
    town_connect_dns(t);
}

/* Whatever was made is given back, once the worker has nothing to do and nothing to remember. */
void town_close(struct town *t)
{
    peer_close(&t->queue);
    worker_drain(&t->worker, true);
    loop_stop_timer(&t->loop, &t->worker.patience);
    for (struct table_entry *e = NULL; (e = table_next(&t->worker.destinations, e)) != NULL;) {
        struct destination *d = container_of(e, struct destination, entry);

        destination_forget(d);
    }
    for (struct table_entry *e = NULL; (e = table_next(&t->worker.sites, e)) != NULL;) {
        struct site *s = container_of(e, struct site, entry);

        s->free_us = 0;
        if (timer_running(&s->free))
            loop_start_timer(&t->loop, &s->free, 0);
    }
    for (unsigned i = 0; i < TURNS_MAX && t->worker.destinations.count + t->worker.sites.count > 0;
         i++)
        assert_int_equal(loop_turn(&t->loop, TURN_MS), 0);
    assert_int_equal(t->worker.destinations.count, 0);
    assert_int_equal(t->worker.conn_count, 0);
    assert_int_equal(t->worker.jobs.count, 0);
    peer_close(&t->dns);
    peer_close(&t->worker.asker.dns);
    peer_close(&t->worker.queue);
    for (unsigned i = 0; i < TOWN_HOSTS; i++)
        close_host(t, &t->hosts[i]);
    loop_release(&t->loop);
    free(t->worker.turns);
    free(t->worker.credentials);
    free(t->worker.route_tls);
    table_release(&t->worker.jobs);
    table_release(&t->worker.bodies);
    table_release(&t->worker.destinations);
    assert_int_equal(t->worker.sites.count, 0);
    table_release(&t->worker.sites);
    sessions_release(&t->worker.sessions);
    table_release(&t->worker.asker.questions);
    tls_context_free(&t->tls);
    buf_free(&t->results);
    buf_free(&t->reason);
    buf_free(&t->tls_missed);
}

bool town_await(struct town *t, unsigned ended)
{
    for (unsigned i = 0; i < TURNS_MAX && t->ended < ended; i++)
        assert_int_equal(loop_turn(&t->loop, TURN_MS), 0);
    return t->ended >= ended;
}

void town_turn(struct town *t, unsigned turns)
{
    while (turns-- > 0)
        assert_int_equal(loop_turn(&t->loop, TURN_MS), 0);
}

void town_use_route(struct town *t, struct route_settings *r, const struct route_target *targets,
                    size_t count)
{
    *r = (struct route_settings){ .target_count = count };
    for (size_t i = 0; i < count; i++) {
        r->targets[i] = targets[i];
        r->targets[i].port = (uint16_t)t->settings.delivery.port;
    }
    t->settings.routes = r;
    t->settings.route_count = 1;
    t->routed = true;
}

void town_set_timeouts(struct town *t, uint64_t ms)
{
    /* All of them, however many there are. */
    uint64_t *all = (uint64_t *)&t->settings.timeouts;

    for (size_t i = 0; i < sizeof(t->settings.timeouts) / sizeof(*all); i++)
        all[i] = ms;
}
