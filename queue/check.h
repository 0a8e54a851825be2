/* Looks at a spool for damage, without changing anything: every record's CRC, every large body that
 * a message needs. A queue may run meanwhile: what seems damaged is looked at again, and counts
 * only when it is still so. */
#ifndef QUEUE_CHECK_H
#define QUEUE_CHECK_H

#include "common/error.h"

#include <stdbool.h>

enum check_result { CHECK_SOUND, CHECK_DAMAGED, CHECK_FAILED };

/* Of the spool in the working folder. The report goes to `fd`: a line for each damaged place, and a
 * last one with the numbers; with `json`, an object a line. CHECK_FAILED: *err says why. */
enum check_result check_spool(int fd, bool json, struct error *err);

#endif
