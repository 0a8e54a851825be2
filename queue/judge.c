#include "queue/judge.h"

#include "queue/backoff.h"
#include "queue/dispatch.h"
#include "queue/mx.h"

/* What the job says of the site it went to. A message that is put off for its own sake, or that
 * nobody could read, says nothing. */
struct judgement {
    bool served;    /* a recipient or the message was accepted */
    bool reached;   /* or refused for good, or a recipient was put off: it is at work */
    bool answered;  /* or the message was put off: it speaks at least */
    bool throttled; /* everybody is put off, and it says that it has too much to do */
    const struct verdict *fault; /* of the site; outweighs what came before it */
    const struct verdict *own;   /* of the domain: its mail hosts cannot be found out */
};

/* RFC 3463: the network (4.x.x), or the protocol (5). What Tern found out itself of the message or
 * of TLS (3 and 7) blames nobody. */
static bool lost_connection(const struct outcome *o)
{
    return o->code == 0 && o->host.len > 0 &&
           (o->enhanced.subject == 4 || o->enhanced.subject == 5);
}

static bool is_fault(const struct outcome *o)
{
    return o->class == OUTCOME_DEFERRED &&
           (o->scope == SCOPE_DESTINATION || (o->code == 421 && o->host.len > 0) ||
            lost_connection(o));
}

/* 4.7.x: policy, nearly always a rate; 4.3.2: it takes no messages; 4.4.5: congestion. */
static bool is_throttle(const struct outcome *o)
{
    return o->class == OUTCOME_DEFERRED && o->code >= 400 &&
           (o->enhanced.subject == 7 || (o->enhanced.subject == 3 && o->enhanced.detail == 2) ||
            (o->enhanced.subject == 4 && o->enhanced.detail == 5));
}

static void hear_witness(struct judgement *j, const struct verdict *v)
{
    const struct outcome *o = &v->outcome;

    j->throttled = j->throttled && is_throttle(o);
    if (o->scope == SCOPE_DOMAIN) {
        j->own = v;
    } else if (is_fault(o)) {
        j->fault = v;
    } else if (o->class == OUTCOME_DELIVERED) {
        j->served = j->reached = j->answered = true;
    } else if (o->code > 0) {
        j->answered = true;
        j->reached |= o->class == OUTCOME_FAILED || o->scope == SCOPE_RCPT;
    }
}

static struct judgement hear_witnesses(const struct job *job)
{
    struct judgement j = { .throttled = job->open < job->line_count };

    for (uint32_t i = 0; i < job->line_count; i++) {
        if (job->lines[i].verdict != NULL)
            hear_witness(&j, job->lines[i].verdict);
    }
    return j;
}

/* A fault of the domain is one of its site only if that stands for the domain alone. Such a site
 * is without fault again when the name servers say for good that there are no hosts. */
static void judge_domain(struct queue *q, const struct job *job, const struct verdict *own)
{
    struct destination *d = job->destination;
    bool alone = d->site->kind == SITE_DOMAIN;

    if (job->probe && (!alone || d->site != job->site))
        backoff_untried(q, job->site);
    if (own->outcome.class == OUTCOME_DEFERRED) {
        dispatch_set_apart(q->dispatch, d);
        backoff_failed(q, d->site, job->probe && d->site == job->site, own);
    } else if (alone) {
        backoff_recovered(q, d->site);
    }
}

/* It is no fault of its hosts. */
static void judge_well(struct queue *q, const struct job *job, const struct judgement *j)
{
    struct site *s = job->site;

    if (j->throttled)
        pace_slow_down(&s->pace, s->limits, s->running - 1, queue_now_ms(q));
    else if (j->reached)
        pace_succeed(&s->pace, s->limits, queue_now_ms(q));
    if (j->reached || job->probe)
        backoff_recovered(q, s);
    if (j->reached && s->kind == SITE_DOMAIN && job->destination->hosts.len > 0)
        mx_place(q, job->destination); /* among those that share its hosts */
}

void judge_site(struct queue *q, const struct job *job)
{
    const struct judgement j = hear_witnesses(job);

    if (j.fault != NULL) {
        if (j.served) /* some of them, before that */
            judge_well(q, job, &j);
        backoff_failed(q, job->site, job->probe, j.fault);
    } else if (j.answered) {
        judge_well(q, job, &j);
    } else if (j.own != NULL) {
        judge_domain(q, job, j.own);
    } else if (job->probe) {
        backoff_untried(q, job->site);
    }
}
