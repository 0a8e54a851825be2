#include "tests/dialogs/dialog.h"

#include "common/memory.h"
#include "common/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const cut_names[] = { "whole", "byte by byte", "cut at random" };

void fail(struct dialog *d, const char *what, struct view wanted, struct view got)
{
    char room[1024];
    struct buf text = BUF_ON_ARRAY(room);

    (void)json_quote(view_sub(got, 0, 120), &text);
    fprintf(stderr, "%s:%u: (%s) %s: \"%.*s\", but it is %.*s\n", d->path, d->line,
            cut_names[d->cut], what, VIEW_ARG(wanted), VIEW_ARG(buf_view(&text)));
    d->failed = true;
}

static uint64_t random_below(struct dialog *d, uint64_t count)
{
    d->random = d->random * 6364136223846793005u + 1442695040888963407u;
    return (d->random >> 33) % count;
}

void spill(struct dialog *d)
{
    struct content *content = session_content(&d->session);

    if (!content->filed)
        return;
    (void)buf_put(&d->message, content_in_memory(content));
    content_spilled(content);
}

void pump(struct dialog *d)
{
    size_t used;

    do {
        /* The engine must not look beyond what it is given: it gets a copy of exactly that. */
        struct view input = buf_view(&d->pending);
        char *copy = memory_copy(input);

        used = session_feed(&d->session, view_make(copy, input.len));
        free(copy);
        buf_consume(&d->pending, used);
        spill(d);
    } while (used > 0);
}

static void arrive(struct dialog *d, struct view bytes)
{
    if (d->session.wish == WISH_CLOSE)
        return;
    (void)buf_put(&d->pending, bytes);
    pump(d);
}

static enum rates_verdict count_rate(struct session *s, enum rate_kind kind)
{
    struct dialog *d = container_of(s, struct dialog, session);

    if (d->rates[kind] == 0)
        return d->rates_of;
    d->rates[kind]--;
    return RATES_FINE;
}

/* Those of rules are real. */
static bool charge_rate(struct session *s, const struct rates_bucket *b, bool take)
{
    struct dialog *d = container_of(s, struct dialog, session);
    struct error err;
    int fd;

    if (d->buckets.memory == NULL) {
        fd = memfd_create("rates", MFD_CLOEXEC);
        if (ftruncate(fd, RATES_BYTES) < 0 || rates_open(&d->buckets, fd, &d->settings, &err) < 0)
            abort();
    }
    return take ? rates_bucket_take(&d->buckets, b, s->now_ms)
                : rates_bucket_look(&d->buckets, b, s->now_ms);
}

static void note_applied(struct session *s, uint64_t message, struct view names)
{
    struct dialog *d = container_of(s, struct dialog, session);

    (void)message;
    (void)snprintf(d->applied, sizeof(d->applied), "%.*s", VIEW_ARG(names));
}

void begin(struct dialog *d)
{
    if (d->begun)
        return;
    d->begun = true;
    d->rules = (struct session_rules){
        .settings = &d->settings,
        .listener = &d->listener,
        .spool = &d->spool,
        .budget = &d->budget,
        .addresses = &d->addresses,
        .counted = count_rate,
        .charged = charge_rate,
        .applied = note_applied,
        .mechanisms = d->mechanisms,
        .starttls = d->listener.tls != LISTENER_TLS_NONE,
    };
    d->addresses.most = d->settings.limits.address_memory_bytes;
    d->budget.most = d->settings.limits.body_memory_bytes;
    d->budget.each_most = d->settings.spool.big_body_bytes;
    session_rules_init(&d->rules);
    session_init(&d->session, &d->rules, &d->client, 0x5f2a, &d->out);
    d->session.now_ms = 1785758400000;
    session_greet(&d->session);
}

/* 1 to `most`, and small ones often. */
static size_t random_count(struct dialog *d, size_t most)
{
    size_t limit = 1 + random_below(d, 4000);

    return 1 + random_below(d, MIN(most, limit));
}

void flush_client(struct dialog *d)
{
    begin(d);
    while (buf_len(&d->said) > 0) {
        size_t left = buf_len(&d->said), count = left;

        if (d->cut == CUT_BYTES)
            count = 1;
        else if (d->cut == CUT_RANDOM)
            count = random_count(d, left);
        arrive(d, view_sub(buf_view(&d->said), 0, count));
        buf_consume(&d->said, count);
    }
}

void expect_silence(struct dialog *d)
{
    flush_client(d);
    if (buf_len(&d->out) > 0)
        fail(d, "silence was expected", VIEW_EMPTY, buf_view(&d->out));
    buf_clear(&d->out);
}

const char *const troubles[TROUBLES] = {
    [SPOOL_FINE] = "fine",           [SPOOL_FULL] = "full",       [SPOOL_BROKEN] = "broken",
    [SPOOL_SUSPENDED] = "suspended", [SPOOL_INVALID] = "invalid",
};

bool find_word(const char *const *words, size_t count, struct view word, unsigned *out)
{
    for (unsigned i = 0; i < count; i++) {
        if (view_equal(view_of(words[i]), word)) {
            *out = i;
            return true;
        }
    }
    return false;
}
