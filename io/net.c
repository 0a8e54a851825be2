#include "io/net.h"

#include "common/memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 4096 };

static struct {
    struct net_address *addresses;
    size_t count;
} own;

static size_t bytes_of(const struct net_address *a)
{
    return a->family == AF_INET ? 4 : 16;
}

static unsigned bits_of(const struct net_address *a)
{
    return a->family == AF_INET ? 32 : 128;
}

void net_unmap(struct net_address *a)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

    if (a->family != AF_INET6 || memcmp(a->bytes, mapped, sizeof(mapped)) != 0)
        return;
    a->family = AF_INET;
    a->scope = 0;
    memmove(a->bytes, a->bytes + 12, 4);
    memset(a->bytes + 4, 0, 12);
}

/* IPv6 may end in "%2", an interface by number. By name would need a socket to look it up, and
 * addresses come from the network. */
static bool parse_scope(struct view *text, struct net_address *out)
{
    size_t percent = view_find(*text, '%');
    uint64_t scope;

    if (percent == text->len)
        return true;
    if (!view_has(*text, ':') || !view_to_u64(view_from(*text, percent + 1), UINT32_MAX, &scope))
        return false;
    out->scope = (uint32_t)scope;
    *text = view_sub(*text, 0, percent);
    return true;
}

bool net_parse_address(struct view text, struct net_address *out)
{
    char string[INET6_ADDRSTRLEN] = "";

    *out = (struct net_address){ 0 };
    if (!parse_scope(&text, out) || text.len >= sizeof(string) || view_has(text, '\0'))
        return false;
    if (text.len > 0)
        memcpy(string, text.ptr, text.len);
    out->family = view_has(text, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(out->family, string, out->bytes) != 1)
        return false;
    net_unmap(out);
    return true;
}

/* "192.0.2.1", "[2001:db8::1]", "*" */
static bool parse_host(struct view host, struct net_address *out)
{
    if (view_equal(host, VIEW("*"))) {
        *out = (struct net_address){ .family = AF_INET6 };
        return true;
    }
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        host = view_sub(host, 1, host.len - 2);
        return view_has(host, ':') && net_parse_address(host, out);
    }
    return !view_has(host, ':') && net_parse_address(host, out);
}

bool net_parse_address_port(struct view text, struct net_address *out)
{
    size_t colon = view_find_last(text, ':');
    uint64_t port;

    if (colon == text.len || !view_to_u64(view_from(text, colon + 1), UINT16_MAX, &port))
        return false;
    if (!parse_host(view_sub(text, 0, colon), out))
        return false;
    out->port = (uint16_t)port;
    return true;
}

bool net_parse_block(struct view text, struct net_block *out)
{
    size_t slash = view_find(text, '/');
    struct view address = view_sub(text, 0, slash);
    struct net_address network;
    uint64_t prefix;
    unsigned unmapped; /* bits that a mapped address lost */

    if (!net_parse_address(address, &out->base))
        return false;
    unmapped = out->base.family == AF_INET && view_has(address, ':') ? 96 : 0;
    prefix = bits_of(&out->base) + unmapped;
    if (slash < text.len && !view_to_u64(view_from(text, slash + 1), prefix, &prefix))
        return false;
    if (prefix < unmapped)
        return false;
    out->prefix = (unsigned)prefix - unmapped;
    network = net_prefix(&out->base, out->prefix, out->prefix);
    return memcmp(network.bytes, out->base.bytes, sizeof(network.bytes)) == 0;
}

bool net_print_address(const struct net_address *a, struct buf *out)
{
    char string[INET6_ADDRSTRLEN];

    if (inet_ntop(a->family, a->bytes, string, sizeof(string)) == NULL)
        return false;
    if (a->scope != 0)
        return buf_printf(out, "%s%%%u", string, a->scope);
    return buf_put(out, view_of(string));
}

bool net_print_address_port(const struct net_address *a, struct buf *out)
{
    char room[NET_ADDRESS_TEXT_MAX];
    struct buf address = BUF_ON_ARRAY(room);

    if (!net_print_address(a, &address))
        return false;
    if (a->family == AF_INET6)
        return buf_printf(out, "[%.*s]:%u", VIEW_ARG(buf_view(&address)), a->port);
    return buf_printf(out, "%.*s:%u", VIEW_ARG(buf_view(&address)), a->port);
}

bool net_print_reversed(const struct net_address *a, struct buf *out)
{
    const uint8_t *b = a->bytes;
    bool fits = true;

    if (a->family == AF_INET)
        return buf_printf(out, "%u.%u.%u.%u", b[3], b[2], b[1], b[0]);
    for (int i = 15; i >= 0 && fits; i--)
        fits = buf_printf(out, "%x.%x%s", b[i] & 0xf, b[i] >> 4, i > 0 ? "." : "");
    return fits;
}

bool net_equal(const struct net_address *a, const struct net_address *b)
{
    return a->family == b->family && a->scope == b->scope &&
           memcmp(a->bytes, b->bytes, bytes_of(a)) == 0;
}

static bool same_front(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned rest = bits % 8;

    if (memcmp(a, b, bits / 8) != 0)
        return false;
    return rest == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - rest)) == 0;
}

bool net_block_has(const struct net_block *b, const struct net_address *a)
{
    return b->base.family == a->family && same_front(b->base.bytes, a->bytes, b->prefix);
}

struct net_address net_prefix(const struct net_address *a, unsigned prefix4, unsigned prefix6)
{
    unsigned prefix = MIN(a->family == AF_INET ? prefix4 : prefix6, bits_of(a));
    struct net_address network = { .family = a->family, .scope = a->scope };

    memcpy(network.bytes, a->bytes, (prefix + 7) / 8);
    if (prefix % 8 != 0)
        network.bytes[prefix / 8] &= (uint8_t)(0xffu << (8 - prefix % 8));
    return network;
}

static bool any_has(const struct net_block *blocks, size_t count, const struct net_address *a)
{
    for (size_t i = 0; i < count; i++) {
        if (net_block_has(&blocks[i], a))
            return true;
    }
    return false;
}

bool net_is_loopback(const struct net_address *a)
{
    static const struct net_block blocks[] = {
        { { .family = AF_INET, .bytes = { 127 } }, 8 },
        { { .family = AF_INET6, .bytes = { [15] = 1 } }, 128 },
    };

    return any_has(blocks, COUNT_OF(blocks), a);
}

bool net_is_unusable(const struct net_address *a)
{
    /* clang-format off */
    static const struct net_block blocks[] = {
        { { .family = AF_INET,  .bytes = { 0 } },                    8 },   /* this network */
        { { .family = AF_INET,  .bytes = { 169, 254 } },             16 },  /* link-local */
        { { .family = AF_INET,  .bytes = { 224 } },                  4 },   /* multicast */
        { { .family = AF_INET,  .bytes = { 255, 255, 255, 255 } },   32 },  /* broadcast */
        { { .family = AF_INET6, .bytes = { 0 } },                    128 }, /* unspecified */
        { { .family = AF_INET6, .bytes = { 0xfe, 0x80 } },           10 },  /* link-local */
        { { .family = AF_INET6, .bytes = { 0xff } },                 8 },   /* multicast */
    };
    /* clang-format on */

    return a->family == 0 || any_has(blocks, COUNT_OF(blocks), a);
}

static bool from_interface(const struct ifaddrs *interface, struct net_address *out)
{
    struct sockaddr_storage address = { 0 };

    if (interface->ifa_addr == NULL)
        return false;
    if (interface->ifa_addr->sa_family == AF_INET)
        memcpy(&address, interface->ifa_addr, sizeof(struct sockaddr_in));
    else if (interface->ifa_addr->sa_family == AF_INET6)
        memcpy(&address, interface->ifa_addr, sizeof(struct sockaddr_in6));
    return net_from_sockaddr(&address, out);
}

int net_load_own(void)
{
    struct ifaddrs *all;
    size_t most = 0;

    if (getifaddrs(&all) < 0)
        return -errno;
    for (struct ifaddrs *i = all; i != NULL; i = i->ifa_next)
        most++;
    own.addresses = memory_grow(own.addresses, most + 1, sizeof(*own.addresses));
    own.count = 0;
    for (struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        if (from_interface(i, &own.addresses[own.count]))
            own.count++;
    }
    freeifaddrs(all);
    return 0;
}

bool net_is_own(const struct net_address *a)
{
    for (size_t i = 0; i < own.count; i++) {
        if (net_equal(&own.addresses[i], a))
            return true;
    }
    return net_is_loopback(a);
}

void net_to_sockaddr(const struct net_address *a, struct sockaddr_storage *out, socklen_t *len)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(a->port) };
    struct sockaddr_in6 in6 = {
        .sin6_family = AF_INET6,
        .sin6_port = htons(a->port),
        .sin6_scope_id = a->scope,
    };

    memset(out, 0, sizeof(*out));
    if (a->family == AF_INET) {
        memcpy(&in.sin_addr, a->bytes, sizeof(in.sin_addr));
        memcpy(out, &in, sizeof(in));
        *len = sizeof(in);
    } else {
        memcpy(&in6.sin6_addr, a->bytes, sizeof(in6.sin6_addr));
        memcpy(out, &in6, sizeof(in6));
        *len = sizeof(in6);
    }
}

bool net_from_sockaddr(const struct sockaddr_storage *in, struct net_address *out)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    *out = (struct net_address){ 0 };
    if (in->ss_family == AF_INET) {
        memcpy(&v4, in, sizeof(v4));
        out->port = ntohs(v4.sin_port);
        memcpy(out->bytes, &v4.sin_addr, sizeof(v4.sin_addr));
    } else if (in->ss_family == AF_INET6) {
        memcpy(&v6, in, sizeof(v6));
        out->port = ntohs(v6.sin6_port);
        out->scope = v6.sin6_scope_id;
        memcpy(out->bytes, &v6.sin6_addr, sizeof(v6.sin6_addr));
    } else {
        return false;
    }
    out->family = (uint8_t)in->ss_family;
    net_unmap(out);
    return true;
}

static void set_option(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof(value));
}

static bool is_any(const struct net_address *a)
{
    static const uint8_t zero[16];

    return memcmp(a->bytes, zero, bytes_of(a)) == 0;
}

static int open_stream(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    return fd < 0 ? -errno : fd;
}

static int bind_and_listen(int fd, const struct sockaddr *address, socklen_t len)
{
    if (bind(fd, address, len) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
        return -errno;
    return 0;
}

static int listen_on(const struct net_address *a)
{
    struct sockaddr_storage address;
    socklen_t len;
    int fd = open_stream(a->family);
    int err;

    if (fd < 0)
        return fd;
    net_to_sockaddr(a, &address, &len);
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* what is accepted inherits it */
    if (a->family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    err = bind_and_listen(fd, (const struct sockaddr *)&address, len);
    if (err < 0) {
        close(fd);
        return err;
    }
    return fd;
}

static const char *advice_on(int err)
{
    switch (-err) {
    case EADDRINUSE:
        return "; another program listens there";
    case EADDRNOTAVAIL:
        return "; no interface of this machine has that address";
    case EACCES:
        return "; ports below 1024 need root";
    default:
        return "";
    }
}

static int explain_listen(struct error *err, const struct net_address *a, int code)
{
    char room[NET_ADDRESS_TEXT_MAX];
    struct buf address = BUF_ON_ARRAY(room);

    net_print_address_port(a, &address);
    return error_set(err, code, "cannot listen on %.*s: %s%s", VIEW_ARG(buf_view(&address)),
                     strerror(-code), advice_on(code));
}

int net_listen(const struct net_address *a, struct error *err)
{
    int fd = listen_on(a);

    /* Without IPv6 in the kernel, "*" is what there is. */
    if ((fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) && a->family == AF_INET6 && is_any(a)) {
        struct net_address all4 = { .family = AF_INET, .port = a->port };

        fd = listen_on(&all4);
    }
    return fd < 0 ? explain_listen(err, a, fd) : fd;
}

/* 0: whatever listened there is gone, and so is its file now. */
static int remove_stale(const struct sockaddr_un *address)
{
    struct stat st;
    int fd, err = 0;

    if (lstat(address->sun_path, &st) < 0)
        return -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    fd = open_stream(AF_UNIX);
    if (fd < 0)
        return fd;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
        err = -EADDRINUSE;
    else if (errno != ECONNREFUSED)
        err = errno == EAGAIN ? -EADDRINUSE : -errno;
    else if (unlink(address->sun_path) < 0)
        err = -errno;
    close(fd);
    return err;
}

/* The mode has to be right from the first moment on. */
static int bind_with_mode(int fd, const struct sockaddr_un *address, unsigned mode)
{
    mode_t before = umask(~(mode_t)mode & 0777);
    int err = bind_and_listen(fd, (const struct sockaddr *)address, sizeof(*address));

    umask(before);
    return err;
}

int net_listen_unix(const char *path, unsigned mode, struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(path);
    int fd, result;

    if (len >= sizeof(address.sun_path))
        return error_set(err, -ENAMETOOLONG,
                         "cannot listen on %s: the path has more than %zu bytes", path,
                         sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, path, len);
    fd = open_stream(AF_UNIX);
    if (fd < 0)
        return error_set(err, fd, "cannot listen on %s: %s", path, strerror(-fd));
    result = bind_with_mode(fd, &address, mode);
    if (result == -EADDRINUSE) {
        result = remove_stale(&address);
        if (result == 0)
            result = bind_with_mode(fd, &address, mode);
    }
    if (result == 0)
        return fd;
    close(fd);
    return error_set(err, result, "cannot listen on %s: %s", path, strerror(-result));
}

int net_accept(int listener, struct net_address *peer)
{
    struct sockaddr_storage address = { 0 };
    socklen_t len = sizeof(address);
    int fd = accept4(listener, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return -errno;
    (void)!net_from_sockaddr(&address, peer); /* a peer on a UNIX socket has none */
    return fd;
}

static int bind_source(int fd, const struct net_address *source)
{
    struct sockaddr_storage address;
    socklen_t len;

    /* The port is chosen at connect, when the other end is known: no early exhaustion. */
    set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    net_to_sockaddr(source, &address, &len);
    return bind(fd, (const struct sockaddr *)&address, len) < 0 ? -errno : 0;
}

int net_connect(const struct net_address *to, const struct net_address *source)
{
    struct sockaddr_storage address;
    socklen_t len;
    int fd = open_stream(to->family);
    int err = 0;

    if (fd < 0)
        return fd;
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (source != NULL)
        err = bind_source(fd, source);
    if (err < 0)
        goto refuse;
    net_to_sockaddr(to, &address, &len);
    if (connect(fd, (const struct sockaddr *)&address, len) < 0 && errno != EINPROGRESS) {
        err = -errno;
        goto refuse;
    }
    return fd;
refuse:
    close(fd);
    return err;
}

int net_connect_unix(struct view path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd;
    int err = 0;

    if (path.len == 0 || path.len > NET_PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path.ptr, path.len);
    fd = open_stream(AF_UNIX);
    if (fd < 0)
        return fd;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS)
        err = -errno;
    if (err == 0)
        return fd;
    close(fd);
    return err;
}

int net_connect_result(int fd)
{
    int err = 0;
    socklen_t len = sizeof(err);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        return -errno;
    return -err;
}
