/* conformer.h - the conformer's pools */
#ifndef SHOAL_CONFORMER_H
#define SHOAL_CONFORMER_H

#include "model/model.h"

/* Bind blocks and norm sets; free what that took, in any state of it. */
void shoal__conformer_bind(shoal__binder *b);
void shoal__conformer_unbind(shoal_model *m);

#endif
