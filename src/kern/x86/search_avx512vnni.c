/* search_avx512vnni.c - floats to blocks by a search for scales. */
#include "kern/kern.h"
#include "kern/x86/v16_avx512vnni.h"
#include "format/search_tmpl.h"

void ts_kern_init_avx512vnni_search(ts_kern *k) { k->search = search_blocks; }
