/* search_avx2.c - floats to blocks by a search for scales. */
#include "kern/kern.h"
#include "kern/x86/v16_avx2.h"
#include "format/search_tmpl.h"

void ts_kern_init_avx2_search(ts_kern *k) { k->search = search_blocks; }
