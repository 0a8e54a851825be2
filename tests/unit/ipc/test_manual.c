/* The manual page tern.yaml(5) has a row for every setting, with its range and default, and
 * no others; the sample has every setting too. */
#include "ipc/settings.h"

#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 256 };

static struct row {
    struct view section, name, form, summary;
    bool known; /* there is such a setting */
} rows[ROWS_MAX];
static size_t row_count;
static char manual[1 << 17];

/* Rows stand under SETTINGS: ".Ss section", ".It Ic name", then form and summary. */
static int read_manual(void **state)
{
    struct view rest, line, section = VIEW("");
    bool settings = false;
    FILE *f = fopen(getenv("TERN_MANUAL"), "r");

    (void)state;
    assert_non_null(f);
    rest = view_make(manual, fread(manual, 1, sizeof(manual), f));
    (void)fclose(f);
    while (view_take_line(&rest, &line)) {
        if (view_take(&line, VIEW(".Sh ")))
            settings = view_equal(line, VIEW("SETTINGS"));
        if (view_take(&line, VIEW(".Ss ")))
            section = view_equal(line, VIEW("Top level")) ? VIEW("") : line;
        if (!settings || !view_take(&line, VIEW(".It Ic ")))
            continue;
        assert_true(row_count < ROWS_MAX);
        rows[row_count] = (struct row){ .section = section, .name = line };
        assert_true(view_take_line(&rest, &rows[row_count].form));
        assert_true(view_take_line(&rest, &rows[row_count].summary));
        row_count++;
    }
    return 0;
}

static struct row *find_row(const char *section, const char *name)
{
    for (size_t i = 0; i < row_count; i++) {
        if (view_equal(rows[i].section, view_of(section)) &&
            view_equal(rows[i].name, view_of(name)))
            return &rows[i];
    }
    return NULL;
}

static void put_words(const struct config_item *item, struct buf *out)
{
    for (size_t i = 0; item->words[i] != NULL; i++)
        buf_printf(out, "%s%s",
                   i == 0                       ? "One of "
                   : item->words[i + 1] == NULL ? " or "
                                                : ", ",
                   item->words[i]);
}

static void put_range(const struct config_item *item, const char *word, struct buf *out)
{
    buf_printf(out, "%s, from ", word);
    config_print_number(item->type, item->least, out);
    buf_put(out, VIEW(" to "));
    config_print_number(item->type, item->most, out);
}

static void put_type(const struct config_item *item, struct buf *out)
{
    switch (item->type) {
    case CONFIG_BOOL:
        buf_put(out, VIEW("Yes or no"));
        break;
    case CONFIG_COUNT:
        put_range(item, "Number", out);
        break;
    case CONFIG_BYTES:
        put_range(item, "Size", out);
        break;
    case CONFIG_SECONDS:
        put_range(item, "Time", out);
        break;
    case CONFIG_FACTOR:
        put_range(item, "Factor", out);
        break;
    case CONFIG_RATE:
        buf_put(out, VIEW("Rate"));
        break;
    case CONFIG_TEXT:
        buf_put(out, VIEW("Text"));
        break;
    case CONFIG_HOST:
        buf_put(out, VIEW("Host name"));
        break;
    case CONFIG_PATH:
        buf_put(out, VIEW("Path"));
        break;
    case CONFIG_ENUM:
        put_words(item, out);
        break;
    case CONFIG_SECTION:
        buf_put(out, VIEW("Settings"));
        break;
    case CONFIG_CUSTOM: /* the manual chooses the word */
        break;
    }
}

static void put_default(const struct config_item *item, struct buf *out)
{
    if (item->required)
        buf_put(out, VIEW("; required"));
    else if (item->type != CONFIG_SECTION && item->fallback == NULL)
        buf_put(out, VIEW("; no default"));
    else if (item->type != CONFIG_SECTION)
        buf_printf(out, "; default %s", item->fallback);
    buf_put_byte(out, ':');
}

static void has_every_setting(void **state)
{
    (void)state;
    for (size_t i = 0; i < settings_item_count(); i++) {
        char name[128], room[512];
        struct buf wanted = BUF_ON_ARRAY(room);
        const struct config_item *item;
        const char *section;
        struct row *row;

        settings_item(i, &section, &item);
        (void)snprintf(name, sizeof(name), "%s.%s", section, item->name);
        row = find_row(section, item->name);
        if (row == NULL) {
            fail_msg("%s: no row", name);
            return;
        }
        row->known = true;
        put_type(item, &wanted);
        put_default(item, &wanted);
        if (item->type == CONFIG_CUSTOM)
            row->form = view_from(row->form, view_find(row->form, ';'));
        check_view(name, row->form, buf_view(&wanted));
        buf_clear(&wanted);
        buf_printf(&wanted, "%s.", item->summary);
        check_view(name, row->summary, buf_view(&wanted));
    }
}

static void has_no_other(void **state)
{
    char name[128];

    (void)state;
    for (size_t i = 0; i < row_count; i++) {
        (void)snprintf(name, sizeof(name), "%.*s.%.*s", VIEW_ARG(rows[i].section),
                       VIEW_ARG(rows[i].name));
        check(name, rows[i].known);
    }
    assert_int_equal(row_count, settings_item_count());
}

/* The sample that is installed names every setting, in use or not. */
static void sample_has_every_setting(void **state)
{
    static char text[1 << 16];
    FILE *f = fopen(getenv("TERN_SAMPLE"), "r");
    struct view sample;

    (void)state;
    assert_non_null(f);
    sample = view_make(text, fread(text, 1, sizeof(text), f));
    (void)fclose(f);
    assert_true(sample.len < sizeof(text));
    for (size_t i = 0; i < settings_item_count(); i++) {
        const struct config_item *item;
        const char *section;

        settings_item(i, &section, &item);
        check(item->name, view_find_view(sample, view_of(item->name)) < sample.len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_every_setting),
        cmocka_unit_test(has_no_other),
        cmocka_unit_test(sample_has_every_setting),
    };

    return cmocka_run_group_tests(tests, read_manual, NULL);
}
