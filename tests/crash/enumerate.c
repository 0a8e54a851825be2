/* Stops the queue, the whole process, at every system call that changes the disk, and looks whether
 * its promises hold:
 *
 *   enumerate QUEUE STOP_LIBRARY HOW [STEP [FIRST]]
 *
 * HOW is kill, tear, power, EIO or ENOSPC (stop.c). For k = FIRST, FIRST + STEP ... the queue is
 * given mail of all kinds in a new spool and is stopped at its k-th call, a second time while it
 * recovers, and then may finish. Every acknowledged message must be delivered to each recipient at
 * least once, or be bounced by exactly one message; none may be delivered that was not offered
 * whole, or was refused; what had an outcome long before the end must not be delivered again. */
#include "common/memory.h"
#include "io/log.h"
#include "tests/crash/relay.h"

#include <ftw.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MAILS = 96,
    AT_ONCE = 4,
    HALF_A = 1000, /* transactions that never end */
    HALF_B = 1001,
    HALF_C = 1002,
    LATE_TRIES = 2,
    BODY_MOST = 200000,
    FRESH_ROUNDS = 3, /* an outcome is durable after so many commits that came behind it */
    FEWEST_CALLS = 150,
    SECOND_STOPS = 45, /* calls of a start */
    FAILING_AT_ONCE = 2,
};

enum kind { OK, BAD, LATE, WAIT };
static const char *const names[] = { "ok", "bad", "late", "wait" };

/* Mail number n is of pattern n modulo their number. */
static const struct pattern {
    size_t bytes;
    bool big;
    unsigned rcpts;
    enum kind kinds[2];
} patterns[] = {
    { 10, false, 1, { OK } },       { 3000, false, 2, { OK, BAD } },
    { 120000, false, 1, { OK } },   { 700, false, 2, { LATE, OK } },
    { 100000, false, 1, { WAIT } }, { 200000, true, 2, { OK, BAD } },
    { 120000, false, 1, { OK } },   { 120000, false, 2, { BAD, BAD } },
};

struct rcpt {
    unsigned tries, delivered;
    unsigned round; /* of the last delivery */
    bool failed;
    uint64_t bounce; /* message */
};

struct mail {
    bool offered, refused;
    bool deleted; /* and not brought back */
    uint64_t id;  /* when acknowledged */
    uint64_t seen;
    struct rcpt rcpts[2];
};

static struct trial {
    struct relay relay;
    struct mail mails[MAILS];
    unsigned open;  /* not answered yet */
    unsigned round; /* of commits that were answered */
    unsigned died;  /* in that one */
    bool over;      /* what waits may go */
    unsigned mistakes, repeated;
    const char *how;
    long k;
} trial;

static char text_out[BODY_MOST], text_wanted[BODY_MOST];

static void mistake(const char *what, unsigned mail)
{
    printf("k = %ld: %s: mail %u\n", trial.k, what, mail);
    trial.mistakes++;
}

/* ---- mail, made of its number ---- */

static const struct pattern *pattern_of(unsigned n)
{
    return &patterns[n % COUNT_OF(patterns)];
}

static struct view body_of(unsigned n, char *room)
{
    size_t bytes = pattern_of(n)->bytes;

    for (size_t i = 0; i < bytes; i++)
        room[i] = i % 64 == 62   ? '\r'
                  : i % 64 == 63 ? '\n'
                                 : (char)('a' + (i / 64 + i * 7 + n * 13) % 26);
    return view_make(room, bytes);
}

static void print_rcpt(struct buf *out, unsigned n, unsigned i)
{
    buf_printf(out, "%s.%u.%u@d%u.test", names[pattern_of(n)->kinds[i]], n, i, i);
}

/* "ok.17.0@d0.test" */
static bool parse_rcpt(struct view v, unsigned *n, unsigned *i)
{
    struct view number, index;
    uint64_t a, b;

    (void)view_take_until(&v, '.');
    number = view_take_until(&v, '.');
    index = view_take_until(&v, '@');
    if (!view_to_u64(number, MAILS - 1, &a) || !view_to_u64(index, 1, &b))
        return false;
    *n = (unsigned)a;
    *i = (unsigned)b;
    return b < pattern_of(*n)->rcpts;
}

static void offer(unsigned n)
{
    char sender[64], addresses[2][64];
    struct envelope_rcpt rcpts[2] = { 0 };
    struct buf text = BUF_ON_ARRAY(sender);
    struct envelope e = { .rcpts = rcpts, .rcpt_count = pattern_of(n)->rcpts, .arrival_ms = 1 };

    buf_printf(&text, "s.%u.0@from.test", n);
    e.sender = buf_view(&text);
    for (unsigned i = 0; i < e.rcpt_count; i++) {
        struct buf address = BUF_ON_ARRAY(addresses[i]);

        print_rcpt(&address, n, i);
        rcpts[i].address = buf_view(&address);
    }
    trial.open++;
    trial.mails[n].offered =
        relay_offer(&trial.relay, n, &e, body_of(n, text_out), pattern_of(n)->big);
}

static void on_answered(struct relay *r, uint64_t transaction, uint64_t id)
{
    struct mail *m = &trial.mails[transaction % MAILS];

    (void)r;
    if (transaction >= MAILS)
        return; /* a half */
    m->id = id;
    m->refused = id == 0;
    trial.open--;
}

/* ---- deliveries ---- */

static bool is_stale(const struct rcpt *r)
{
    return r->delivered > 0 && trial.died >= r->round + FRESH_ROUNDS;
}

static enum outcome_class deliver_to(unsigned n, unsigned i)
{
    struct rcpt *r = &trial.mails[n].rcpts[i];
    enum kind kind = pattern_of(n)->kinds[i];

    r->tries++;
    if (kind == BAD) {
        if (r->bounce != 0)
            mistake("tried again although it was bounced", n);
        r->failed = true;
        return OUTCOME_FAILED;
    }
    if ((kind == LATE && r->tries <= LATE_TRIES) || (kind == WAIT && !trial.over))
        return OUTCOME_DEFERRED;
    if (is_stale(r))
        mistake("delivered again, long after the first time", n);
    trial.repeated += r->delivered > 0;
    r->delivered++;
    r->round = trial.round;
    return OUTCOME_DELIVERED;
}

static void deliver_mail(struct relay *r, const struct relay_job *j)
{
    unsigned n = 0, i;

    for (size_t k = 0; k < j->envelope.rcpt_count; k++) {
        struct mail *m;

        if (!parse_rcpt(j->envelope.rcpts[k].address, &n, &i)) {
            mistake("a recipient that nobody named", n);
            continue;
        }
        m = &trial.mails[n];
        if (!m->offered)
            mistake("a message that was never offered", n);
        if (m->refused)
            mistake("a message that was refused", n);
        if ((m->id != 0 && m->id != j->start.message) ||
            (m->seen != 0 && m->seen != j->start.message))
            mistake("a message under two ids", n);
        m->seen = j->start.message;
        relay_result(r, j, k, deliver_to(n, i));
    }
    if (!view_equal(j->body, body_of(n, text_wanted)))
        mistake("a body that differs", n);
}

static void note_bounce(const struct relay_job *j, struct view address)
{
    unsigned n = 0, i = 0;
    struct rcpt *r;

    if (!parse_rcpt(address, &n, &i)) {
        mistake("a bounce about nobody", n);
        return;
    }
    r = &trial.mails[n].rcpts[i];
    if (pattern_of(n)->kinds[i] != BAD || !r->failed)
        mistake("a bounce without a failure", n);
    if (r->bounce != 0 && r->bounce != j->start.message)
        mistake("a second bounce", n);
    r->bounce = j->start.message;
}

static void deliver_bounce(struct relay *r, const struct relay_job *j)
{
    struct view rest = j->body, line;
    unsigned told = 0;

    while (view_take_line(&rest, &line)) {
        if (view_take(&line, VIEW("Final-Recipient: rfc822;"))) {
            note_bounce(j, view_trim(line));
            told++;
        }
    }
    if (told == 0)
        mistake("a bounce that tells of nobody", 0);
    relay_result(r, j, 0, OUTCOME_DELIVERED);
}

static void on_deliver(struct relay *r, const struct relay_job *j)
{
    if (j->envelope.sender.len == 0)
        deliver_bounce(r, j);
    else
        deliver_mail(r, j);
}

/* ---- what is done in the first life ---- */

static bool all_answered(struct relay *r)
{
    (void)r;
    return trial.open == 0;
}

static bool offer_some(unsigned first)
{
    for (unsigned n = first; n < first + AT_ONCE; n++)
        offer(n);
    if (!relay_wait(&trial.relay, all_answered))
        return false;
    trial.round++;
    return true;
}

static long ask_about(const char *verb, unsigned n)
{
    char line[64];

    snprintf(line, sizeof(line), "%s id=%016" PRIx64, verb, trial.mails[n].id);
    return relay_ask(&trial.relay, line, "\"matched\":");
}

static void delete (unsigned n)
{
    trial.mails[n].deleted = true;
    ask_about("delete", n);
}

/* Those of pattern 4 wait. */
static void administrate(void)
{
    delete (4);
    delete (12);
    trial.mails[4].deleted = ask_about("undelete", 4) != 1;
    ask_about("hold", 20);
    ask_about("hold", 28);
    ask_about("release", 20);
}

static long count_emptied(void)
{
    return relay_ask(&trial.relay, "status", "\"segments_emptied\":");
}

/* Until compaction has emptied a segment, or while that may be. */
static void let_it_compact(void)
{
    for (int patience = 0; patience < 100 && count_emptied() == 0; patience++)
        usleep(5000);
}

static void live_first(void)
{
    struct relay *r = &trial.relay;

    if (!relay_wait(r, relay_is_ready))
        return;
    relay_offer_half(r, HALF_A, body_of(2, text_out), false);
    relay_offer_half(r, HALF_B, body_of(5, text_out), true);
    for (unsigned n = 0; n < MAILS; n += AT_ONCE) {
        if (!offer_some(n))
            return;
        if (n == MAILS / 2)
            administrate();
    }
    relay_offer_half(r, HALF_C, body_of(13, text_out), true);
    let_it_compact();
}

/* ---- afterwards ---- */

static bool is_settled(struct relay *r)
{
    return relay_ask(r, "list", "\"matched\":") <= 0;
}

/* Everything goes: what waited, what was held, what was thrown away. */
static bool let_it_finish(void)
{
    struct relay *r = &trial.relay;

    trial.over = true;
    if (!relay_wait(r, relay_is_ready))
        return false;
    relay_ask(r, "undelete all", "\"matched\":");
    relay_ask(r, "release all", "\"matched\":");
    return relay_wait(r, is_settled);
}

/* What was thrown away gives its room to new mail when the disk is full. */
static bool may_be_gone(const struct mail *m)
{
    return m->id == 0 || (m->deleted && strcmp(trial.how, "ENOSPC") == 0);
}

static void check_promises(void)
{
    for (unsigned n = 0; n < MAILS; n++) {
        const struct mail *m = &trial.mails[n];

        for (unsigned i = 0; !may_be_gone(m) && i < pattern_of(n)->rcpts; i++) {
            const struct rcpt *r = &m->rcpts[i];

            if (pattern_of(n)->kinds[i] == BAD && r->bounce == 0)
                mistake("no bounce", n);
            if (pattern_of(n)->kinds[i] != BAD && r->delivered == 0)
                mistake("a message that is lost", n);
        }
    }
}

/* ---- trials ---- */

static int remove_one(const char *path, const struct stat *facts, int type, struct FTW *f)
{
    (void)facts, (void)type, (void)f;
    return remove(path);
}

static void begin_trial(long k)
{
    char spool[256];
    struct relay relay = trial.relay;

    memset(trial.mails, 0, sizeof(trial.mails));
    trial.open = trial.round = trial.died = 0;
    trial.over = false;
    trial.k = k;
    trial.relay = relay;
    snprintf(spool, sizeof(spool), "%s/spool", relay.folder);
    nftw(spool, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (mkdir(spool, 0700) < 0)
        abort();
}

static bool is_deadly(void)
{
    return strcmp(trial.how, "EIO") != 0 && strcmp(trial.how, "ENOSPC") != 0;
}

static const char *error_words(void)
{
    return strcmp(trial.how, "EIO") == 0 ? "Input/output error" : "No space left on device";
}

/* Only a disk that failed is a reason, and it is said. */
static bool may_refuse(void)
{
    const char *said = relay_said(&trial.relay);

    return !is_deadly() && strstr(said, "stopped ") != NULL &&
           strstr(said, "event=start_failed") != NULL &&
           (strstr(said, error_words()) != NULL || strstr(said, "cannot write to the log") != NULL);
}

static enum relay_end end_life(bool may_be_stopped)
{
    enum relay_end end = relay_finish(&trial.relay);
    const char *said = relay_said(&trial.relay);
    bool fine = end == RELAY_ENDED || (end == RELAY_STOPPED && may_be_stopped && is_deadly()) ||
                (end == RELAY_REFUSED && may_be_stopped && may_refuse());

    if (!fine)
        mistake("the queue ended as it must not", (unsigned)end);
    if (strstr(said, "record_damaged") != NULL || strstr(said, "segment_damaged") != NULL ||
        strstr(said, "segment_short") != NULL || strstr(said, "log_lost") != NULL ||
        strstr(said, "message_damaged") != NULL)
        mistake("a crash was taken for damage", 0);
    if (trial.mistakes > 0)
        printf("%s", said);
    trial.open = 0;
    trial.died = trial.round;
    return end;
}

/* False: the first life was not stopped. */
static bool try_at(long k, long count)
{
    const struct relay_stop first = { trial.how, k, count };
    const struct relay_stop second = { trial.how, is_deadly() ? k % SECOND_STOPS + 1 : 0, 1 };
    const struct relay_stop none = { trial.how, 0, 0 };
    bool stopped;

    begin_trial(k);
    relay_begin(&trial.relay, &first);
    live_first();
    stopped = end_life(true) != RELAY_ENDED || strstr(relay_said(&trial.relay), "stopped ");
    relay_begin(&trial.relay, &second);
    relay_wait(&trial.relay, relay_is_ready);
    end_life(true);
    relay_begin(&trial.relay, &none);
    if (!let_it_finish())
        mistake("mail that does not go", 0);
    end_life(false);
    check_promises();
    return stopped;
}

/* The calls of a life that is not stopped; in it everything must happen that is to be stopped. */
static long count_calls(void)
{
    const struct relay_stop none = { trial.how, 0, 0 };
    long calls;

    begin_trial(0);
    relay_begin(&trial.relay, &none);
    live_first();
    if (count_emptied() < 1)
        mistake("no segment was emptied", 0);
    if (end_life(false) != RELAY_ENDED)
        return 0;
    calls = relay_calls(&trial.relay);
    if (calls < FEWEST_CALLS)
        mistake("too few calls were counted", (unsigned)calls);
    return calls;
}

static int enumerate(long step, long first)
{
    long calls = count_calls(), trials = 0;

    /* Their number differs a little from run to run, with the threads. */
    for (long k = first; trial.mistakes == 0; k += step, trials++) {
        for (long count = 1; !is_deadly() && count < FAILING_AT_ONCE && k <= calls; count++)
            try_at(k, count);
        if (!try_at(k, is_deadly() ? 1 : FAILING_AT_ONCE) && k > calls)
            break;
    }
    printf("%s: %ld calls; stopped at %ld of them, every %ld from %ld on; %u repeated deliveries\n",
           trial.how, calls, trials, step, first, trial.repeated);
    return trial.mistakes > 0;
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/tern-crash-XXXXXX";
    uint64_t step = 1, first = 1;
    int status;

    if (argc < 4 || argc > 6 || (argc > 4 && !view_to_u64(view_of(argv[4]), 100000, &step)) ||
        (argc > 5 && !view_to_u64(view_of(argv[5]), 100000, &first)) || step == 0) {
        fprintf(stderr, "usage: enumerate QUEUE STOP_LIBRARY HOW [STEP [FIRST]]\n");
        return 64;
    }
    setlinebuf(stdout);
    log_open("enumerate", LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    trial.how = argv[3];
    trial.relay = (struct relay){ .queue = argv[1],
                                  .library = argv[2],
                                  .folder = mkdtemp(folder),
                                  .answered = on_answered,
                                  .deliver = on_deliver };
    if (trial.relay.folder == NULL || loop_init(&trial.relay.loop) < 0)
        abort();
    status = enumerate((long)step, (long)first);
    loop_release(&trial.relay.loop);
    free(trial.relay.said);
    free(trial.relay.parts);
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return status;
}
