/* From a recipient to the folder of its mailbox. */
#ifndef LOCAL_MAILBOX_H
#define LOCAL_MAILBOX_H

#include "common/buf.h"
#include "ipc/settings.h"

enum { MAILBOX_FOLDER_MAX = 512 }; /* bytes of a folder's name */

/* The folder below maildir.root, appended to `folder`. MAILBOX_NONE: nobody has this address (any
 * more). What comes out is safe to open part by part: one or two names of a-z 0-9 . _ - + @ that do
 * not begin with a dot. */
enum mailbox_answer mailbox_find(const struct settings *s, struct view recipient,
                                 struct buf *folder) MUST_USE;

/* The next name of a folder, from its front; false at the end. */
bool mailbox_take_name(struct view *folder, struct view *name) MUST_USE;

#endif
