#include "dns/lines.h"

#include "common/attrs.h"

void lines_init(struct lines *l)
{
    for (unsigned i = 0; i < LINES; i++) {
        list_init(&l->of[i].waiting);
        list_init(&l->of[i].fresh);
        l->of[i].taken = 0;
    }
}

void lines_add(struct lines *l, struct in_line *q, enum line line)
{
    q->line = line;
    q->state = LINE_WAITING;
    list_append(&l->of[line].waiting, &q->link);
}

void lines_remove(struct lines *l, struct in_line *q)
{
    if (q->state == LINE_NOWHERE)
        return;
    l->of[q->line].taken -= q->state == LINE_FRESH;
    q->state = LINE_NOWHERE;
    list_remove(&q->link);
}

static struct in_line *first(const struct list *l)
{
    return list_empty(l) ? NULL : container_of(l->next, struct in_line, link);
}

static void free_places(struct lines *l, uint64_t now_ms)
{
    for (unsigned i = 0; i < LINES; i++) {
        struct in_line *q;

        while ((q = first(&l->of[i].fresh)) != NULL && q->since_ms + LINES_FRESH_MS <= now_ms)
            lines_remove(l, q);
    }
}

static unsigned places_of(enum line line)
{
    return line == LINE_IMPLICIT ? 2 * LINES_PLACES : LINES_PLACES;
}

struct in_line *lines_take(struct lines *l, uint64_t now_ms)
{
    free_places(l, now_ms);
    for (unsigned i = 0; i < LINES; i++) {
        struct in_line *q = first(&l->of[i].waiting);

        if (q == NULL || l->of[i].taken == places_of(i))
            continue;
        list_remove(&q->link);
        list_append(&l->of[i].fresh, &q->link);
        l->of[i].taken++;
        q->state = LINE_FRESH;
        q->since_ms = now_ms;
        return q;
    }
    return NULL;
}

uint64_t lines_due_ms(const struct lines *l)
{
    uint64_t due_ms = UINT64_MAX;

    for (unsigned i = 0; i < LINES; i++) {
        const struct in_line *q = first(&l->of[i].fresh);

        if (q != NULL)
            due_ms = MIN(due_ms, q->since_ms + LINES_FRESH_MS);
    }
    return due_ms;
}
