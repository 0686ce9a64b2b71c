/* lock.c - the counting semaphores of the tiles. */
#include "sim/array_int.h"

static sim_lock *lock_at(ts_array *a, int col, int row, unsigned number, ts_tile *of, unsigned *own) {
    if (col < 0 || row < 0) return NULL;
    sim_tile *t = sim_tile_at(a, ts_tile_at(col, row));
    if (!t || number >= t->info->n_locks) return NULL;
    *of = t->at;
    *own = number;
    return &t->lock[number];
}

/* South 0-15, west 16-31, north 32-47, own 48-63; only core tiles have locks that cores reach. */
sim_lock *sim_core_lock(ts_array *a, ts_tile t, unsigned number, ts_tile *of, unsigned *own) {
    static const int8_t dcol[4] = {0, -1, 0, 0}, drow[4] = {-1, 0, 1, 0};
    unsigned window = number / 16;
    if (window > 3 || t.row + drow[window] < a->o.chip->core_row) return NULL;
    return lock_at(a, t.col + dcol[window], t.row + drow[window], number % 16, of, own);
}

sim_lock *sim_dma_lock(ts_array *a, ts_tile t, unsigned number, ts_tile *of, unsigned *own) {
    if (ts_tile_kind_of(a->o.chip, t) != TS_TILE_MEM) return lock_at(a, t.col, t.row, number, of, own);
    if (number >= 3 * TS_MEM_OWN_LOCK) return NULL;
    return lock_at(a, t.col - 1 + (int)(number / TS_MEM_OWN_LOCK), t.row, number % TS_MEM_OWN_LOCK, of, own);
}

bool sim_acquire(ts_array *a, sim_lock *l, int32_t value) {
    (void)a;
    if (value < 0 ? l->value < -value : l->value != value) return false;
    l->value += value < 0 ? value : -value;
    return true;
}

void sim_wait_lock(sim_lock *l, sim_comp *c) {
    c->next = l->waiters;
    l->waiters = c;
    sim_sleep(c, TS_WAIT_LOCK);
}

static void changed(ts_array *a, sim_lock *l) {
    sim_comp *c = l->waiters;
    l->waiters = NULL;
    while (c) {
        sim_comp *next = c->next;
        c->next = NULL;
        sim_wake(a, c, a->now + sim_draw(a, c, a->timing.lock_wake));
        c = next;
    }
}

void sim_release(ts_array *a, ts_tile at, unsigned number, int32_t value) {
    sim_tile *t = sim_tile_at(a, at);
    sim_lock *l = &t->lock[number];
    int32_t v = l->value + value;
    if (v > TS_LOCK_VALUE_MAX) {
        t->lock_over |= 1ull << number;
        sim_mishap(a, "lock %u of %s overflows: %d%+d is more than %d", number, sim_tile_name(a, at).s, l->value, value,
                   TS_LOCK_VALUE_MAX);
        v = TS_LOCK_VALUE_MAX;
    } else if (v < 0) {
        t->lock_under |= 1ull << number;
        sim_mishap(a, "lock %u of %s underflows: %d%+d is less than 0", number, sim_tile_name(a, at).s, l->value,
                   value);
        v = 0;
    }
    l->value = v;
    changed(a, l);
}

void sim_lock_set(ts_array *a, ts_tile at, unsigned number, uint32_t value) {
    sim_lock *l = &sim_tile_at(a, at)->lock[number];
    if (value > TS_LOCK_VALUE_MAX)
        sim_mishap(a, "lock %u of %s is set to %u, it holds 0 to %d", number, sim_tile_name(a, at).s, value,
                   TS_LOCK_VALUE_MAX);
    l->value = (int32_t)(value & TS_LOCK_VALUE_MAX);
    changed(a, l);
}
