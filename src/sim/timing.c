#include "sim/timing.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *name, *unit, *source, *text;
    ts_sim_range range;
} table[] = {
#define TIMING(name, nominal, low, high, unit, source, text) {#name, unit, source, text, {nominal, low, high}},
#include "sim/timing.def"
#undef TIMING
};
enum { TABLE_LEN = sizeof table / sizeof *table };
static_assert(sizeof(ts_sim_timing) == TABLE_LEN * sizeof(ts_sim_range), "the struct is the table");

void ts_sim_timing_init(ts_sim_timing *t) {
    for (size_t i = 0; i < TABLE_LEN; i++)
        memcpy((char *)t + i * sizeof table[i].range, &table[i].range, sizeof table[i].range);
}

ts_status ts_sim_timing_set(ts_sim_timing *t, const char *name, uint32_t value, ts_err *err) {
    for (size_t i = 0; i < TABLE_LEN; i++) {
        if (strcmp(table[i].name, name)) continue;
        const ts_sim_range fixed = {value, value, value};
        memcpy((char *)t + i * sizeof fixed, &fixed, sizeof fixed);
        return TS_OK;
    }
    return ts_fail(err, TS_E_INVAL, "the simulator has no time called %s", name);
}

bool ts_sim_timing_print(const ts_sim_timing *t, ts_buf *out) {
    bool ok = true;
    for (size_t i = 0; i < TABLE_LEN && ok; i++) {
        ts_sim_range r;
        memcpy(&r, (const char *)t + i * sizeof r, sizeof r);
        ok = ts_buf_printf(out, "%-18s %6u", table[i].name, r.nominal) &&
             (r.low == r.high ? ts_buf_printf(out, "%13s", "") : ts_buf_printf(out, "  %5u-%-5u", r.low, r.high)) &&
             ts_buf_printf(out, " %-18s %-26s %s\n", table[i].unit, table[i].source, table[i].text);
    }
    return ok;
}

uint64_t ts_sim_submit_gap(void) {
    ts_sim_timing t;
    ts_sim_timing_init(&t);
    uint64_t all = (uint64_t)TS_SIM_SUBMIT_NS * TS_SIM_CLOCK_MHZ / 1000,
             inside = t.fw_launch.nominal + t.fw_cold.nominal;
    return all > inside ? all - inside : 0;
}
