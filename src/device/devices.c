#include "device/devices.h"
#include "device/dev_npu.h"

#include <stdio.h>
#include <string.h>

const ts_device *const ts_devices[] = {&ts_device_npu, &ts_device_npu_sim, NULL};

/* A piece of the text, and the character that ended it. */
typedef struct piece {
    const char *at;
    size_t len;
    char end;
} piece;

static piece cut(const char **text, const char *ends) {
    piece p = {.at = *text, .len = strcspn(*text, ends)};
    p.end = p.at[p.len];
    *text += p.len + (p.end != 0);
    return p;
}

static bool is(const piece *p, const char *word) {
    return strlen(word) == p->len && !memcmp(p->at, word, p->len);
}

/* For messages: a piece may be as long as it likes. */
static int shown(const piece *p) {
    return p->len < 60 ? (int)p->len : 60;
}

static void list_known(char *buf, size_t len, const ts_device *const *known) {
    snprintf(buf, len, "cpu");
    for (; *known; known++) snprintf(buf + strlen(buf), len - strlen(buf), ", %s", (*known)->name);
}

static void list_options(char *buf, size_t len, const ts_device *d) {
    *buf = 0;
    for (const ts_device_option *o = d->option; o->name; o++)
        snprintf(buf + strlen(buf), len - strlen(buf), "%s%s%s, ", o->name, o->words || o->most ? "=" : "",
                 o->words  ? o->words
                 : o->most ? "N"
                           : "");
    snprintf(buf + strlen(buf), len - strlen(buf), "rows=N%%, allow-cpu-ops");
}

/* Decimal digits and nothing else. */
static bool number(const char *at, size_t len, uint64_t most, uint64_t *out) {
    uint64_t v = 0;
    if (!len) return false;
    for (size_t i = 0; i < len; i++) {
        if (at[i] < '0' || at[i] > '9' || __builtin_mul_overflow(v, UINT64_C(10), &v) ||
            __builtin_add_overflow(v, (uint64_t)(at[i] - '0'), &v))
            return false;
    }
    *out = v;
    return v <= most;
}

static bool word(const char *words, const piece *value, uint64_t *out) {
    for (uint64_t i = 0; *words; i++) {
        const piece w = cut(&words, "|");
        if (w.len == value->len && !memcmp(w.at, value->at, w.len)) {
            *out = i;
            return true;
        }
    }
    return false;
}

static ts_status bad_value(const ts_device *d, const piece *name, const piece *value, const char *wanted, ts_err *err) {
    return ts_fail(err, TS_E_INVAL, "device %s: %.*s=%.*s: it takes %s", d->name, shown(name), name->at, shown(value),
                   value->at, wanted);
}

static ts_status put(ts_device_choice *c, const ts_device_option *o, const piece *name, uint64_t v, ts_err *err) {
    if (c->given[o->slot] && c->value[o->slot] != v)
        return ts_fail(err, TS_E_INVAL, "device %s: %.*s contradicts an option before it", c->device->name,
                       shown(name), name->at);
    c->value[o->slot] = v;
    c->given[o->slot] = true;
    return TS_OK;
}

/* One that every device has: false where it is none. */
static bool common_option(ts_device_plan *plan, ts_device_choice *c, const piece *name, const piece *value,
                          ts_status *s, ts_err *err) {
    uint64_t percent = 0;
    *s = TS_OK;
    if (is(name, "allow-cpu-ops") && !value) {
        plan->allow_cpu_ops = true;
        return true;
    }
    if (!is(name, "rows") || !value) return false;
    if (value->len < 2 || value->at[value->len - 1] != '%' || !number(value->at, value->len - 1, 100, &percent) ||
        !percent)
        *s = bad_value(c->device, name, value, "1% to 100%", err);
    c->percent = (uint32_t)percent;
    return true;
}

static ts_status take_option(ts_device_plan *plan, ts_device_choice *c, piece p, ts_err *err) {
    const char *eq = memchr(p.at, '=', p.len);
    piece name = p, value = {0};
    char list[200];
    ts_status s;
    uint64_t v;
    if (eq) {
        name.len = (size_t)(eq - p.at);
        value = (piece){.at = eq + 1, .len = p.len - name.len - 1};
    }
    if (common_option(plan, c, &name, eq ? &value : NULL, &s, err)) return s;
    for (const ts_device_option *o = c->device->option; o->name; o++) {
        if (!is(&name, o->name) || !eq != (!o->words && !o->most)) continue;
        if (!eq) return put(c, o, &name, o->is, err);
        if (o->words && !word(o->words, &value, &v)) return bad_value(c->device, &name, &value, o->words, err);
        if (!o->words && !number(value.at, value.len, o->most, &v)) {
            snprintf(list, sizeof list, "a number up to %llu", (unsigned long long)o->most);
            return bad_value(c->device, &name, &value, list, err);
        }
        return put(c, o, &name, v, err);
    }
    list_options(list, sizeof list, c->device);
    return ts_fail(err, TS_E_INVAL, "device %s: unknown option \"%.*s\"; known: %s", c->device->name, shown(&p), p.at,
                   list);
}

static ts_status take_device(ts_device_plan *plan, const char **text, bool *more, const ts_device *const *known,
                             ts_err *err) {
    ts_device_choice *c = &plan->use[plan->n];
    piece p = cut(text, ":+");
    char list[200];
    list_known(list, sizeof list, known);
    for (; *known; known++)
        if (is(&p, (*known)->name)) c->device = *known;
    if (!c->device && is(&p, "cpu"))
        return ts_fail(err, TS_E_INVAL, "device cpu: it stands alone, without options; it has the rows that the others "
                                        "do not: NAME:rows=N%%");
    if (!c->device)
        return ts_fail(err, TS_E_INVAL, "unknown device \"%.*s\"; known: %s", shown(&p), p.at, list);
    plan->n++;
    bool options = p.end == ':';
    while (options) {
        p = cut(text, ",+");
        TS_TRY(take_option(plan, c, p, err));
        options = p.end == ',';
    }
    *more = p.end == '+';
    return TS_OK;
}

/* Each one's share; the last has what is left. */
static ts_status share(ts_device_plan *plan, ts_err *err) {
    uint32_t left = 100;
    for (int i = 0; i < plan->n; i++) {
        ts_device_choice *c = &plan->use[i];
        if (!c->percent && i + 1 < plan->n)
            return ts_fail(err, TS_E_INVAL, "device %s: with another behind it, it needs rows=N%%", c->device->name);
        if (!c->percent) c->percent = left;
        if (!c->percent || c->percent > left)
            return ts_fail(err, TS_E_INVAL, "device %s: rows: there are %u%% left for it", c->device->name, left);
        left -= c->percent;
    }
    return TS_OK;
}

ts_status ts_device_parse(ts_device_plan *out, const char *text, const ts_device *const *known, ts_err *err) {
    ts_device_plan plan = {0};
    bool more = text && strcmp(text, "cpu") != 0;
    while (more) {
        if (plan.n == TS_DEVICES_AT_ONCE)
            return ts_fail(err, TS_E_INVAL, "more than %d devices at once", TS_DEVICES_AT_ONCE);
        TS_TRY(take_device(&plan, &text, &more, known, err));
    }
    TS_TRY(share(&plan, err));
    *out = plan;
    return TS_OK;
}
