/* The format of alias files, aliases(5) of sendmail and its successors. Pure.
 *
 *   file    = *( comment / entry )
 *   entry   = name ":" target *( "," target )   ; lines that begin with a blank go on
 *   comment = "#" text, on a line of its own */
#ifndef MAIL_ALIASES_H
#define MAIL_ALIASES_H

#include "common/view.h"

enum aliases_result { ALIASES_END, ALIASES_NEXT, ALIASES_MALFORMED };

/* The next entry; *text moves behind it. Malformed: a line without ":", which is *targets. Views
 * borrow from *text; the name has its quotes still. */
enum aliases_result aliases_take_entry(struct view *text, struct view *name,
                                       struct view *targets) MUST_USE;
/* The next target of an entry, or of a file that is included: they stand between commas or on lines
 * of their own. Not empty, without blanks at its ends, with its quotes. False: that was all. */
bool aliases_take_target(struct view *targets, struct view *target) MUST_USE;

/* ":include:/path": takes the word away. */
bool aliases_take_include(struct view *target) MUST_USE;
/* A target that would run a program ("|...") or write to a file ("/..."), quoted or not. */
bool aliases_is_program(struct view target);
bool aliases_is_file(struct view target);

#endif
