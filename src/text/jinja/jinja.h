/* jinja.h - chat templates: the part of Jinja2 that Hugging Face's templates use, evaluated in a sandbox.
 * docs/models/jinja.md lists what is there and where it differs from Jinja2. */
#ifndef TS_TEXT_JINJA_JINJA_H
#define TS_TEXT_JINJA_JINJA_H

#include "base/mem.h"

#include <jansson.h>
#include <stdint.h>

typedef struct ts_jinja ts_jinja; /* a parsed template: immutable, may be rendered by several threads at once */

/* Parse `text` (UTF-8, copied). trim_blocks and lstrip_blocks are on and one newline at the end of the text is
 * dropped, as transformers compiles templates. Errors, each "line L, column C: ...": TS_E_FORMAT, TS_E_UNSUPP (a tag
 * or filter of Jinja2 that is not there), TS_E_LIMIT (size, nesting); TS_E_NOMEM. */
TS_NODISCARD ts_status ts_jinja_parse(ts_jinja **out, const char *text, size_t len, ts_err *err);
void ts_jinja_free(ts_jinja *t); /* NULL-safe */

typedef struct ts_jinja_opts { /* zero-initialise */
    /* local wall-clock time as seconds since 1970-01-01T00:00:00 *without* any time zone (as if UTC), for
     * strftime_now; the caller asks the clock */
    int64_t now;
    /* 0: 200 million, which no sane template reaches; a step is a node evaluated or 16 bytes handled */
    uint64_t max_steps;
    uint32_t max_depth;  /* 0: 1000 nested evaluations */
    size_t max_output;   /* bytes of the output, and of any one string; 0: 64 MiB */
    size_t max_memory;   /* bytes of all values; 0: 512 MiB */
    const char *const *trusted; /* names of context variables whose strings count as the template's own text (bos_token,
                                   ...); NULL-ended; NULL: none */
} ts_jinja_opts;

/* The output, and which of it came from the context's data (messages, tools, documents, ...) and not from the
 * template's own text: `data` lists ascending, disjoint, non-empty [begin, end) byte ranges of `text`. */
typedef struct ts_jinja_range {
    size_t begin, end;
} ts_jinja_range;
typedef struct ts_jinja_out { /* zero-initialise; ts_jinja_out_free */
    ts_buf text;
    ts_jinja_range *data;
    size_t n_data, cap_data;
} ts_jinja_out;
void ts_jinja_out_free(ts_jinja_out *o);

/* Render with the variables of `context` (a JSON object, only read; NULL: no variables) and replace what `out` held.
 * Marks follow text through every filter, method, slice, concatenation, macro and tojson: a byte is data where the
 * character that it was made from is. The "role" of an element of `messages` counts as the template's own where it
 * is one of a fixed list of role names (Phi writes '<|' + role + '|>'). Errors: TS_E_INVAL with "line L, column C:
 * ..." where the template raises (raise_exception) or an operation fails (undefined, wrong type); TS_E_UNSUPP for a
 * feature that is not there; TS_E_LIMIT; TS_E_NOMEM. `out` is untouched on failure. */
TS_NODISCARD ts_status ts_jinja_render(const ts_jinja *t, const json_t *context, const ts_jinja_opts *opts,
                                       ts_jinja_out *out, ts_err *err);

#endif
