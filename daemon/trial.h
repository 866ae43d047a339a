/* trial.h - shoald --check: would it start?
 *
 * Whatever a start would refuse is refused here, in the same words and with the same exit status:
 * the settings, the limit of descriptors, each address, the model (it is opened, with the products
 * that the settings ask for), the ready file. Nothing is left behind, and a server
 * that runs with these settings is no fault: its addresses may be taken.
 */
#ifndef SHOALD_TRIAL_H
#define SHOALD_TRIAL_H

#include "base/options.h"

/* c as loaded from o. 0, or -1 and why says cause and remedy. */
int shoald_trial_run(const shoald_options *o, const shoald_settings *c, char *why, size_t why_size);

/* A part of it that a start does as well: does one `listen` take what another one needs? */
int shoald_trial_compare_addresses(const shoald_settings *c, char *why, size_t why_size);

#endif
