/* page.h - the web page of the server: its files, compiled in. No request becomes a path of the file system. */
#ifndef TS_SERVER_PAGE_H
#define TS_SERVER_PAGE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct srv_page_file {
    const char *path;          /* as in a request: "/", "/page/app.js" */
    const char *type;          /* of its content, for the header: "text/html; charset=utf-8" */
    const unsigned char *data; /* [len], not NUL-terminated; static storage, as everything here */
    size_t len;
    const char *etag; /* with its quotation marks; a hash of the content */
} srv_page_file;

/* The file at this path of a request (decoded, without "?..."); NULL: there is none. The page needs no key: it asks
 * for one when the API does. */
const srv_page_file *srv_page_find(const char *path);
/* Does an If-None-Match header (NULL: there was none) name this version? Then the answer is 304, without data. */
bool srv_page_same(const srv_page_file *f, const char *if_none_match);

#endif
