#include "queue/rcpts.h"

#include "common/memory.h"
#include "queue/pool.h"

#include <assert.h>
#include <stdlib.h>

enum { WORD_BITS = 32 };

/* Few messages have so many recipients: a pointer in each set would cost the others more. */
struct large {
    uint32_t *words;
};

static struct pool larges = { .element_bytes = sizeof(struct large), .end = 1 };

static unsigned word_count(unsigned total)
{
    return (total + WORD_BITS - 1) / WORD_BITS;
}

static struct large *large_of(const struct rcpts *s)
{
    return pool_at(&larges, s->bits);
}

static uint32_t *words_of(struct rcpts *s, unsigned total)
{
    return total <= RCPTS_INLINE ? &s->bits : large_of(s)->words;
}

static const uint32_t *const_words_of(const struct rcpts *s, unsigned total)
{
    return total <= RCPTS_INLINE ? &s->bits : large_of(s)->words;
}

void rcpts_init(struct rcpts *s, unsigned total)
{
    s->bits = 0;
    if (total <= RCPTS_INLINE)
        return;
    s->bits = pool_take(&larges);
    large_of(s)->words = memory_new_array(word_count(total), sizeof(uint32_t));
}

void rcpts_release(struct rcpts *s, unsigned total)
{
    if (total > RCPTS_INLINE) {
        free(large_of(s)->words);
        pool_give(&larges, s->bits);
    }
    s->bits = 0;
}

void rcpts_add(struct rcpts *s, unsigned total, unsigned i)
{
    assert(i < total);
    words_of(s, total)[i / WORD_BITS] |= (uint32_t)1 << (i & (WORD_BITS - 1));
}

void rcpts_remove(struct rcpts *s, unsigned total, unsigned i)
{
    assert(i < total);
    words_of(s, total)[i / WORD_BITS] &= ~((uint32_t)1 << (i & (WORD_BITS - 1)));
}

bool rcpts_has(const struct rcpts *s, unsigned total, unsigned i)
{
    return i < total && (const_words_of(s, total)[i / WORD_BITS] >> (i & (WORD_BITS - 1)) & 1) != 0;
}

unsigned rcpts_count(const struct rcpts *s, unsigned total)
{
    unsigned count = 0;

    for (unsigned w = 0; w < word_count(total); w++)
        count += (unsigned)__builtin_popcount(const_words_of(s, total)[w]);
    return count;
}

bool rcpts_empty(const struct rcpts *s, unsigned total)
{
    return rcpts_next(s, total, 0) == total;
}

unsigned rcpts_next(const struct rcpts *s, unsigned total, unsigned i)
{
    const uint32_t *words = const_words_of(s, total);

    for (unsigned w = i / WORD_BITS; w < word_count(total); w++) {
        uint32_t bits = words[w];

        if (w == i / WORD_BITS)
            bits &= ~(uint32_t)0 << (i & (WORD_BITS - 1));
        if (bits != 0)
            return w * WORD_BITS + (unsigned)__builtin_ctz(bits);
    }
    return total;
}

void rcpts_add_all(struct rcpts *s, unsigned total, const struct rcpts *others)
{
    for (unsigned w = 0; w < word_count(total); w++)
        words_of(s, total)[w] |= const_words_of(others, total)[w];
}

bool rcpts_include(const struct rcpts *s, const struct rcpts *others, unsigned total)
{
    for (unsigned w = 0; w < word_count(total); w++) {
        if (const_words_of(others, total)[w] & ~const_words_of(s, total)[w])
            return false;
    }
    return true;
}
