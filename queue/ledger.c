#include "queue/ledger.h"

#include "common/memory.h"
#include "mail/envelope.h"
#include "queue/record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    AGAIN_MS = 1000,
    DOUBLINGS = 11, /* to about half an hour */
    TOPIC_BITS = 12,
    TOPIC_COUNT = 0xfff, /* not a state: the highest recipient index, where a segment would stand */
};

static uint64_t hash_state(const void *element);

void ledger_init(struct ledger *l)
{
    *l = (struct ledger){ 0 };
    pool_init(&l->states, sizeof(struct ledger_state));
    chains_init(&l->by_topic, &l->states, offsetof(struct ledger_state, next), hash_state);
}

void ledger_release(struct ledger *l)
{
    while (l->count > 0)
        ledger_remove(l, l->segments[l->count - 1]);
    free(l->segments);
    chains_release(&l->by_topic);
    pool_release(&l->states);
    ledger_init(l);
}

/* ---- segments ---- */

enum stream segment_stream(uint64_t number)
{
    return number % STREAMS == 0 ? STREAM_FRESH : STREAM_OLD;
}

uint64_t segment_after(uint64_t number, enum stream s)
{
    return segment_stream(number + 1) == s ? number + 1 : number + 2;
}

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
            s->end_bytes -= s->ties[i].end_bytes;
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

static struct tie *find_tie(struct segment *s, uint64_t other)
{
    for (size_t i = s->tie_count; i > 0; i--) {
        if (s->ties[i - 1].number == other)
            return &s->ties[i - 1];
    }
    if (s->tie_count == s->tie_room) {
        s->tie_room = s->tie_room == 0 ? 4 : s->tie_room * 2;
        s->ties = memory_grow(s->ties, s->tie_room, sizeof(*s->ties));
    }
    s->ties[s->tie_count] = (struct tie){ .number = other };
    return &s->ties[s->tie_count++];
}

static void tie(struct ledger *l, uint64_t number, uint64_t other, bool firm, uint32_t end_bytes)
{
    struct segment *s = ledger_find(l, number);
    struct tie *t;

    if (s == NULL || number == other || ledger_find(l, other) == NULL)
        return;
    t = find_tie(s, other);
    t->firm = t->firm || firm;
    t->end_bytes += end_bytes;
    s->end_bytes += end_bytes;
}

void ledger_tie(struct ledger *l, uint64_t number, uint64_t other)
{
    tie(l, number, other, true, 0);
}

void ledger_tie_end(struct ledger *l, uint64_t number, uint64_t other)
{
    tie(l, number, other, false, LEDGER_PLAIN_BYTES);
}

void ledger_untie(struct ledger *l, struct segment *s, uint64_t batch)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->tie_count; i++) {
        if (!s->ties[i].firm)
            continue;
        s->ties[kept] = s->ties[i];
        s->ties[kept++].end_bytes = 0;
    }
    s->tie_count = kept;
    s->end_bytes = 0;
    s->settled_by = MAX(s->settled_by, batch);
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

void ledger_put_off(struct segment *s, uint64_t now_ms)
{
    s->again_ms = now_ms + ((uint64_t)AGAIN_MS << MIN(s->failures, (unsigned)DOUBLINGS));
    s->failures++;
}

void ledger_keep_all(struct ledger *l)
{
    for (size_t i = 0; i < l->count; i++)
        l->segments[i]->kept = true;
}

struct segment *ledger_needless(const struct ledger *l, uint64_t batch)
{
    size_t newest = l->count;

    while (newest > 0 && !l->segments[newest - 1]->begun)
        newest--;
    for (size_t i = 0; i + 1 < newest; i++) {
        struct segment *s = l->segments[i];

        if (s->live == 0 && s->needed == 0 && s->tie_count == 0 && s->writing == 0 && !s->open &&
            !s->leaving && !s->kept && s->settled_by <= batch)
            return s;
    }
    return NULL;
}

/* ---- states: a hash table from (message, topic) to the segment ---- */

_Static_assert((int)ENVELOPE_RCPTS_MAX < (int)LEDGER_CHANGE, "a recipient is no other topic");

static uint64_t what_of(uint64_t message, unsigned topic)
{
    return message << TOPIC_BITS | topic;
}

static uint64_t hash_of(uint64_t what)
{
    uint64_t z = what * 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 32)) * 0x94d049bb133111eb;
    return z ^ (z >> 29);
}

static uint64_t hash_state(const void *element)
{
    return hash_of(((const struct ledger_state *)element)->what);
}

static struct ledger_state *state_at(const struct ledger *l, uint32_t state)
{
    return pool_at(&l->states, state);
}

static uint32_t look(const struct ledger *l, uint64_t what)
{
    uint32_t state = chains_first(&l->by_topic, hash_of(what));

    while (state != POOL_NONE && state_at(l, state)->what != what)
        state = chains_next(&l->by_topic, state);
    return state;
}

/* None is newer than the newest. */
static uint64_t whole_number(const struct ledger *l, uint32_t segment)
{
    uint64_t newest = l->count == 0 ? segment : l->segments[l->count - 1]->number;

    return newest - ((uint32_t)newest - segment);
}

/* What stood there before. */
struct was {
    bool any;
    uint32_t segment;
};

static struct was put(struct ledger *l, uint64_t message, unsigned topic, uint64_t value)
{
    uint64_t what = what_of(message, topic);
    uint32_t state = look(l, what);
    struct was before = { .any = state != POOL_NONE };

    if (state == POOL_NONE) {
        state = pool_take(&l->states);
        state_at(l, state)->what = what;
        chains_add(&l->by_topic, state);
    } else {
        before.segment = state_at(l, state)->segment;
    }
    state_at(l, state)->segment = (uint32_t)value;
    return before;
}

static struct was take(struct ledger *l, uint64_t message, unsigned topic)
{
    uint32_t state = look(l, what_of(message, topic));
    struct was before = { .any = state != POOL_NONE };

    if (state == POOL_NONE)
        return before;
    before.segment = state_at(l, state)->segment;
    chains_remove(&l->by_topic, state);
    pool_give(&l->states, state);
    return before;
}

/* ---- what happens ---- */

/* How large that record was nobody remembers: as the others are. */
static void unneed(struct ledger *l, struct was was, uint64_t batch)
{
    struct segment *s = was.any ? ledger_find(l, whole_number(l, was.segment)) : NULL;

    if (s == NULL)
        return;
    assert(s->needed > 0);
    s->needed_bytes -= s->needed_bytes / s->needed;
    s->needed--;
    s->settled_by = MAX(s->settled_by, batch);
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
    s->settled_by = MAX(s->settled_by, batch);
    l->changed = l->changed || s->live == 0;
}

uint64_t ledger_holder(const struct ledger *l, uint64_t message, unsigned topic)
{
    uint32_t state = look(l, what_of(message, topic));

    return state == POOL_NONE ? 0 : whole_number(l, state_at(l, state)->segment);
}

uint32_t ledger_part(uint32_t bytes, size_t rcpts)
{
    return (uint32_t)(record_span(0, bytes - RECORD_HEADER) / rcpts) + 1;
}

void ledger_note(struct ledger *l, uint64_t message, unsigned topic, uint64_t number,
                 uint64_t batch, uint32_t bytes)
{
    struct segment *s = ledger_find(l, number);
    struct was before = put(l, message, topic, number);
    uint32_t highest;

    assert(s != NULL);
    s->needed++;
    s->needed_bytes += bytes;
    unneed(l, before, batch);
    if (topic == 0 || topic >= LEDGER_CHANGE)
        return;
    highest = put(l, message, TOPIC_COUNT, topic).segment;
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
    uint32_t highest = take(l, message, TOPIC_COUNT).segment;

    for (unsigned topic = 0; topic <= highest; topic++)
        unneed(l, take(l, message, topic), batch);
    unneed(l, take(l, message, LEDGER_CHANGE), batch);
    unneed(l, take(l, message, LEDGER_NOTICE), batch);
    tie(l, number, home, false, 0);
}

void ledger_finish(struct ledger *l, uint64_t message, uint64_t home, uint64_t bytes,
                   uint64_t number, uint64_t batch)
{
    ledger_finish_again(l, message, home, number, batch);
    ledger_leave(l, home, bytes, batch);
}
