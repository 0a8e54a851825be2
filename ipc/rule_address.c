/* Addresses as rules look at them: however they are written, and for the recipient also without the
 * detail that is dropped on the way to the mailbox. Who refuses all@ means "a\\ll"@ and all+x@ too.
 */
#include "ipc/rules.h"
#include "ipc/settings.h"

/* Case does not matter to any who compares: only quotes make a difference. */
struct view rules_address(struct view text, struct buf *room)
{
    struct address a;

    if (text.len == 0 || text.ptr[0] != '"')
        return text;
    return address_parse(text, true, &a) && address_key(&a, room) ? buf_view(room) : text;
}

void rules_set_recipient(struct rule_facts *f, const struct settings *s, struct view text,
                         struct rules_recipient_room *room)
{
    struct buf key = BUF_ON_ARRAY(room->key), base = BUF_ON_ARRAY(room->base);
    struct address a;

    f->recipient = rules_address(text, &key);
    f->recipient_base = VIEW_EMPTY;
    if (address_parse(f->recipient, true, &a) && settings_drop_detail(s, &a) &&
        address_print(&a, &base))
        f->recipient_base = buf_view(&base);
}
