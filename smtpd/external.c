#include "smtpd/external.h"

#include "io/log.h"

struct view external_login(const struct settings *s, const struct tls *t)
{
    for (size_t i = 0; t != NULL && i < s->auth.certificate_count; i++) {
        if (tls_client_is(t, s->auth.certificates[i].name))
            return s->auth.certificates[i].login;
    }
    return VIEW_EMPTY;
}

enum login_result external_decide(const struct session *s, struct view login, struct view authzid)
{
    bool fits = login.len > 0 && (authzid.len == 0 || view_equal(authzid, login));

    if (fits)
        log_info("login_accepted", LOG_ID("session", s->id), LOG_STRING("client", s->client_text),
                 LOG_STRING("mechanism", "EXTERNAL"), LOG_VIEW("login", login));
    else
        log_info("login_refused", LOG_ID("session", s->id), LOG_STRING("client", s->client_text),
                 LOG_STRING("mechanism", "EXTERNAL"), LOG_VIEW("login", login),
                 LOG_STRING("reason", "a login may not act for another"));
    return fits ? LOGIN_OK : LOGIN_REFUSED;
}
