/* forms.h - constraints that requests have asked for lately, kept with the model that they were made for.
 *
 * Programs ask with the same schema or tools again and again. A constraint learns as it is used (which states there
 * are, which tokens they allow), so one that is kept costs the next request neither building nor learning. Its answers
 * are all the engine thread's, as sharing one asks for. */
#ifndef TS_SERVER_FORMS_H
#define TS_SERVER_FORMS_H

#include "tessera/tessera.h"

#include <pthread.h>

typedef struct srv_form srv_form;
enum { SRV_FORMS = 16 };

typedef struct srv_forms {
    pthread_mutex_t lock;
    srv_form *form[SRV_FORMS]; /* owned; the one used last in front */
} srv_forms;

void srv_forms_init(srv_forms *f);
void srv_forms_fini(srv_forms *f); /* nobody holds one any more */
/* The constraint of these options, held until srv_form_drop; made where it is not there. Errors: those of
 * ts_constraint_new. */
TS_NODISCARD ts_status srv_form_get(srv_forms *f, const ts_engine *e, const ts_constraint_opts *o, srv_form **out,
                                    ts_err *err);
void srv_form_drop(srv_forms *f, srv_form *form); /* NULL-safe */
ts_constraint *srv_form_constraint(const srv_form *form);

#endif
