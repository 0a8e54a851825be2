#include "queue/ledger.h"

#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    TOPIC_BITS = 16,
    TOPIC_COUNT =
        0x8002, /* not a state: the highest recipient index, where a segment would stand */
    STATES_FIRST = 64,
};

void ledger_release(struct ledger *l)
{
    while (l->count > 0)
        ledger_remove(l, l->segments[l->count - 1]);
    free(l->segments);
    free(l->states);
    *l = (struct ledger){ 0 };
}

/* ---- segments ---- */

/* Where `number` is, or would have to be. */
static size_t position(const struct ledger *l, uint64_t number)
{
    size_t low = 0, high = l->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (l->segments[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct segment *ledger_find(const struct ledger *l, uint64_t number)
{
    size_t at;

    if (l->count > 0 && l->segments[l->count - 1]->number == number)
        return l->segments[l->count - 1];
    at = position(l, number);
    return at < l->count && l->segments[at]->number == number ? l->segments[at] : NULL;
}

struct segment *ledger_add(struct ledger *l, uint64_t number)
{
    size_t at = position(l, number);
    struct segment *s = memory_new(sizeof(*s));

    assert(ledger_find(l, number) == NULL);
    s->number = number;
    s->fd = -1;
    if (l->count == l->room) {
        l->room = l->room == 0 ? 16 : l->room * 2;
        l->segments = memory_grow(l->segments, l->room, sizeof(struct segment *));
    }
    memmove(l->segments + at + 1, l->segments + at, (l->count - at) * sizeof(struct segment *));
    l->segments[at] = s;
    l->count++;
    return s;
}

static void forget_tie(struct segment *s, uint64_t number)
{
    for (size_t i = 0; i < s->tie_count; i++) {
        if (s->ties[i].number == number) {
            s->ties[i] = s->ties[--s->tie_count];
            return;
        }
    }
}

void ledger_remove(struct ledger *l, struct segment *s)
{
    size_t at = position(l, s->number);

    assert(at < l->count && l->segments[at] == s);
    l->count--;
    memmove(l->segments + at, l->segments + at + 1, (l->count - at) * sizeof(struct segment *));
    for (size_t i = 0; i < l->count; i++)
        forget_tie(l->segments[i], s->number);
    free(s->ties);
    free(s);
    l->changed = true;
}

void ledger_tie(struct ledger *l, uint64_t number, uint64_t other, bool firm)
{
    struct segment *s = ledger_find(l, number);

    if (s == NULL || number == other || ledger_find(l, other) == NULL)
        return;
    for (size_t i = s->tie_count; i > 0; i--) {
        if (s->ties[i - 1].number == other) {
            s->ties[i - 1].firm = s->ties[i - 1].firm || firm;
            return;
        }
    }
    if (s->tie_count == s->tie_room) {
        s->tie_room = s->tie_room == 0 ? 4 : s->tie_room * 2;
        s->ties = memory_grow(s->ties, s->tie_room, sizeof(*s->ties));
    }
    s->ties[s->tie_count++] = (struct tie){ other, firm };
}

void ledger_untie(struct ledger *l, struct segment *s, uint64_t batch)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->tie_count; i++) {
        if (s->ties[i].firm)
            s->ties[kept++] = s->ties[i];
    }
    s->tie_count = kept;
    s->settled_by = batch;
    l->changed = true;
}

bool ledger_is_tied_firmly(const struct segment *s)
{
    for (size_t i = 0; i < s->tie_count; i++) {
        if (s->ties[i].firm)
            return true;
    }
    return false;
}

struct segment *ledger_needless(const struct ledger *l, uint64_t batch)
{
    size_t newest = l->count;

    while (newest > 0 && !l->segments[newest - 1]->begun)
        newest--;
    for (size_t i = 0; i + 1 < newest; i++) {
        struct segment *s = l->segments[i];

        if (s->live == 0 && s->needed == 0 && s->tie_count == 0 && s->writing == 0 && !s->leaving &&
            s->settled_by <= batch)
            return s;
    }
    return NULL;
}

/* ---- states: a hash table from (message, topic) to the segment ---- */

static size_t slot_of(const struct ledger *l, uint64_t message, unsigned topic)
{
    uint64_t z = message * 0x9e3779b97f4a7c15 + topic * 0xbf58476d1ce4e5b9;

    z = (z ^ (z >> 32)) * 0x94d049bb133111eb;
    return (size_t)(z ^ (z >> 29)) & (l->state_room - 1);
}

static unsigned topic_of(const struct ledger_state *s)
{
    return (unsigned)(s->where & ((1u << TOPIC_BITS) - 1));
}

/* The entry, or the free one where it would be. The table is never full. */
static struct ledger_state *look(const struct ledger *l, uint64_t message, unsigned topic)
{
    size_t at = slot_of(l, message, topic);

    while (l->states[at].message != 0 &&
           (l->states[at].message != message || topic_of(&l->states[at]) != topic))
        at = (at + 1) & (l->state_room - 1);
    return &l->states[at];
}

static void resize(struct ledger *l, size_t room)
{
    struct ledger old = *l;

    l->states = memory_new_array(room, sizeof(*l->states));
    l->state_room = room;
    for (size_t i = 0; i < old.state_room; i++) {
        const struct ledger_state *s = &old.states[i];

        if (s->message != 0)
            *look(l, s->message, topic_of(s)) = *s;
    }
    free(old.states);
}

/* The value that was there before; 0: none. */
static uint64_t put(struct ledger *l, uint64_t message, unsigned topic, uint64_t value)
{
    struct ledger_state *s;
    uint64_t before;

    if ((l->state_count + 1) * 3 > l->state_room * 2)
        resize(l, l->state_room == 0 ? STATES_FIRST : l->state_room * 2);
    s = look(l, message, topic);
    before = s->message == 0 ? 0 : s->where >> TOPIC_BITS;
    l->state_count += s->message == 0;
    *s = (struct ledger_state){ message, value << TOPIC_BITS | topic };
    return before;
}

/* Entries behind the hole move up, so that no search ends too early. */
static void close_hole(struct ledger *l, size_t hole)
{
    size_t mask = l->state_room - 1;

    for (size_t at = (hole + 1) & mask; l->states[at].message != 0; at = (at + 1) & mask) {
        size_t wanted = slot_of(l, l->states[at].message, topic_of(&l->states[at]));

        if (((at - wanted) & mask) >= ((at - hole) & mask)) {
            l->states[hole] = l->states[at];
            hole = at;
        }
    }
    l->states[hole] = (struct ledger_state){ 0 };
}

/* The value that was there; 0: none. */
static uint64_t take(struct ledger *l, uint64_t message, unsigned topic)
{
    struct ledger_state *s;
    uint64_t value;

    if (l->state_count == 0)
        return 0;
    s = look(l, message, topic);
    if (s->message == 0)
        return 0;
    value = s->where >> TOPIC_BITS;
    close_hole(l, (size_t)(s - l->states));
    l->state_count--;
    return value;
}

/* ---- what happens ---- */

static void unneed(struct ledger *l, uint64_t number, uint64_t batch)
{
    struct segment *s = number == 0 ? NULL : ledger_find(l, number);

    if (s == NULL)
        return;
    assert(s->needed > 0);
    s->needed--;
    s->settled_by = batch;
    l->changed = l->changed || s->needed == 0;
}

void ledger_come(struct segment *s, uint64_t bytes)
{
    s->live++;
    s->live_bytes += bytes;
}

void ledger_leave(struct ledger *l, uint64_t number, uint64_t bytes, uint64_t batch)
{
    struct segment *s = ledger_find(l, number);

    if (s == NULL)
        return;
    assert(s->live > 0 && s->live_bytes >= bytes);
    s->live--;
    s->live_bytes -= bytes;
    s->settled_by = batch;
    l->changed = l->changed || s->live == 0;
}

uint64_t ledger_holder(const struct ledger *l, uint64_t message, unsigned topic)
{
    return l->state_count == 0 ? 0 : look(l, message, topic)->where >> TOPIC_BITS;
}

void ledger_note(struct ledger *l, uint64_t message, unsigned topic, uint64_t number,
                 uint64_t batch)
{
    struct segment *s = ledger_find(l, number);
    uint64_t highest;

    assert(s != NULL);
    s->needed++;
    unneed(l, put(l, message, topic, number), batch);
    if (topic == 0 || topic >= LEDGER_CHANGE)
        return;
    highest = put(l, message, TOPIC_COUNT, topic);
    if (highest > topic)
        put(l, message, TOPIC_COUNT, highest);
}

void ledger_forget(struct ledger *l, uint64_t message, unsigned topic, uint64_t batch)
{
    unneed(l, take(l, message, topic), batch);
}

void ledger_finish_again(struct ledger *l, uint64_t message, uint64_t home, uint64_t number,
                         uint64_t batch)
{
    uint64_t highest = take(l, message, TOPIC_COUNT);

    for (unsigned topic = 0; topic <= highest; topic++)
        unneed(l, take(l, message, topic), batch);
    unneed(l, take(l, message, LEDGER_CHANGE), batch);
    unneed(l, take(l, message, LEDGER_NOTICE), batch);
    ledger_tie(l, number, home, false);
}

void ledger_finish(struct ledger *l, uint64_t message, uint64_t home, uint64_t bytes,
                   uint64_t number, uint64_t batch)
{
    ledger_finish_again(l, message, home, number, batch);
    ledger_leave(l, home, bytes, batch);
}
