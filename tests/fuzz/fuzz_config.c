#include "ipc/settings.h"

#include "tests/fuzz/fuzz.h"

#include "tests/unit/config_text.h"

#include <string.h>

static char room[1 << 20], again_room[1 << 20];

/* What the other processes make of the same bytes. */
static void check_bundle(const struct config *c)
{
    struct buf bundle = BUF_ON_ARRAY(again_room);
    struct settings s;
    struct config *again;

    assert(config_bundle(c, &bundle));
    again = config_parse(buf_view(&bundle));
    settings_read(&s, again);
    assert(view_equal(config_errors(c), config_errors(again)));
    settings_release(&s);
    config_free(&again);
}

/* Nobody starts with less. */
static void check_settings(const struct settings *s)
{
    assert(s->hostname.len > 0 && s->listener_count > 0 && s->dns.server_count > 0);
    for (size_t i = 0; i < s->trust.count; i++)
        assert(s->trust.blocks[i].prefix >= 7);
    for (size_t i = 0; i < s->route_count; i++) {
        const struct route_settings *r = &s->routes[i];

        assert(r->target_count > 0 && r->target_count <= ROUTE_TARGETS_MAX);
        for (size_t t = 0; t < r->target_count; t++)
            assert(r->targets[t].kind != TARGET_HOST ||
                   (r->targets[t].host.len > 0 && r->targets[t].port > 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static char text[1 << 16];
    const char *const files[] = { "t.yaml", text, NULL };
    struct config *c;
    struct settings s;

    if (len >= sizeof(text) || memchr(bytes, 0, len) != NULL)
        return 0;
    memcpy(text, bytes, len);
    text[len] = '\0';
    c = config_from(room, sizeof(room), files);
    settings_read(&s, c);
    check_bundle(c);
    if (config_error_count(c) == 0)
        check_settings(&s);
    settings_release(&s);
    config_free(&c);
    return 0;
}
