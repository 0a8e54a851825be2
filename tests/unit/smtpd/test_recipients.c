#include "smtpd/recipients.h"

#include "queue/cache.h"
#include "smtpd/session.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

enum { OTHER_FIELDS_MAX = 12288 }; /* bytes of an envelope beside its recipients */

static struct transaction transaction;
static char encoded[SESSION_RCPTS_BYTES_MAX + OTHER_FIELDS_MAX];

static int begin(void **state)
{
    (void)state;
    transaction = (struct transaction){ .sender = VIEW_INIT("a@here.test") };
    arena_init(&transaction.arena, SESSION_ARENA_MAX);
    return 0;
}

static int end(void **state)
{
    (void)state;
    recipients_forget(&transaction);
    arena_reset(&transaction.arena);
    return 0;
}

/* Number `n` with an ORCPT, both filled up with `filler`. */
static enum recipients_answer add(int n, char filler, size_t original_len)
{
    static char filling[500]; /* the transaction's, as is all but the address */
    char address[100];
    struct envelope_rcpt r = { .notify = NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY };

    memset(filling, filler, sizeof(filling));
    snprintf(address, sizeof(address), "%04d%.60s@there.test", n, filling);
    r.address = view_of(address);
    r.original = view_make(filling, original_len);
    return recipients_add(&transaction, &r, ENVELOPE_RCPTS_MAX);
}

static struct view encode(void)
{
    struct buf text = BUF_ON_ARRAY(encoded);
    const struct envelope e = { .sender = transaction.sender,
                                .arrival_ms = 1,
                                .rcpts = transaction.to.all,
                                .rcpt_count = (uint32_t)transaction.to.count };

    assert_true(envelope_encode(&e, &text));
    return buf_view(&text);
}

static void expect_to_be_readable(struct view envelope)
{
    struct arena arena;
    struct envelope e;

    arena_init(&arena, LETTER_ARENA_MAX);
    assert_true(envelope_decode(envelope, &arena, &e));
    assert_int_equal(e.rcpt_count, transaction.to.count);
    arena_reset(&arena);
}

/* As many as LIMITS announces (RFC 9422), each with all that RFC 3461 lets a client say. */
static void takes_a_thousand_with_all_parameters(void **state)
{
    (void)state;
    for (int n = 0; n < 1000; n++)
        assert_int_equal(add(n, 'x', 200), RECIPIENTS_TAKEN);
    assert_int_equal(add(1000, 'x', 200), RECIPIENTS_TOO_MANY);
    expect_to_be_readable(encode());
}

/* What is written in three bytes each is counted so. */
static void fits_a_record_however_it_is_written(void **state)
{
    int n = 0;

    (void)state;
    while (add(n, '%', 500) == RECIPIENTS_TAKEN)
        n++;
    assert_in_range(n, 500, 999);
    assert_in_range(encode().len, SESSION_RCPTS_BYTES_MAX * 9 / 10, SESSION_RCPTS_BYTES_MAX + 100);
    expect_to_be_readable(encode());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(takes_a_thousand_with_all_parameters, begin, end),
        cmocka_unit_test_setup_teardown(fits_a_record_however_it_is_written, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
