#include "queue/answer.h"

#include "io/clock.h"
#include "queue/admin.h"
#include "queue/backoff.h"
#include "queue/deadline.h"
#include "queue/history.h"
#include "queue/siterow.h"

#include <inttypes.h>

enum {
    OUTPUT_MARK = 65536,     /* bytes that wait: no further row is made */
    MESSAGES_PER_TURN = 200, /* looked at for one client; each may be a read, */
    TURN_MS = 5,             /* so there is a limit of time, too */
    HISTORY_PAUSE_MS = 5,    /* between looks whether the history is written */
    BEHIND_PAUSE_MS = 100,   /* between looks whether the store has caught up */
};

static void on_pause_over(struct timer *t)
{
    struct answer *a = container_of(t, struct answer, pause);

    a->ready(a);
}

static void pause_for(struct answer *a, uint64_t ms)
{
    a->pause.fire = on_pause_over;
    loop_start_timer(a->queue->loop, &a->pause, ms);
}

static void forget(struct answer *a)
{
    search_free(&a->search);
    request_release(&a->request);
    a->busy = false;
}

static void say_wrong(struct answer *a, const char *wrong)
{
    buf_printf(&a->out, "{\"error\":\"%s\"}\n", wrong);
    forget(a);
}

static void end_answer(struct answer *a)
{
    buf_printf(&a->out, "{\"end\":true,\"matched\":%" PRIu64 "}\n", a->matched);
    forget(a);
}

/* ---- which messages ---- */

static bool has_rcpt(const struct queue *q, uint32_t mail, const struct envelope *e,
                     const struct filter *f)
{
    index_each_unit (u, &q->index, mail) {
        rcpts_each (i, index_rcpts(&q->index, u), (unsigned)e->rcpt_count) {
            struct view address = e->rcpts[i].address;
            struct view domain = view_from(address, view_find_last(address, '@') + 1);

            if ((!f->by_rcpt || view_equal_nocase(address, f->rcpt)) &&
                (!f->by_domain || view_equal_nocase(domain, f->domain)))
                return true;
        }
    }
    return false;
}

static bool fits_envelope(const struct queue *q, uint32_t mail, const struct envelope *e,
                          const struct filter *f)
{
    if (f->by_sender && !view_equal_nocase(e->sender, f->sender))
        return false;
    if (f->by_word && !past_means(index_mail(&q->index, mail)->id, e, f->word))
        return false;
    return (!f->by_rcpt && !f->by_domain) || has_rcpt(q, mail, e, f);
}

/* What was deleted is there only for who looks for it. */
static bool is_meant(const struct answer *a, const struct mail *m)
{
    const struct filter *f = &a->request.filter;
    bool running = a->queue->dispatch != NULL;
    bool looked_for = a->request.verb == VERB_UNDELETE || a->request.verb == VERB_TRACE ||
                      (f->by_state && f->state == MAIL_IS_DELETED) ||
                      (f->id_count > 0 && !request_changes(&a->request));

    if ((m->flags & MAIL_DELETED) == 0)
        return a->request.verb != VERB_UNDELETE;
    return looked_for && (!running || deadline_in_trash(m));
}

/* The next message that may be meant; false: there is none. */
static bool next_mail(struct answer *a, uint32_t *mail)
{
    const struct index *x = &a->queue->index;
    const struct filter *f = &a->request.filter;

    if (f->id_count > 0) {
        while (a->cursor < f->id_count) {
            *mail = index_find(x, f->ids[a->cursor++]);
            if (*mail != POOL_NONE)
                return true;
        }
        return false;
    }
    *mail = (uint32_t)++a->cursor;
    return a->cursor < x->mails.end;
}

/* ---- what is done to them ---- */

static void act(struct answer *a, uint32_t mail, const struct envelope *e)
{
    struct queue *q = a->queue;
    struct view who = a->who;

    switch (a->request.verb) {
    case VERB_LIST:
    case VERB_SHOW:
    case VERB_TRACE:
        row_write(q, mail, e, a->request.verb != VERB_LIST, &a->out);
        break;
    case VERB_GET:
        parcel_pack(&a->parcel, q, mail);
        break;
    case VERB_RETRY:
        admin_retry(q, mail);
        break;
    case VERB_HOLD:
        admin_hold(q, mail, who);
        break;
    case VERB_RELEASE:
        admin_release(q, mail, who);
        break;
    case VERB_DELETE:
        if (deadline_in_trash(index_mail(&q->index, mail)))
            admin_purge(q, mail);
        else
            admin_delete(q, mail, who);
        break;
    case VERB_UNDELETE:
        admin_undelete(q, mail, who);
        break;
    case VERB_STATUS:
    case VERB_PUT:
    case VERB_DESTINATIONS:
    case VERB_OPEN:
    case VERB_CLOSE:
        break;
    }
}

/* What cannot be read back can still be named by its id, given out as far as it is there, and
 * deleted; it shows no addresses. */
static void answer_unread(struct answer *a, uint32_t mail, int err)
{
    const struct envelope unknown = { .rcpt_count = 0 };
    struct queue *q = a->queue;
    const struct filter *f = &a->request.filter;

    if (f->by_sender || f->by_rcpt || f->by_domain || (f->by_word && f->id_count == 0))
        return;
    a->matched++;
    if (request_changes(&a->request) || a->request.verb == VERB_GET)
        act(a, mail, &unknown);
    else
        row_write_unread(q, mail, err, &a->out);
}

/* Who has the message already shall not get it again from where it goes: the sender alone is owed a
 * notice. */
static bool has_arrived(const struct queue *q, uint32_t mail)
{
    index_each_unit (u, &q->index, mail) {
        if (index_unit(&q->index, u)->state != UNIT_ARRIVED)
            return false;
    }
    return true;
}

static void consider(struct answer *a, uint32_t mail)
{
    struct queue *q = a->queue;
    const struct mail *m = index_mail(&q->index, mail);
    const struct filter *f = &a->request.filter;
    struct content content;
    int err;

    if (m->id == 0 || index_first_unit(&q->index, mail) == POOL_NONE || !is_meant(a, m) ||
        (f->by_state && row_state(q, mail) != f->state) ||
        (a->request.verb == VERB_GET && has_arrived(q, mail)))
        return;
    err = content_open(q, m, false, &content);
    if (err < 0) {
        answer_unread(a, mail, err);
        return;
    }
    if (fits_envelope(q, mail, &content.envelope, f)) {
        a->matched++;
        act(a, mail, &content.envelope);
    }
    content_close(&content);
}

/* ---- sites ---- */

static void act_on_site(struct answer *a, struct site *s)
{
    struct queue *q = a->queue;

    a->matched++;
    if (a->request.verb == VERB_OPEN)
        backoff_force(q, s, a->who);
    else if (a->request.verb == VERB_CLOSE)
        backoff_release(q, s, a->who);
    else
        siterow_write(q, s, &a->out);
}

static void answer_some_sites(struct answer *a)
{
    struct queue *q = a->queue;
    struct view name = a->request.filter.name;

    for (unsigned left = MESSAGES_PER_TURN; left > 0; left--) {
        struct site *s;

        if (buf_len(&a->out) > OUTPUT_MARK)
            return;
        if (++a->cursor >= q->index.sites.end) {
            end_answer(a);
            return;
        }
        s = pool_at(&q->index.sites, (uint32_t)a->cursor);
        if (s->self != POOL_NONE && (name.len == 0 || siterow_is(s, name)))
            act_on_site(a, s);
    }
}

/* ---- what is over ---- */

/* Once what ended before the question is written. */
static void answer_past(struct answer *a)
{
    struct queue *q = a->queue;
    enum search_step step = SEARCH_FOUND;
    struct arena arena;
    struct past p;

    a->past = true;
    if (!history_reached(q->history, a->history_mark)) {
        history_flush(q->history);
        pause_for(a, HISTORY_PAUSE_MS);
        return;
    }
    if (a->search == NULL)
        a->search = search_new(a->request.filter.word);
    arena_init(&arena, LETTER_ARENA_MAX);
    while (step == SEARCH_FOUND && buf_len(&a->out) <= OUTPUT_MARK) {
        step = search_step(a->search, &arena, &p);
        if (step == SEARCH_FOUND) {
            row_write_past(&p, &a->out);
            a->matched++;
        }
    }
    arena_reset(&arena);
    if (step == SEARCH_OVER)
        end_answer(a);
}

/* ---- messages that are brought ---- */

static void on_imported(void *arg, enum import_result result, uint64_t id)
{
    static const char *const reasons[] = {
        [IMPORT_DONE] = "",
        [IMPORT_MALFORMED] = "the envelope is malformed, or the message was cut",
        [IMPORT_REFUSED] = "the spool takes no mail now",
    };
    struct answer *a = arg;

    a->import = NULL;
    if (result == IMPORT_DONE) {
        buf_printf(&a->out, "{\"v\":1,\"id\":\"%016" PRIx64 "\"}\n", id);
        a->matched = 1;
        end_answer(a);
    } else {
        say_wrong(a, reasons[result]);
    }
    a->ready(a);
}

static void begin_import(struct answer *a)
{
    a->request.plan.who = a->who;
    a->import = import_new(a->queue, &a->request.plan, on_imported, a);
    if (a->import == NULL)
        say_wrong(a, "the spool has no room for this message now");
    else
        buf_put(&a->out, VIEW("{\"ready\":true}\n"));
}

bool answer_wants_input(const struct answer *a)
{
    return a->import != NULL && import_wants_more(a->import);
}

size_t answer_feed(struct answer *a, struct view bytes)
{
    return import_feed(a->import, bytes);
}

/* ---- all of it ---- */

void answer_begin(struct answer *a, struct view line, const struct request_rights *rights)
{
    const char *wrong;

    a->busy = true;
    a->past = false;
    a->cursor = a->matched = 0;
    if (a->out.capacity == 0)
        buf_new(&a->out, ROW_MAX);
    wrong = request_read(&a->request, line, rights);
    if (wrong != NULL) {
        say_wrong(a, wrong);
    } else if (a->request.verb == VERB_PUT) {
        begin_import(a);
    } else if (a->request.verb == VERB_TRACE) {
        a->history_mark = history_flush(a->queue->history);
    } else if (a->request.verb == VERB_STATUS) {
        row_write_status(a->queue, &a->out);
        a->matched = 1;
        end_answer(a);
    }
}

static bool answer_some_mails(struct answer *a)
{
    uint64_t until_ms = clock_monotonic_ms() + TURN_MS;
    uint32_t mail;

    if (request_changes(&a->request) && store_is_behind(a->queue->store)) {
        pause_for(a, BEHIND_PAUSE_MS);
        return true;
    }
    for (unsigned left = MESSAGES_PER_TURN; left > 0; left--) {
        if (buf_len(&a->out) > OUTPUT_MARK || clock_monotonic_ms() > until_ms)
            return true;
        if (!parcel_empty(&a->parcel)) {
            if (!parcel_pass(&a->parcel, &a->out))
                return false;
            continue;
        }
        if (a->past || !next_mail(a, &mail)) {
            if (a->request.verb == VERB_TRACE)
                answer_past(a);
            else
                end_answer(a);
            return true;
        }
        consider(a, mail);
    }
    return true;
}

bool answer_go_on(struct answer *a)
{
    if (!a->busy || a->import != NULL || buf_len(&a->out) > OUTPUT_MARK)
        return true;
    if (!request_is_about_sites(&a->request))
        return answer_some_mails(a);
    answer_some_sites(a);
    return true;
}

bool answer_can_go_on(const struct answer *a)
{
    return a->busy && a->import == NULL && !timer_running(&a->pause) &&
           buf_len(&a->out) <= OUTPUT_MARK;
}

void answer_leave(struct answer *a)
{
    import_leave(&a->import);
    loop_stop_timer(a->queue->loop, &a->pause);
}

void answer_release(struct answer *a)
{
    answer_leave(a);
    forget(a);
    parcel_drop(&a->parcel);
    buf_free(&a->out);
}
