#include "queue/wheel.h"

#include <assert.h>
#include <string.h>

enum {
    PENDING = WHEEL_LEVELS, /* the row of slots that are being emptied upwards */
    SLOT_MASK = WHEEL_SLOTS - 1,
};
#define IN_SLOT (1u << 31) /* in `prev` of a slot's first element; the rest is row and slot */

static struct wheel_link *link_of(const struct wheel *w, uint32_t element)
{
    return w->link(w->owner, element);
}

void wheel_init(struct wheel *w, struct wheel_link *(*link)(const void *owner, uint32_t element),
                const void *owner)
{
    memset(w, 0, sizeof(*w));
    w->link = link;
    w->owner = owner;
}

static void set_first(struct wheel *w, unsigned row, unsigned slot, uint32_t element)
{
    uint64_t bit = (uint64_t)1 << (slot & 63);

    w->first[row][slot] = element;
    if (element == POOL_NONE) {
        w->taken[row][slot / 64] &= ~bit;
        return;
    }
    w->taken[row][slot / 64] |= bit;
    link_of(w, element)->prev = IN_SLOT | row << WHEEL_SLOT_BITS | slot;
}

static void push(struct wheel *w, unsigned row, unsigned slot, uint32_t element)
{
    uint32_t next = w->first[row][slot];

    link_of(w, element)->next = next;
    if (next != POOL_NONE)
        link_of(w, next)->prev = element;
    set_first(w, row, slot, element);
}

/* The level is the highest digit in which the tick and now differ. */
static void place(struct wheel *w, uint32_t element, uint32_t due)
{
    uint32_t differ = due ^ w->now;
    unsigned level = differ == 0 ? 0 : (31 - (unsigned)__builtin_clz(differ)) / WHEEL_SLOT_BITS;

    push(w, level, (due >> (level * WHEEL_SLOT_BITS)) & SLOT_MASK, element);
}

void wheel_add(struct wheel *w, uint32_t element, uint32_t due)
{
    assert(element < IN_SLOT);
    if (due < w->now)
        due = w->now;
    link_of(w, element)->due = due;
    place(w, element, due);
    w->count++;
}

static void unlink_element(struct wheel *w, uint32_t element)
{
    struct wheel_link *l = link_of(w, element);

    if (l->prev & IN_SLOT) {
        set_first(w, (l->prev & ~IN_SLOT) >> WHEEL_SLOT_BITS, l->prev & SLOT_MASK, l->next);
    } else {
        link_of(w, l->prev)->next = l->next;
        if (l->next != POOL_NONE)
            link_of(w, l->next)->prev = l->prev;
    }
    l->prev = l->next = POOL_NONE;
}

void wheel_remove(struct wheel *w, uint32_t element)
{
    unlink_element(w, element);
    w->count--;
}

/* Moves one element of the slots whose time has come to the level below. */
static bool move_pending(struct wheel *w)
{
    for (unsigned level = 1; level < WHEEL_LEVELS; level++) {
        uint32_t element = w->first[PENDING][level];

        if (element == POOL_NONE)
            continue;
        unlink_element(w, element);
        place(w, element, link_of(w, element)->due);
        return true;
    }
    return false;
}

/* The whole slot at once; nothing is pending of this level, since wheel_take empties
 * the row before it goes on. */
static void make_pending(struct wheel *w, unsigned level, unsigned slot)
{
    uint32_t element = w->first[level][slot];

    set_first(w, level, slot, POOL_NONE);
    set_first(w, PENDING, level, element);
}

/* The first slot of a row, from `slot` on, that is not empty; WHEEL_SLOTS: none. */
static unsigned find_taken(const struct wheel *w, unsigned row, unsigned slot)
{
    for (unsigned word = slot / 64; word < WHEEL_SLOTS / 64; word++) {
        uint64_t bits = w->taken[row][word];

        if (word == slot / 64)
            bits &= ~(uint64_t)0 << (slot & 63);
        if (bits != 0)
            return word * 64 + (unsigned)__builtin_ctzll(bits);
    }
    return WHEEL_SLOTS;
}

/* To the next tick that has work, but not beyond `limit`. */
static void go_on(struct wheel *w, uint32_t limit)
{
    uint32_t tick = limit;

    if (!wheel_next(w, &tick) || tick > limit)
        tick = limit;
    if (tick == w->now)
        return;
    w->now = tick;
    for (unsigned level = 1; level < WHEEL_LEVELS; level++) {
        if ((tick & (((uint32_t)1 << (level * WHEEL_SLOT_BITS)) - 1)) != 0)
            return;
        make_pending(w, level, (tick >> (level * WHEEL_SLOT_BITS)) & SLOT_MASK);
    }
}

uint32_t wheel_take(struct wheel *w, uint32_t now, unsigned *steps)
{
    while (*steps > 0) {
        uint32_t element;

        if (move_pending(w)) {
            --*steps;
            continue;
        }
        element = w->first[0][w->now & SLOT_MASK];
        if (element != POOL_NONE) {
            --*steps;
            wheel_remove(w, element);
            return element;
        }
        if (w->now >= now)
            return POOL_NONE;
        go_on(w, now);
    }
    return POOL_NONE;
}

/* The first tick of the next slot of a level that is not empty. */
static bool next_in_level(const struct wheel *w, unsigned level, uint32_t *tick)
{
    unsigned shift = level * WHEEL_SLOT_BITS;
    unsigned current = (w->now >> shift) & SLOT_MASK;
    unsigned slot = find_taken(w, level, level == 0 ? current : current + 1);
    uint32_t above = level + 1 == WHEEL_LEVELS ? 0 : w->now >> (shift + WHEEL_SLOT_BITS);

    if (slot == WHEEL_SLOTS)
        return false;
    if (level + 1 < WHEEL_LEVELS)
        above <<= shift + WHEEL_SLOT_BITS;
    *tick = above | (uint32_t)slot << shift;
    return true;
}

bool wheel_next(const struct wheel *w, uint32_t *tick)
{
    if (find_taken(w, PENDING, 0) < WHEEL_SLOTS) {
        *tick = w->now;
        return true;
    }
    /* An element of a level is due before all of the level above. */
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        if (next_in_level(w, level, tick))
            return true;
    }
    return false;
}
