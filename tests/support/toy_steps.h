/* toy_steps.h - a device for the steps that is no CPU, as far as the model can see: it writes down what it is given and
 * does it later, one token at a time on one thread, in memory of its own. The second implementation of ts_step_dev, to
 * keep the interface honest. */
#ifndef TS_TESTS_TOY_STEPS_H
#define TS_TESTS_TOY_STEPS_H

#include "model/step.h"

extern const ts_step_dev toy_steps;

/* What it has done, and has at present. */
typedef struct toy_count {
    long passes, steps; /* ends; steps carried out */
    long behind;        /* the most steps that waited at a time */
    long models, scratches, pages;
} toy_count;
extern toy_count toy_counts;

#endif
