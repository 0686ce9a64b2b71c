#include "source/group_keys.h"

#include "base/mem.h"

/* 0: there are no groups. */
static uint32_t most_frequent(const ts_group_key key[], size_t n) {
    static const uint32_t sizes[] = {128, 64, 32};
    uint32_t most = 0;
    size_t most_n = 0;
    for (int k = 0; k < 3; k++) {
        size_t of_it = 0;
        for (size_t i = 0; i < n; i++) of_it += key[i].group == sizes[k];
        if (of_it > most_n) most = sizes[k], most_n = of_it;
    }
    return most;
}

ts_status ts_group_keys_put(ts_gguf_writer *w, const ts_group_key key[], size_t n, ts_err *err) {
    const uint32_t most = most_frequent(key, n);
    if (!most) return TS_OK;
    ts_buf text = {0};
    ts_span *other = ts_alloc(n, sizeof *other);
    size_t n_other = 0;
    bool ok = other != NULL;
    for (size_t i = 0; i < n && ok; i++) {
        const size_t before = text.len;
        if (key[i].group == most) continue;
        ok = ts_buf_printf(&text, "%s=%u", key[i].name, key[i].group);
        other[n_other++].len = text.len - before;
    }
    size_t at = 0;
    for (size_t i = 0; i < n_other && ok; i++) { /* now that the text stays where it is */
        other[i].data = (const uint8_t *)text.data + at;
        at += other[i].len;
    }
    if (ok) {
        ts_gguf_put_bool(w, TS_KEY_IMPORT_ZEROS, true);
        ts_gguf_put_u32(w, TS_KEY_IMPORT_GROUP, most);
        if (n_other) ts_gguf_put_strings(w, TS_KEY_IMPORT_GROUPS, other, n_other);
    }
    ts_free(other);
    ts_buf_free(&text);
    return ok ? TS_OK : ts_fail_nomem(err, "the sizes of groups", n * sizeof *other);
}
