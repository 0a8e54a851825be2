#include "io/config.h"

#include "tests/unit/unit.h"

#include "tests/unit/config_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct values {
    bool flag;
    uint64_t count, bytes, time, factor;
    struct view text, host, path, custom;
    unsigned color;
    struct {
        uint64_t depth;
    } inner;
};

static const char *const colors[] = { "red", "green", "blue", NULL };

static void read_custom(struct config *c, struct config_node *n, void *section)
{
    struct values *v = section;

    if (!config_is_list(n) || config_count(n) == 0 || !config_scalar(config_at(n, 0), &v->custom))
        config_report(c, n, "expected a list");
}

/* clang-format off */
static const struct config_item inner_items[] = {
    { .name = "depth", .type = CONFIG_COUNT, .offset = 0, .least = 0, .most = 9, .fallback = "3" },
};

#define AT(field) .offset = offsetof(struct values, field)
static const struct config_item items[] = {
    { .name = "flag",   .type = CONFIG_BOOL,    AT(flag),   .fallback = "yes" },
    { .name = "count",  .type = CONFIG_COUNT,   AT(count),  .least = 1, .most = 100, .fallback = "7" },
    { .name = "bytes",  .type = CONFIG_BYTES,   AT(bytes),  .least = 1024, .most = 1ULL << 40,
      .fallback = "64K" },
    { .name = "time",   .type = CONFIG_SECONDS, AT(time),   .least = 1, .most = 864000000,
      .fallback = "5m" },
    { .name = "factor", .type = CONFIG_FACTOR,  AT(factor), .least = 1000, .most = 10000,
      .fallback = "1.5" },
    { .name = "text",   .type = CONFIG_TEXT,    AT(text),   .fallback = "hello" },
    { .name = "host",   .type = CONFIG_HOST,    AT(host),   .required = true, .summary = "a host" },
    { .name = "path",   .type = CONFIG_PATH,    AT(path) },
    { .name = "color",  .type = CONFIG_ENUM,    AT(color),  .words = colors, .fallback = "green" },
    { .name = "inner",  .type = CONFIG_SECTION, AT(inner),  .items = inner_items,
      .item_count = COUNT_OF(inner_items) },
    { .name = "custom", .type = CONFIG_CUSTOM,  .read = read_custom, .fallback = "[one, two]" },
};
/* clang-format on */

static char room[1 << 16];

static struct config *read_text(const char *text, struct values *v)
{
    const char *const files[] = { "t.yaml", text, NULL };
    struct config *c = config_from(room, sizeof(room), files);

    *v = (struct values){ 0 };
    config_section(c, config_root(c), items, COUNT_OF(items), v);
    return c;
}

static void has_defaults(void **state)
{
    struct values v;
    struct config *c = read_text("host: h\ninner:\n", &v);

    (void)state;
    check_view("errors", config_errors(c), VIEW(""));
    assert_true(v.flag);
    assert_int_equal(v.count, 7);
    assert_int_equal(v.bytes, 65536);
    assert_int_equal(v.time, 300000);
    assert_int_equal(v.factor, 1500);
    assert_int_equal(v.color, 1);
    assert_int_equal(v.inner.depth, 3);
    check_view("text", v.text, VIEW("hello"));
    check_view("custom", v.custom, VIEW("one"));
    assert_int_equal(v.path.len, 0);
    config_free(&c);
}

static const struct {
    const char *name, *text;
    size_t offset;
    uint64_t wanted;
} numbers[] = {
    { "a count", "count: 100", offsetof(struct values, count), 100 },
    { "a quoted count", "count: \"12\"", offsetof(struct values, count), 12 },
    { "bytes", "bytes: 4096", offsetof(struct values, bytes), 4096 },
    { "kilobytes", "bytes: 10K", offsetof(struct values, bytes), 10240 },
    { "megabytes", "bytes: 25M", offsetof(struct values, bytes), 25 << 20 },
    { "gigabytes, small letter", "bytes: 2g", offsetof(struct values, bytes), 2ULL << 30 },
    { "bare seconds", "time: 90", offsetof(struct values, time), 90000 },
    { "seconds", "time: 90s", offsetof(struct values, time), 90000 },
    { "milliseconds", "time: 250ms", offsetof(struct values, time), 250 },
    { "minutes", "time: 5m", offsetof(struct values, time), 300000 },
    { "hours", "time: 4h", offsetof(struct values, time), 14400000 },
    { "days", "time: 5d", offsetof(struct values, time), 432000000 },
    { "a whole factor", "factor: 2", offsetof(struct values, factor), 2000 },
    { "a factor", "factor: 1.25", offsetof(struct values, factor), 1250 },
    { "thousandths", "factor: 1.005", offsetof(struct values, factor), 1005 },
    { "in a section", "inner: { depth: 9 }", offsetof(struct values, inner.depth), 9 },
};

static void reads_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        char text[128];
        struct values v;
        struct config *c;
        uint64_t got;

        (void)snprintf(text, sizeof(text), "host: h\n%s\n", numbers[i].text);
        c = read_text(text, &v);
        memcpy(&got, (char *)&v + numbers[i].offset, sizeof(got));
        check_view(numbers[i].name, config_errors(c), VIEW(""));
        check(numbers[i].name, got == numbers[i].wanted);
        config_free(&c);
    }
}

static void reads_words(void **state)
{
    struct values v;
    struct config *c = read_text("host: mx-1.Example.org\ncolor: BLUE\nflag: Off\n"
                                 "text: \"two words\"\npath: /a/b\ncustom: [x]\n",
                                 &v);

    (void)state;
    check_view("errors", config_errors(c), VIEW(""));
    check_view("host", v.host, VIEW("mx-1.Example.org"));
    check_view("text", v.text, VIEW("two words"));
    check_view("path", v.path, VIEW("/a/b"));
    check_view("custom", v.custom, VIEW("x"));
    assert_int_equal(v.color, 2);
    assert_false(v.flag);
    config_free(&c);
}

/* clang-format off */
static const struct {
    const char *name, *text;
    const char *wanted; /* the first report's first line */
} mistakes[] = {
    { "a swapped letter", "hots: h", "t.yaml:1:1: error: there is no setting \"hots\" here; did you mean \"host\"?" },
    { "nothing like it", "host: h\nwhatever: 1", "t.yaml:2:1: error: there is no setting \"whatever\" here" },
    { "in a section", "host: h\ninner: { dept: 1 }", "t.yaml:2:10: error: there is no setting \"dept\" here; did you mean \"depth\"?" },
    { "missing", "count: 1", "t.yaml:1:1: error: host is missing: a host" },
    { "an empty file", "", "t.yaml:1:1: error: host is missing: a host" },
    { "only a comment", "# x\n", "t.yaml:1:1: error: host is missing: a host" },
    { "too small", "host: h\ncount: 0", "t.yaml:2:8: error: count must be from 1 to 100" },
    { "too large", "host: h\nbytes: 2000G", "t.yaml:2:8: error: bytes must be from 1K to 1024G" },
    { "too long", "host: h\ntime: 11d", "t.yaml:2:7: error: time must be from 1ms to 10d" },
    { "factor too small", "host: h\nfactor: 0.999", "t.yaml:2:9: error: factor must be from 1 to 10" },
    { "beyond 64 bits", "host: h\nbytes: 99999999999999999999", "t.yaml:2:8: error: bytes is a size such as 4096, 64K, 25M or 2G" },
    { "overflow by the unit", "host: h\nbytes: 99999999999999G", "t.yaml:2:8: error: bytes is a size such as 4096, 64K, 25M or 2G" },
    { "no number", "host: h\ncount: many", "t.yaml:2:8: error: count is a whole number" },
    { "a negative number", "host: h\ncount: -1", "t.yaml:2:8: error: count is a whole number" },
    { "no unit", "host: h\ntime: 5 minutes", "t.yaml:2:7: error: time is a time such as 90s, 5m, 4h, 5d or 250ms" },
    { "only a unit", "host: h\ntime: m", "t.yaml:2:7: error: time is a time such as 90s, 5m, 4h, 5d or 250ms" },
    { "four decimals", "host: h\nfactor: 1.0001", "t.yaml:2:9: error: factor is a number such as 1.5" },
    { "a list for a value", "host: h\ncount: [1]", "t.yaml:2:8: error: count takes a single value" },
    { "nothing for a value", "host: h\ncount:", "t.yaml:2:1: error: count has no value" },
    { "null for a value", "host: h\ncount: ~", "t.yaml:2:8: error: count has no value" },
    { "a value for a section", "host: h\ninner: 3", "t.yaml:2:8: error: expected settings, \"name: value\"" },
    { "yes or no", "host: h\nflag: maybe", "t.yaml:2:7: error: flag is yes or no" },
    { "no such word", "host: h\ncolor: pink", "t.yaml:2:8: error: color is red, green or blue" },
    { "a relative path", "host: h\npath: a/b", "t.yaml:2:7: error: path is an absolute path" },
    { "a host with a blank", "host: a b", "t.yaml:1:7: error: host is a host name such as mx1.example.org" },
    { "a host that is an address", "host: 192.0.2.1", "t.yaml:1:7: error: host is a host name such as mx1.example.org" },
    { "a host with an empty label", "host: a..b", "t.yaml:1:7: error: host is a host name such as mx1.example.org" },
    { "a host with a hyphen first", "host: -a.b", "t.yaml:1:7: error: host is a host name such as mx1.example.org" },
    { "control characters", "host: h\ntext: \"a\\eb\"", "t.yaml:2:8: error: text is text, not empty and without control characters" },
    { "control characters in a name", "host: h\n\"x\\e[31m\": 1", "t.yaml:2:2: error: there is no setting \"x?[31m\" here" },
    { "a custom reader", "host: h\ncustom: 3", "t.yaml:2:9: error: expected a list" },
    { "twice", "host: h\nhost: i", "t.yaml:2:1: error: \"host\" is given twice, first at t.yaml:1" },
    { "twice in a section", "host: h\ninner: { depth: 1, depth: 2 }", "t.yaml:2:20: error: \"depth\" is given twice, first at t.yaml:2" },
    { "no mapping", "- a\n- b", "t.yaml:1:1: error: expected settings, \"name: value\", at the top level" },
    { "a bracket is open", "host: [a\n", "t.yaml:2:1: error: flow sequence without a closing bracket" },
    { "a quote is open", "host: \"a\n", "t.yaml:1:8: error: double-quoted scalar without closing quote" },
    { "wrong indentation", "host: h\n count: 3\n", "t.yaml:1:7: error: invalid multiline plain key" },
    { "no text", "host: h\ntext: \"\"", "t.yaml:2:8: error: text is text, not empty and without control characters" },
    { "an alias", "host: &x h\ntext: *x\n", "t.yaml:2:7: error: aliases are not understood here: write the value itself; one that begins with * stands between quotes" },
    { "a tag", "host: !!str h", "t.yaml:1:13: error: tags are not understood here: a value that begins with ! stands between quotes" },
    { "a tag of a list", "host: h\ncustom: !x [a]", "t.yaml:2:12: error: tags are not understood here: a value that begins with ! stands between quotes" },
    { "a colon in a value", "host: h\ntext: a: b\n", "t.yaml:2:8: error: invalid nested block mapping on the same line: a value with a colon and a blank in it stands between quotes" },
    { "a list without its end", "host: h\ncustom: [{a: b}\ntext: [1\n", "t.yaml:3:1: error: wrongly indented flow sequence: is a [ or { above not closed?" },
    { "a second document", "host: h\n---\ncount: 3\n", "t.yaml:2:1: error: a second document begins here; only one is read" },
    { "a list as a name", "host: h\n[a]: 3\n", "t.yaml:2:1: error: a name must be a word, not a list or a mapping" },
    { "not UTF-8", "host: h\ntext: \xff\n", "t.yaml:2:1: error: this line is not UTF-8 text" },
    { "nested too deeply", "custom: [[[[[[[[[[[[[[[[[[[[a]]]]]]]]]]]]]]]]]]]]", "t.yaml:1:24: error: lists and mappings are nested too deeply" },
};
/* clang-format on */

static void reports_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(mistakes); i++) {
        struct values v;
        struct config *c = read_text(mistakes[i].text, &v);
        struct view text = config_errors(c), line = VIEW_EMPTY;

        (void)view_take_line(&text, &line);
        check_view(mistakes[i].name, line, view_of(mistakes[i].wanted));
        config_free(&c);
    }
}

static void shows_the_place(void **state)
{
    struct values v;
    struct config *c =
        read_text("host: h\ninner: { \"\xc3\xa4\": x,\tdepth: many }\ncount: 0\n", &v);

    (void)state;
    check_view("reports", config_errors(c),
               VIEW("t.yaml:3:8: error: count must be from 1 to 100\n"
                    "    count: 0\n"
                    "           ^\n"
                    "t.yaml:2:11: error: there is no setting \"\xc3\xa4\" here\n"
                    "    inner: { \"\xc3\xa4\": x,\tdepth: many }\n"
                    "              ^\n"
                    "t.yaml:2:25: error: depth is a whole number\n"
                    "    inner: { \"\xc3\xa4\": x,\tdepth: many }\n"
                    "                    \t       ^~~~\n"));
    assert_int_equal(config_error_count(c), 3);
    config_free(&c);
}

static void stops_reporting(void **state)
{
    char text[8192];
    struct buf b = BUF_ON_ARRAY(text);
    struct values v;
    struct config *c;

    (void)state;
    for (int i = 0; i < 500; i++)
        buf_printf(&b, "unknown%d: 1\n", i);
    buf_put_byte(&b, '\0');
    c = read_text(text, &v);
    assert_true(config_error_count(c) >= 500);
    assert_true(config_errors(c).len < 16384);
    config_free(&c);
}

static void includes_files(void **state)
{
    const char *const files[] = { "/etc/t/main.yaml",
                                  "include: [a.yaml, /b.yaml]\nhost: h\n",
                                  "/etc/t/a.yaml",
                                  "count: 9\ninclude: sub/c.yaml\n",
                                  "/b.yaml",
                                  "color: red\n",
                                  "/etc/t/sub/c.yaml",
                                  "time: 1s\n\nfactor: 99\n",
                                  NULL };
    struct config *c = config_from(room, sizeof(room), files);
    struct values v = { 0 };

    (void)state;
    config_section(c, config_root(c), items, COUNT_OF(items), &v);
    check_view("errors", config_errors(c),
               VIEW("/etc/t/sub/c.yaml:3:9: error: factor must be from 1 to 10\n"
                    "    factor: 99\n"
                    "            ^~\n"));
    assert_int_equal(v.count, 9);
    assert_int_equal(v.color, 0);
    assert_int_equal(v.time, 1000);
    assert_string_equal(config_origin(c, config_find(config_root(c), "time")),
                        "/etc/t/sub/c.yaml:1");
    config_free(&c);
}

static const struct {
    const char *name;
    const char *files[9];
    const char *wanted;
} include_mistakes[] = {
    { "a loop",
      { "a", "include: b\nhost: h\n", "b", "include: a\n", NULL },
      "b:1:10: error: a is included a second time" },
    { "itself",
      { "a", "include: a\nhost: h\n", NULL },
      "a:1:10: error: a is included a second time" },
    { "missing",
      { "a", "include: b\n", NULL },
      "a:1:10: error: cannot read b: No such file or directory" },
    { "no path",
      { "a", "include: {b: c}\nhost: h\n", NULL },
      "a:1:10: error: expected the path of a file" },
    { "a key in both",
      { "a", "count: 1\ninclude: b\nhost: h\n", "b", "\ncount: 2\n", NULL },
      "b:2:1: error: \"count\" is given twice, first at a:1" },
};

static void reports_include_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(include_mistakes); i++) {
        struct config *c = config_from(room, sizeof(room), include_mistakes[i].files);
        struct view text = config_errors(c), line = VIEW_EMPTY;
        struct values v;

        config_section(c, config_root(c), items, COUNT_OF(items), &v);
        (void)view_take_line(&text, &line);
        check_view(include_mistakes[i].name, line, view_of(include_mistakes[i].wanted));
        /* Nothing is said to be missing that may stand in what could not be read. */
        check(include_mistakes[i].name, config_error_count(c) == 1);
        config_free(&c);
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void bundles_files(void **state)
{
    char folder[] = "/tmp/tern-config-XXXXXX";
    char main_path[64], other_path[64];
    struct buf bundle = BUF_ON_ARRAY(room);
    struct config *c, *copy;
    struct values v = { 0 };
    struct view attached;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(main_path, sizeof(main_path), "%s/main.yaml", folder);
    (void)snprintf(other_path, sizeof(other_path), "%s/other.yaml", folder);
    write_file(main_path, "host: h\ninclude: ./other.yaml\n");
    write_file(other_path, "count: 12\nflag: what\n");
    c = config_read(main_path);
    config_attach(c, "resolvers", VIEW("old"));
    config_attach(c, "resolvers", VIEW("192.0.2.1\n"));
    config_attach(c, "nothing", VIEW_EMPTY);
    unlink(main_path);
    unlink(other_path);
    rmdir(folder);
    assert_true(config_bundle(c, &bundle));
    copy = config_parse(buf_view(&bundle));
    config_section(c, config_root(c), items, COUNT_OF(items), &v);
    config_section(copy, config_root(copy), items, COUNT_OF(items), &v);
    assert_int_equal(v.count, 12);
    assert_int_equal(config_error_count(c), 1);
    check_view("the same positions", config_errors(copy), config_errors(c));
    assert_true(config_attachment(copy, "resolvers", &attached));
    check_view("attachment", attached, VIEW("192.0.2.1\n"));
    assert_true(config_attachment(copy, "nothing", &attached));
    assert_false(config_attachment(copy, "other", &attached));
    config_free(&c);
    config_free(&copy);
    assert_null(copy);
}

static void refuses_damaged_bundles(void **state)
{
    const char *const files[] = { "t.yaml", "host: h\n", NULL };
    struct config *c = config_from(room, sizeof(room), files);
    char copy[1024];
    struct buf b = BUF_ON_ARRAY(copy);

    (void)state;
    config_attach(c, "a", VIEW("b"));
    assert_true(config_bundle(c, &b));
    config_free(&c);
    for (size_t len = 0; len < buf_len(&b); len++) {
        c = config_parse(view_sub(buf_view(&b), 0, len));
        assert_int_equal(config_error_count(c), 1);
        assert_int_equal(config_count(config_root(c)), 0);
        config_free(&c);
    }
}

static void tells_what_cannot_be_read(void **state)
{
    struct config *c = config_read("/nonexistent/tern.yaml");

    (void)state;
    check_view("missing", config_errors(c),
               VIEW("/nonexistent/tern.yaml: error: cannot read /nonexistent/tern.yaml: "
                    "No such file or directory\n"));
    assert_int_equal(config_count(config_root(c)), 0);
    config_free(&c);
    c = config_read("/");
    check_view("a folder", config_errors(c), VIEW("/: error: cannot read /: Is a directory\n"));
    config_free(&c);
}

static const struct {
    enum config_type type;
    uint64_t number;
    const char *wanted;
} printed[] = {
    { CONFIG_COUNT, 0, "0" },           { CONFIG_BYTES, 1024, "1K" },
    { CONFIG_BYTES, 1025, "1025" },     { CONFIG_BYTES, 3ULL << 30, "3G" },
    { CONFIG_BYTES, 0, "0" },           { CONFIG_SECONDS, 250, "250ms" },
    { CONFIG_SECONDS, 1500, "1500ms" }, { CONFIG_SECONDS, 90000, "90s" },
    { CONFIG_SECONDS, 86400000, "1d" }, { CONFIG_SECONDS, 0, "0" },
    { CONFIG_FACTOR, 2000, "2" },       { CONFIG_FACTOR, 1250, "1.25" },
    { CONFIG_FACTOR, 1005, "1.005" },
};

static void prints_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(printed); i++) {
        char text[32];
        struct buf b = BUF_ON_ARRAY(text);

        config_print_number(printed[i].type, printed[i].number, &b);
        check_view(printed[i].wanted, buf_view(&b), view_of(printed[i].wanted));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_defaults),
        cmocka_unit_test(reads_numbers),
        cmocka_unit_test(reads_words),
        cmocka_unit_test(reports_mistakes),
        cmocka_unit_test(shows_the_place),
        cmocka_unit_test(stops_reporting),
        cmocka_unit_test(includes_files),
        cmocka_unit_test(reports_include_mistakes),
        cmocka_unit_test(bundles_files),
        cmocka_unit_test(refuses_damaged_bundles),
        cmocka_unit_test(tells_what_cannot_be_read),
        cmocka_unit_test(prints_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
