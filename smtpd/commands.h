/* Between session.c and the files with the commands. */
#ifndef SMTPD_COMMANDS_H
#define SMTPD_COMMANDS_H

#include "mail/address.h"
#include "smtpd/session.h"

/* What a handler decided. Every handler returns one, so no path can forget either the reply or
 * the state that follows. States before SESSION_MAIL, and SESSION_CLOSED, empty the transaction. */
struct step {
    enum session_state next;
    enum session_wish wish;
    unsigned code; /* 0: no reply yet, the wish is pending */
    const char *enhanced;
    const char *text;
};

struct step step_accept(enum session_state next, unsigned code, const char *enhanced,
                        const char *text);
/* The state stays. */
struct step step_refuse(const struct session *s, unsigned code, const char *enhanced,
                        const char *text);
struct step step_close(unsigned code, const char *enhanced, const char *text);
/* For MAIL, and for a message. */
struct step step_trouble(enum session_state next, enum spool_trouble t);

/* As a rule wants it. */
struct step step_rule(struct session *s, const struct rule *rule);
/* 220, or what a rule says to the client. */
struct step step_greet(struct session *s);

/* One command line, without its CRLF. `more_input`: the client did not wait for the answer. */
struct step command_run(struct session *s, struct view line, bool more_input, bool *of_mail);

/* "local@domain" as it was said; what was parsed lies together. */
struct view address_said(const struct address *a);
/* All sessions together have no more memory for addresses. */
bool addresses_short(const struct session *s);
/* Keeps the sender; false: no room. */
bool transaction_begin(struct session *s, const struct address *from) MUST_USE;

/* A message or a recipient within the rates: a step without a code, or a refusal. What a login has
 * too much may be held instead. */
struct step step_counted(struct session *s, enum rate_kind kind);
/* A limit of a rule is used up. */
struct step step_charged(struct session *s, const struct charge *c);

/* Parameters of MAIL and RCPT, by the extension they belong to: code 0 if nothing is wrong. */
struct step take_ret(struct session *s, struct view value);
struct step take_envid(struct session *s, struct view value);
struct step take_by(struct session *s, struct view value);
struct step take_holdfor(struct session *s, struct view value);
struct step take_holduntil(struct session *s, struct view value);
struct step take_priority(struct session *s, struct view value);
struct step take_notify(struct session *s, struct view value);
struct step take_orcpt(struct session *s, struct view value);

struct step run_mail(struct session *s, struct view args);
struct step run_rcpt(struct session *s, struct view args);
struct step run_data(struct session *s, struct view args);
struct step run_bdat(struct session *s, struct view args);
struct step run_starttls(struct session *s, struct view args);
struct step run_xclient(struct session *s, struct view args);
struct step run_auth(struct session *s, struct view args);

bool auth_offered(const struct session *s);
/* By the settings somebody can log in here; and only just now nobody can be checked. */
bool auth_configured(const struct session *s);
bool auth_away(const struct session *s);
/* The text of EHLO, with the mechanisms that this session can have. Until the next call. */
const char *auth_offer(const struct session *s, const char *ehlo);
/* A line that answers a challenge; one that is no line; what the auth process said. */
struct step auth_hear(struct session *s, struct view line);
struct step auth_refuse_line(const char *enhanced, const char *text);
struct step auth_challenge(struct session *s, struct view bytes);
struct step auth_end(struct session *s, enum login_result result, struct view login);
void auth_forget(struct session *s);
/* A login's message must be from its own addresses, and it is. */
bool auth_checks_from(const struct session *s);
bool auth_owns_from(const struct session *s);
/* AUTH= of MAIL */
struct step take_auth_parameter(struct session *s, struct view value);

/* Whether messages are put right here. */
bool submission_is_here(const struct session *s);
/* "<bob>" at the front of *args becomes "<bob@domain>", which lasts until the next call. */
void submission_qualify(const struct session *s, struct view *args);
enum { SUBMISSION_FIELDS_MAX = 512 }; /* bytes of the fields that are added */
/* Content goes by, with what is missing put in; then its end, when nothing is wrong. There must be
 * room for what so many bytes may grow by. */
size_t submission_growth(const struct session *s, size_t bytes);
void submission_put(struct session *s, struct view bytes);
void submission_end(struct session *s);

/* To what is kept of the message. There must be room. */
void content_keep(struct session *s, struct view bytes);
/* A message begins: it has an id from now on. */
void content_begin(struct session *s);
/* Content from the front of *input, up to its end. False: a file is needed first (WISH_OPEN). */
bool data_take(struct session *s, struct view *input) MUST_USE;
/* There is a file now, or there will be none: what waited goes on. */
void data_resume(struct session *s);
/* The end was read: refused, or to be committed. */
struct step data_finish(struct session *s);
/* The same of a chunk; chunk_left is 0 at its end. Between chunks it is refused or goes on. */
bool chunk_take(struct session *s, struct view *input) MUST_USE;
struct step chunk_finish(struct session *s);

#endif
