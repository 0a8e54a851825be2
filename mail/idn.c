#include "mail/idn.h"

#include "common/text.h"
#include "mail/address.h"

#include <idn2.h>
#include <stdio.h>

bool idn_domain(struct view domain, struct buf *out)
{
    char name[ADDRESS_DOMAIN_MAX + 1];
    char *ascii = NULL;
    bool fits;

    if (text_is_ascii(domain))
        return buf_put(out, domain);
    if (domain.len >= sizeof(name))
        return false;
    (void)snprintf(name, sizeof(name), "%.*s", VIEW_ARG(domain));
    if (idn2_to_ascii_8z(name, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
        return false;
    fits = buf_put(out, view_of(ascii));
    idn2_free(ascii);
    return fits;
}

bool idn_address(struct view address, struct buf *out)
{
    size_t at = view_find_last(address, '@');

    if (text_is_ascii(address))
        return buf_put(out, address);
    return at < address.len && text_is_ascii(view_sub(address, 0, at)) &&
           buf_put(out, view_sub(address, 0, at + 1)) &&
           idn_domain(view_from(address, at + 1), out);
}
