/* The files that a configuration names, as the processes will read them when they start. */
#include "tools/check_files.h"

#include "common/memory.h"
#include "io/tls.h"
#include "io/tls_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MOST = 16 << 20 }; /* bytes; bundles of authorities have some 200 KiB */

/* ---- one file ---- */

static bool is_private(struct config *c, struct config_node *n, int fd)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && (st.st_mode & S_IRWXO) == 0)
        return true;
    config_report(c, n, "this file may be read by everybody: chmod 600 it");
    return false;
}

static bool take_all(struct config *c, struct config_node *n, int fd, struct buf *bytes)
{
    ssize_t got = 1;

    buf_new(bytes, FILE_MOST);
    while (got > 0) {
        size_t room;
        char *tail = buf_tail(bytes, &room);

        got = read(fd, tail, room);
        if (got > 0)
            buf_extend(bytes, (size_t)got);
    }
    if (got < 0)
        config_report(c, n, "this file cannot be read: %s", strerror(errno));
    return got == 0;
}

/* What it has is in *bytes, which buf_free gives back in any case. Who may not read it, but is not
 * who starts Tern either, is told that nobody looked. */
static bool read_file(struct config *c, struct config_node *n, struct view path, bool secret,
                      struct buf *bytes)
{
    char *name = memory_copy(path);
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    bool whole = false;

    *bytes = (struct buf){ 0 };
    free(name);
    if (fd >= 0) {
        whole = (!secret || is_private(c, n, fd)) && take_all(c, n, fd, bytes);
        close(fd);
    } else if (errno == EACCES && geteuid() != 0) {
        config_warn(c, n, "you may not read this file, so nobody has looked at it");
    } else {
        config_report(c, n, "this file cannot be read: %s", strerror(errno));
    }
    return whole;
}

/* ---- what is in it ---- */

/* The certificate and key of this server, as smtpd and keys take them. */
static void check_certificate(struct config *c, struct config_node *certificate_node,
                              struct view certificate_path, struct config_node *key_node,
                              struct view key_path)
{
    struct tls_signer signer = { NULL };
    struct tls_context *context = NULL, *whole = NULL;
    struct buf certificate, secret;
    struct error err = { "" };
    bool read = read_file(c, certificate_node, certificate_path, false, &certificate);

    read = read_file(c, key_node, key_path, true, &secret) && read;
    if (read && tls_server_serve(&context, buf_view(&certificate), &signer, 0, &err) < 0)
        config_report(c, certificate_node, "%s", err.text);
    else if (read &&
             (whole = tls_server_new(buf_view(&certificate), buf_view(&secret), &err)) == NULL)
        config_report(c, key_node, "%s", err.text);
    tls_context_free(&context);
    tls_context_free(&whole);
    buf_free(&certificate);
    buf_free(&secret);
}

static void check_authorities(struct config *c, struct config_node *n, struct view path)
{
    struct tls_context *context;
    struct buf bytes;
    struct error err = { "" };

    if (path.len == 0 || n == NULL)
        return;
    if (read_file(c, n, path, false, &bytes)) {
        context = buf_len(&bytes) == 0 ? NULL : tls_client_new(buf_view(&bytes), &err);
        if (context == NULL)
            config_report(c, n, "%s", err.text[0] == '\0' ? "this file is empty" : err.text);
        tls_context_free(&context);
    }
    buf_free(&bytes);
}

static void check_secret(struct config *c, struct config_node *n, struct view path)
{
    struct buf bytes;

    if (path.len == 0)
        return;
    if (read_file(c, n, path, true, &bytes) && view_find(buf_view(&bytes), '\n') == 0)
        config_report(c, n, "the first line of this file is empty: it is the password or token");
    buf_free(&bytes);
}

/* ---- all files ---- */

static void check_tls(struct config *c, const struct tls_settings *tls)
{
    struct config_node *n = config_find(config_root(c), "tls");
    struct config_node *more = config_find(n, "certificates");

    if (tls->certificate.len > 0)
        check_certificate(c, config_find(n, "certificate"), tls->certificate, config_find(n, "key"),
                          tls->key);
    for (size_t i = 0; i < tls->more_count; i++)
        check_certificate(c, config_key_at(more, i), tls->more[i].certificate, config_at(more, i),
                          tls->more[i].key);
    check_authorities(c, config_find(n, "trust-anchors"), tls->trust_anchors);
}

static void check_route(struct config *c, struct config_node *n, const struct route_settings *r)
{
    check_authorities(c, config_find(n, "ca"), r->ca);
    check_secret(c, config_find(n, "auth-password"), r->auth_password);
    check_secret(c, config_find(n, "auth-token"), r->auth_token);
}

void check_files(struct config *c, const struct settings *s)
{
    struct config_node *auth = config_find(config_root(c), "auth");
    struct config_node *routes = config_find(config_root(c), "routes");

    check_tls(c, &s->tls);
    check_authorities(c, config_find(auth, "client-ca"), s->auth.client_ca);
    for (size_t i = 0; i < s->route_count; i++)
        check_route(c, config_at(routes, i), &s->routes[i]);
}
