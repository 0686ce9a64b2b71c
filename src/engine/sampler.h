/* sampler.h - what the engine's own files know about a sampler. */
#ifndef TS_ENGINE_SAMPLER_H
#define TS_ENGINE_SAMPLER_H

#include "tessera/tessera.h"

/* Of how many tokens it chooses. */
uint32_t ts_sampler_vocab(const ts_sampler *s);

#endif
