#include "mail/completion.h"

#include "common/buf.h"
#include "tests/unit/unit.h"

/* "[...]" stands where the fields go: D and M for those that are there, B for a blank line to add.
 */
static const struct {
    const char *name, *content, *wanted;
} cases[] = {
    { "nothing", "", "[]" },
    { "no header", "\r\nbody\r\n", "[]\r\nbody\r\n" },
    { "a field", "From: a\r\n\r\nbody\r\n", "From: a\r\n[]\r\nbody\r\n" },
    { "header alone", "From: a\r\n", "From: a\r\n[]" },
    { "date", "dAte : x\r\n\r\n", "dAte : x\r\n[D]\r\n" },
    { "id", "MESSAGE-ID:\r\n\r\n", "MESSAGE-ID:\r\n[M]\r\n" },
    { "both", "Date: x\r\nMessage-ID: y\r\nTo: b\r\n\r\n",
      "Date: x\r\nMessage-ID: y\r\nTo: b\r\n[DM]\r\n" },
    { "others", "Date-Warning: x\r\nX-Date: y\r\n\r\n", "Date-Warning: x\r\nX-Date: y\r\n[]\r\n" },
    { "in a continuation", "To: x\r\n Date: y\r\n\tMessage-ID: z\r\n\r\n",
      "To: x\r\n Date: y\r\n\tMessage-ID: z\r\n[]\r\n" },
    { "in the body", "To: x\r\n\r\nDate: y\r\n", "To: x\r\n[]\r\nDate: y\r\n" },
    { "text alone", "hello world\r\nDate: x\r\n", "[B]hello world\r\nDate: x\r\n" },
    { "text without blanks", "hello\r\n", "[B]hello\r\n" },
    { "text behind fields", "To: x\r\nhello world\r\n\r\nDate: x\r\n",
      "To: x\r\n[B]hello world\r\n\r\nDate: x\r\n" },
    { "a blank first", " To: x\r\n\r\n", "[B] To: x\r\n\r\n" },
    { "a colon first", ": x\r\n\r\n", "[B]: x\r\n\r\n" },
    { "8 bits in a name", "T\xc3\xb6: x\r\n\r\n", "[B]T\xc3\xb6: x\r\n\r\n" },
    { "a long name",
      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
      "xxxxxxxxxxxxxxxxxxxxxxxxxx: y\r\n",
      "[B]xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
      "xxxxxxxxxxxxxxxxxxxxxxxxxx: y\r\n" },
    { "CR alone", "\rx\r\n", "[B]\rx\r\n" },
};

static void put_here(const struct completion *c, struct buf *out)
{
    buf_printf(out, "[%s%s%s]", c->date ? "D" : "", c->message_id ? "M" : "",
               c->no_blank ? "B" : "");
}

static void finds_the_place_however_it_is_cut(void **state)
{
    char room[512];
    uint64_t seed = 3;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t most = 1; most < 40; most++) {
            struct buf out = BUF_ON_ARRAY(room);
            struct completion c = { .state = 0 };
            struct view rest = view_of(cases[i].content), piece;

            while (rest.len > 0) {
                struct view part = view_sub(rest, 0, 1 + (size_t)random_below(&seed, most));
                enum completion_step step;

                rest = view_from(rest, part.len);
                while ((step = completion_next(&c, &part, &piece)) != COMPLETION_MORE) {
                    if (step == COMPLETION_HERE)
                        put_here(&c, &out);
                    else
                        buf_put(&out, piece);
                }
            }
            if (!c.ended)
                put_here(&c, &out);
            check_view(cases[i].name, buf_view(&out), view_of(cases[i].wanted));
        }
    }
}

/* What stands in fields of addresses, without their names. */
static void tells_addresses_apart(void **state)
{
    static const char content[] = "From: a\r\nX-To: a\r\ncC : b\r\n\tc\r\nSubject: d\r\n e\r\n"
                                  "Reply-To:e\r\n\r\nTo: f\r\n";
    uint64_t seed = 3;

    (void)state;
    for (size_t most = 1; most < 80; most++) {
        struct completion c = { .state = 0 };
        struct view rest = view_of(content), piece;
        char room[512];
        struct buf out = BUF_ON_ARRAY(room);

        while (rest.len > 0) {
            struct view part = view_sub(rest, 0, 1 + (size_t)random_below(&seed, most));
            enum completion_step step;

            rest = view_from(rest, part.len);
            while ((step = completion_next(&c, &part, &piece)) != COMPLETION_MORE) {
                if (step == COMPLETION_ADDRESSES)
                    buf_put(&out, piece);
            }
        }
        check_view("addresses", buf_view(&out), VIEW(" a\r\n b\r\n\tc\r\ne\r\n"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_place_however_it_is_cut),
        cmocka_unit_test(tells_addresses_apart),
    };

    return cmocka_run_group_tests_name("mail/completion", tests, NULL, NULL);
}
