#include "io/userfile.h"

#include "common/text.h"

static const struct view head = VIEW_INIT("tern-users-1 ");

bool userfile_login_valid(struct view login)
{
    for (size_t i = 0; i < login.len; i++) {
        unsigned char c = (unsigned char)login.ptr[i];

        if (c <= ' ' || c == 127)
            return false;
    }
    return login.len > 0 && login.len <= USERFILE_LOGIN_MAX && utf8_valid(login);
}

bool userfile_put_head(struct view secret, struct buf *out)
{
    return buf_put(out, head) && base64_encode(secret, out) && buf_put_byte(out, '\n');
}

bool userfile_put_user(struct view login, const struct scram_keys *keys, struct buf *out)
{
    return buf_put(out, login) && buf_put_byte(out, ' ') && scram_print_keys(keys, out) &&
           buf_put_byte(out, '\n');
}

bool userfile_take_head(struct view *rest, char *secret)
{
    struct buf out = buf_on(secret, USERFILE_SECRET_BYTES);
    struct view line;

    return view_take_line(rest, &line) && view_take(&line, head) && base64_decode(line, &out) &&
           buf_len(&out) == USERFILE_SECRET_BYTES;
}

enum userfile_result userfile_take_user(struct view *rest, struct view *login,
                                        struct scram_keys *keys)
{
    struct view line;

    if (!view_take_line(rest, &line))
        return USERFILE_END;
    *login = view_take_until(&line, ' ');
    if (!userfile_login_valid(*login) || !scram_parse_keys(line, keys))
        return USERFILE_MALFORMED;
    return USERFILE_USER;
}
