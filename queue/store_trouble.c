#include "queue/store_parts.h"

#include "io/log.h"
#include "queue/sources.h"

#include <errno.h>

enum {
    SPACE_POLL_MS = 5000,
    TROUBLE_POLL_MS = 1000,
    FAILURE_WINDOW_MS = 60000, /* a second failure in that time suspends */
    CALM_MS = 10000,           /* a success so long after the last failure ends that */
    RETRY_MS = 1000,           /* until records that wait are written again */
    COPIES_RETRY_MS = 30000,   /* nobody waits for them */
};

/* ---- who is told ---- */

bool store_has_room_for_mail(const struct store *s)
{
    return !s->stuck && !shelf_is_low(&s->shelf);
}

enum spool_trouble store_trouble(const struct store *s)
{
    if (s->suspended)
        return SPOOL_SUSPENDED;
    return s->low || !store_has_room_for_mail(s) ? SPOOL_FULL : SPOOL_FINE;
}

static uint64_t room_of(const struct store *s)
{
    return s->free_bytes > s->options.reserve_bytes ? s->free_bytes - s->options.reserve_bytes : 0;
}

/* Small changes of much room are no news. */
static bool differs(uint64_t room, uint64_t told)
{
    return room / 2 > told || told / 2 > room || (room == 0) != (told == 0);
}

static void tell_state(struct store *s)
{
    enum spool_trouble trouble = store_trouble(s);
    uint64_t room = room_of(s);

    if (s->told_once && trouble == s->told && !differs(room, s->told_room))
        return;
    s->told = trouble;
    s->told_room = room;
    s->told_once = true;
    s->watcher->state(s->watcher, trouble, room);
}

/* It takes a segment more to be well again than to fall ill, so that it does not flicker. */
void store_look_at_space(struct store *s)
{
    uint64_t wanted = s->options.reserve_bytes + (s->low ? s->options.segment_bytes : 0);
    int err = spool_space(&s->spool, &s->free_bytes);

    if (err < 0)
        log_error("spool_space_unknown", LOG_ERRNO("error", -err));
    else
        s->low = s->free_bytes < wanted;
}

void store_probe(struct store *s)
{
    struct journal_entry e = { .type = RECORD_PADDING };

    if (journal_idle(&s->journal) && journal_append(&s->journal, &e))
        journal_flush(&s->journal);
}

void store_on_poll(struct timer *t)
{
    struct store *s = container_of(t, struct store, poll);

    store_look_at_space(s);
    if (s->stuck || (s->suspended && s->loop->now_ms >= s->failed_ms + CALM_MS))
        store_probe(s);
    s->compactor.paused = s->stuck || s->suspended || store_keeps_all(s);
    compactor_look(&s->compactor);
    store_place_late(s);
    shelf_tend(&s->shelf);
    tell_state(s);
    loop_start_timer(s->loop, &s->poll,
                     store_trouble(s) == SPOOL_FINE ? SPACE_POLL_MS : TROUBLE_POLL_MS);
}

void store_poll_now(struct store *s)
{
    loop_start_timer(s->loop, &s->poll, 0);
}

/* ---- writing succeeds and fails ---- */

void store_note_success(struct store *s, const struct journal *j)
{
    if (j == &s->old) {
        if (s->copies_error != 0)
            log_info("compaction_resumed", LOG_U64("syncs_failed", s->failures));
        s->copies_error = 0;
    } else if (s->suspended || s->stuck) {
        s->suspended = s->suspended && s->loop->now_ms < s->failed_ms + CALM_MS;
        s->stuck = false;
        store_poll_now(s);
    }
}

static bool is_full(int error)
{
    return error == -ENOSPC || error == -EDQUOT;
}

/* When the process lacks something, that is no fault of the disk. */
static bool is_fault(int error)
{
    return !is_full(error) && !source_lacks_means(error);
}

enum spool_trouble store_note_failure(struct store *s, int error)
{
    store_poll_now(s);
    if (!is_fault(error))
        return SPOOL_FULL;
    s->failures++;
    s->write_error = -error;
    if (s->failed_before && s->loop->now_ms < s->failed_ms + FAILURE_WINDOW_MS)
        s->suspended = true;
    s->failed_before = true;
    s->failed_ms = s->loop->now_ms;
    return SPOOL_BROKEN;
}

/* That says nothing of the stream that mail goes to: only compaction rests. */
static void note_copies_failed(struct store *s, int error)
{
    if (s->copies_error == 0)
        log_warn("compaction_paused", LOG_ERRNO("error", -error));
    s->copies_error = -error;
    s->failures += is_fault(error);
    store_poll_now(s); /* mail that waits for copies need not any more */
    s->compactor.rewriter.unsealed =
        true; /* though nothing is copied: it shows when writing works */
}

enum spool_trouble store_on_failed(struct journal_owner *o, const struct batch *b,
                                   uint64_t *wait_ms)
{
    struct store *s = container_of(o, struct store, owner);
    enum spool_trouble trouble;
    char name[SHELF_NAME];

    segment_name(container_of(b->journal->failed.next, struct batch, link)->segment_number, name);
    log_error("spool_write_failed", LOG_STRING("file", name), LOG_ERRNO("error", -b->error));
    if (b->journal == &s->old) {
        note_copies_failed(s, b->error);
        *wait_ms = COPIES_RETRY_MS;
        return SPOOL_FINE;
    }
    trouble = store_note_failure(s, b->error);
    /* What is no mail goes at once to a segment that was held back for it. */
    if (trouble == SPOOL_FULL)
        s->stuck = !(is_full(b->error) && batch_has_mail(b) && shelf_is_low(&s->shelf));
    if (trouble == SPOOL_FULL ? s->stuck : s->suspended)
        *wait_ms = RETRY_MS;
    return trouble;
}

/* ---- mail is refused ---- */

void store_on_refusing(struct timer *timer)
{
    struct store *s = container_of(timer, struct store, refusing);
    struct list *l;

    for (unsigned t = 0; t < SPOOL_TROUBLES; t++) {
        while ((l = list_take_first(&s->refused[t])) != NULL) {
            struct store_commit *c = container_of(l, struct store_commit, link);

            c->done(c, (enum spool_trouble)t);
        }
    }
}

void store_refuse(struct store *s, struct store_commit *c, enum spool_trouble trouble)
{
    list_append(&s->refused[trouble], &c->link);
    loop_start_timer(s->loop, &s->refusing, 0);
}

bool store_refuses(struct store *s, struct store_commit *c)
{
    if (!s->suspended && store_has_room_for_mail(s))
        return false;
    if (store_trouble(s) != s->told)
        store_poll_now(s); /* whoever sends should know it before */
    store_refuse(s, c, store_trouble(s));
    return true;
}
