#include "queue/rcpts.h"

#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>

static unsigned word_count(unsigned total)
{
    return (total + 63) / 64;
}

static uint64_t *words_of(struct rcpts *s, unsigned total)
{
    return total <= RCPTS_INLINE ? &s->bits : s->words;
}

static const uint64_t *const_words_of(const struct rcpts *s, unsigned total)
{
    return total <= RCPTS_INLINE ? &s->bits : s->words;
}

void rcpts_init(struct rcpts *s, unsigned total)
{
    s->bits = 0;
    if (total > RCPTS_INLINE)
        s->words = memory_new_array(word_count(total), sizeof(*s->words));
}

void rcpts_release(struct rcpts *s, unsigned total)
{
    if (total > RCPTS_INLINE)
        free(s->words);
    s->bits = 0;
}

void rcpts_add(struct rcpts *s, unsigned total, unsigned i)
{
    assert(i < total);
    words_of(s, total)[i / 64] |= (uint64_t)1 << (i & 63);
}

void rcpts_remove(struct rcpts *s, unsigned total, unsigned i)
{
    assert(i < total);
    words_of(s, total)[i / 64] &= ~((uint64_t)1 << (i & 63));
}

bool rcpts_has(const struct rcpts *s, unsigned total, unsigned i)
{
    return i < total && (const_words_of(s, total)[i / 64] >> (i & 63) & 1) != 0;
}

unsigned rcpts_count(const struct rcpts *s, unsigned total)
{
    unsigned count = 0;

    for (unsigned w = 0; w < word_count(total); w++)
        count += (unsigned)__builtin_popcountll(const_words_of(s, total)[w]);
    return count;
}

bool rcpts_empty(const struct rcpts *s, unsigned total)
{
    return rcpts_next(s, total, 0) == total;
}

unsigned rcpts_next(const struct rcpts *s, unsigned total, unsigned i)
{
    const uint64_t *words = const_words_of(s, total);

    for (unsigned w = i / 64; w < word_count(total); w++) {
        uint64_t bits = words[w];

        if (w == i / 64)
            bits &= ~(uint64_t)0 << (i & 63);
        if (bits != 0)
            return w * 64 + (unsigned)__builtin_ctzll(bits);
    }
    return total;
}

void rcpts_add_all(struct rcpts *s, unsigned total, const struct rcpts *others)
{
    for (unsigned w = 0; w < word_count(total); w++)
        words_of(s, total)[w] |= const_words_of(others, total)[w];
}
