#include "base/json_write.h"
#include "cli/pieces.h"

#include "base/printable.h"
#include "cli/common.h"
#include "base/utf8.h"

/* The token's text between quotes, with what would disturb a terminal escaped. Bytes that are part of a character only
 * together with the next token are shown as \xNN. */
static bool quote(ts_buf *out, const char *s, size_t len) {
    if (!ts_buf_putc(out, '"')) return false;
    for (size_t i = 0; i < len;) {
        uint32_t c;
        size_t n = (size_t)ts_utf8_decode(s + i, len - i, &c);
        bool ok;
        if (n == 0) {
            ok = ts_buf_printf(out, "\\x%02x", (uint8_t)s[i]);
            n = 1;
        } else if (c == '"' || c == '\\') ok = ts_buf_printf(out, "\\%c", (char)c);
        else if (c == '\n') ok = ts_buf_puts(out, "\\n");
        else if (c == '\t') ok = ts_buf_puts(out, "\\t");
        else if (c == '\r') ok = ts_buf_puts(out, "\\r");
        else if (c < 0x20 || c == 0x7F) ok = ts_buf_printf(out, "\\x%02x", c);
        else if (n > 1) {
            char shown[24]; /* marks that reorder or hide text are escaped, everything else stays */
            ok = ts_buf_append(out, shown, ts_printable(shown, sizeof shown, s + i, n));
        } else ok = ts_buf_append(out, s + i, n);
        if (!ok) return false;
        i += n;
    }
    return ts_buf_putc(out, '"');
}

bool cli_pieces_ids(const ts_token *id, size_t n, ts_buf *out) {
    for (size_t i = 0; i < n; i++)
        if (!ts_buf_printf(out, "%s%d", i ? "," : "", id[i])) return false;
    return true;
}

/* The text of a token, quoted. `piece` is scratch. */
static bool quote_token(const ts_engine *e, ts_token id, bool json, ts_buf *out, ts_buf *piece) {
    size_t len;
    if (ts_engine_token_text(e, id, NULL, 0, &len, NULL) != TS_OK || !ts_buf_reserve(piece, len + 1) ||
        ts_engine_token_text(e, id, piece->data, len, &len, NULL) != TS_OK)
        return false;
    /* JSON knows only characters */
    return json ? ts_json_put_string(out, piece->data, len) : quote(out, piece->data, len);
}

bool cli_pieces_json(const ts_engine *e, const ts_token *id, size_t n, ts_buf *out) {
    ts_buf piece = {0};
    bool ok = ts_buf_puts(out, "\"tokens\":[") && cli_pieces_ids(id, n, out) && ts_buf_puts(out, "],\"pieces\":[");
    for (size_t i = 0; i < n && ok; i++)
        ok = (i == 0 || ts_buf_putc(out, ',')) && quote_token(e, id[i], true, out, &piece);
    ts_buf_free(&piece);
    return ok && ts_buf_putc(out, ']');
}

bool cli_pieces_lines(const ts_engine *e, const ts_token *id, size_t n, ts_buf *out) {
    ts_buf piece = {0};
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++)
        ok = ts_buf_printf(out, "%7d ", id[i]) && quote_token(e, id[i], false, out, &piece) && ts_buf_putc(out, '\n');
    ts_buf_free(&piece);
    return ok && ts_buf_printf(out, "%zu token%s", n, n == 1 ? "" : "s");
}
