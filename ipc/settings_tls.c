/* The certificates beside the first. */
#include "ipc/settings_rows.h"

static bool is_path(struct view text)
{
    return text.len > 0 && text.ptr[0] == '/' && !view_has(text, '\0');
}

void settings_read_certificates(struct config *c, struct config_node *n, void *section)
{
    struct tls_settings *tls = section;
    size_t count = config_count(n);
    struct certificate_settings *more;

    if (!config_is_map(n)) {
        config_report(c, n, "expected paths, \"/etc/tern/tls/b.pem: /etc/tern/tls/b.key\"");
        return;
    }
    if (count >= CERTIFICATES_MAX) {
        config_report(c, n, "there are %zu, but %d at most", count, CERTIFICATES_MAX - 1);
        return;
    }
    more = config_alloc(c, MAX(count, 1), sizeof(*more));
    for (size_t i = 0; i < count; i++) {
        if (!config_scalar(config_key_at(n, i), &more[i].certificate) ||
            !is_path(more[i].certificate))
            config_report(c, config_key_at(n, i), "expected the absolute path of a certificate");
        else if (!config_scalar(config_at(n, i), &more[i].key) || !is_path(more[i].key))
            config_report(c, config_at(n, i), "expected the absolute path of its key");
    }
    tls->more = more;
    tls->more_count = count;
}
