#include "local/mailbox.h"

#include "mail/address.h"

enum { NAMES_MAX = 2 };

/* RFC 5321, 4.1.1.3: postmaster needs no domain. */
static bool read_recipient(struct view text, struct address *out)
{
    if (view_equal_nocase(text, VIEW("postmaster"))) {
        *out = (struct address){ .local = text };
        return true;
    }
    return address_parse(text, true, out);
}

static bool name_safe(struct view name)
{
    static const struct view others = VIEW_INIT("._-+@");

    if (name.len == 0 || name.len > 255 || name.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (!byte_is_digit(c) && !(c >= 'a' && c <= 'z') && !view_has(others, c))
            return false;
    }
    return true;
}

bool mailbox_take_name(struct view *folder, struct view *name)
{
    if (folder->len == 0)
        return false;
    *name = view_take_until(folder, '/');
    return true;
}

/* The settings promise it; a path is looked at once more before it is one. */
static bool folder_safe(struct view folder)
{
    struct view name;
    unsigned names = 0;

    if (folder.len == 0 || folder.ptr[folder.len - 1] == '/')
        return false;
    while (mailbox_take_name(&folder, &name)) {
        if (++names > NAMES_MAX || !name_safe(name))
            return false;
    }
    return true;
}

enum mailbox_answer mailbox_find(const struct settings *s, struct view recipient,
                                 struct buf *folder)
{
    struct address address;
    enum mailbox_answer found;

    if (!read_recipient(recipient, &address))
        return MAILBOX_NONE;
    found = settings_mailbox(s, &address, folder);
    return found == MAILBOX_HERE && !folder_safe(buf_view(folder)) ? MAILBOX_NONE : found;
}
