/* page.c - the files of the page by their paths. The table is written by page/embed.py. */
#include "server/page.h"

#include <string.h>

extern const srv_page_file srv_page_table[]; /* ends with a path NULL */

const srv_page_file *srv_page_find(const char *path) {
    for (const srv_page_file *f = srv_page_table; f->path; f++)
        if (!strcmp(f->path, path)) return f;
    return NULL;
}

/* A list of tags, `W/` in front of any, or `*`; a tag has no quotation mark inside, so that it is found as a text. */
bool srv_page_same(const srv_page_file *f, const char *if_none_match) {
    if (!if_none_match) return false;
    return strstr(if_none_match, f->etag) || !strcmp(if_none_match, "*");
}
