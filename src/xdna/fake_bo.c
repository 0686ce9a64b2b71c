/* Buffers of the fake node: the heap and its pieces, what is shared, where it is mapped and for how long it lives.
 * As in the kernel a closed handle is only a handle less: mappings, commands, contexts and pieces of the heap keep
 * what they need. */
#define _GNU_SOURCE /* MAP_FIXED_NOREPLACE */
#include "xdna/fake_int.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define BROKEN(f, which, error, ...) fake_broken(f, TS_FAKE_RULE_##which, error, __VA_ARGS__)
#define FIRST_OFFSET                 (UINT64_C(1) << 32) /* map offsets below are no buffer's */

/* ---- objects ----------------------------------------------------------------------------------------------------- */

fake_bo *fake_find_bo(const fake_client *c, uint32_t handle) {
    for (size_t i = 0; handle && i < c->n_bos; i++)
        if (c->bos[i]->handle == handle) return c->bos[i];
    return NULL;
}

fake_mem *fake_bo_mem(const fake_client *c, fake_bo *bo, size_t *off) {
    if (bo->type != TS_UAPI_BO_DEV) {
        *off = 0;
        return &bo->mem;
    }
    *off = (size_t)(bo->dev_addr - TS_HEAP_BASE);
    return &c->heap->mem;
}

uint64_t fake_bo_addr(const fake_bo *b) {
    return b->dev_addr ? b->dev_addr : (uint64_t)(uintptr_t)b->mem.user;
}

bool fake_heap_mapped(const ts_fake *f, const fake_client *c) {
    return fake_by_iova(f) ? c->heap->told != 0 : c->heap->mem.user != NULL;
}

static void free_bo(fake_bo *bo) {
    if (bo->mem.user) munmap(bo->mem.user, bo->size);
    if (bo->type != TS_UAPI_BO_DEV) fake_mem_free(&bo->mem);
    ts_free(bo);
}

void fake_put_bo(fake_client *c, fake_bo *bo) {
    if (bo->handle || bo->own || bo->busy || bo->pins || bo->mem.user || bo == c->heap) return;
    for (size_t i = 0; i < c->n_bos; i++)
        if (c->bos[i] == bo) {
            c->bos[i] = c->bos[--c->n_bos];
            break;
        }
    if (bo->type == TS_UAPI_BO_DEV) c->heap->pins--; /* the heap itself lives as long as its file */
    free_bo(bo);
}

void fake_free_bos(fake_client *c) {
    for (size_t i = 0; i < c->n_bos; i++) free_bo(c->bos[i]);
    ts_free(c->bos);
    c->bos = NULL;
    c->n_bos = c->cap_bos = 0;
    c->heap = NULL;
}

bool fake_has_maps(const fake_client *c) {
    for (size_t i = 0; i < c->n_bos; i++)
        if (c->bos[i]->mem.user) return true;
    return false;
}

static fake_bo *add_bo(fake_client *c, uint32_t type, uint64_t size) {
    if (!ts_grow((void **)&c->bos, &c->cap_bos, c->n_bos + 1, sizeof *c->bos)) return NULL;
    fake_bo *b = ts_calloc(1, sizeof *b);
    if (!b) return NULL;
    b->type = type;
    b->size = size;
    b->mem.fd = -1;
    c->bos[c->n_bos++] = b;
    return b;
}

/* Where the next piece of the heap begins, at or behind `at`. */
static uint64_t next_piece(const fake_client *c, uint64_t at) {
    uint64_t next = TS_HEAP_BASE + TS_HEAP_BYTES;
    for (size_t i = 0; i < c->n_bos; i++)
        if (c->bos[i]->type == TS_UAPI_BO_DEV && c->bos[i]->dev_addr >= at && c->bos[i]->dev_addr < next)
            next = c->bos[i]->dev_addr;
    return next;
}

/* The smallest hole that is large enough, as the kernel takes it, at the alignment that PDI addresses need; 0: none. */
static uint64_t best_hole(const fake_client *c, uint64_t size) {
    uint64_t best = 0, room = UINT64_MAX;
    for (size_t i = 0; i <= c->n_bos; i++) {
        const fake_bo *b = i < c->n_bos ? c->bos[i] : NULL;
        if (b && b->type != TS_UAPI_BO_DEV) continue;
        const uint64_t behind = b ? b->dev_addr + b->size : TS_HEAP_BASE;
        const uint64_t at = (behind + TS_DEV_BO_ALIGN - 1) & ~(uint64_t)(TS_DEV_BO_ALIGN - 1);
        const uint64_t end = next_piece(c, behind);
        if (at > end || end - at < size || end - behind > room || (end - behind == room && at > best)) continue;
        best = at;
        room = end - behind;
    }
    return best;
}

fake_bo *fake_add_dev_bo(fake_client *c, uint64_t size, int *error) {
    const uint64_t at = best_hole(c, size);
    *error = ENOSPC;
    if (!at) return NULL;
    *error = ENOMEM;
    fake_bo *b = add_bo(c, TS_UAPI_BO_DEV, size);
    if (!b) return NULL;
    b->dev_addr = at;
    c->heap->pins++;
    return b;
}

/* A buffer with memory of its own. */
static int add_memory(ts_fake *f, fake_client *c, uint32_t type, uint64_t size, fake_bo **out) {
    fake_bo *b = add_bo(c, type, size);
    if (!b) return -ENOMEM;
    int e = fake_mem_new(&b->mem, (size_t)size, f->o.coherent);
    if (e < 0) {
        fake_put_bo(c, b);
        return e;
    }
    *out = b;
    return 0;
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static int create_heap(ts_fake *f, fake_client *c, const struct ts_uapi_create_bo *a, fake_bo **out) {
    const bool is_7_3 = fake_is_7_3(f);
    if (a->size != TS_HEAP_BYTES)
        return BROKEN(f, HEAP_SIZE,
                      is_7_3 && a->size && a->size % TS_HEAP_BYTES == 0 ? ENOSPC
                      : !is_7_3 && !a->size                             ? ENOSPC
                                                                        : EINVAL,
                      "%llu bytes", (unsigned long long)a->size);
    if (c->heap) return BROKEN(f, HEAP_ONCE, is_7_3 ? ENOSPC : EBUSY, "a second heap");
    int e = add_memory(f, c, a->type, a->size, out);
    if (e < 0) return e;
    c->heap = *out;
    c->heap->dev_addr = TS_HEAP_BASE;
    return 0;
}

static int create_dev(ts_fake *f, fake_client *c, const struct ts_uapi_create_bo *a, fake_bo **out) {
    const int no_heap = fake_is_7_3(f) ? EAGAIN : EINVAL;
    int error = 0;
    if (!a->size) return BROKEN(f, BO_SIZE, EINVAL, "0 bytes");
    if (!c->heap) return BROKEN(f, HEAP_FIRST, no_heap, "no heap");
    if (!fake_heap_mapped(f, c)) return BROKEN(f, HEAP_FIRST, no_heap, "the heap is not mapped");
    if (a->size > TS_HEAP_BYTES) return -EINVAL;
    *out = fake_add_dev_bo(c, (a->size + FAKE_PAGE - 1) & ~(uint64_t)(FAKE_PAGE - 1), &error);
    return *out ? 0 : -error;
}

static int create_shared(ts_fake *f, fake_client *c, const struct ts_uapi_create_bo *a, fake_bo **out) {
    const bool is_packet = a->type == TS_UAPI_BO_CMD;
    if (!a->size) return BROKEN(f, BO_SIZE, is_packet && !fake_is_7_3(f) ? EINVAL : ENOSPC, "0 bytes");
    if (is_packet && (a->size < 4 || a->size > TS_CMD_BO_MAX))
        return BROKEN(f, CMD_SIZE, EINVAL, "%llu bytes", (unsigned long long)a->size);
    if (a->size > INT64_MAX - FAKE_PAGE) return -EINVAL;
    const uint64_t size = (a->size + FAKE_PAGE - 1) & ~(uint64_t)(FAKE_PAGE - 1);
    if (size > (UINT64_C(1) << 44)) return -ENOMEM;
    int e = add_memory(f, c, a->type, size, out);
    if (e < 0) return e;
    /* the hole shows transfers that go too far */
    if (fake_by_iova(f)) (*out)->dev_addr = f->next_iova -= size + FAKE_PAGE;
    return 0;
}

int fake_create_bo(ts_fake *f, fake_client *c, struct ts_uapi_create_bo *a) {
    fake_bo *b = NULL;
    int e;
    if (a->flags) return BROKEN(f, MUST_BE_ZERO, EINVAL, "flags");
    if (a->vaddr) return BROKEN(f, BO_USERPTR, EINVAL, "0x%llx", (unsigned long long)a->vaddr);
    switch (a->type) {
    case TS_UAPI_BO_DEV_HEAP: e = create_heap(f, c, a, &b); break;
    case TS_UAPI_BO_DEV: e = create_dev(f, c, a, &b); break;
    case TS_UAPI_BO_SHMEM:
    case TS_UAPI_BO_CMD: e = create_shared(f, c, a, &b); break;
    default: return BROKEN(f, BO_TYPE, EINVAL, "%u", a->type);
    }
    if (e < 0) return e;
    b->handle = a->handle = ++c->last_bo;
    b->map_offset = a->type == TS_UAPI_BO_DEV ? TS_UAPI_INVALID_ADDR : f->next_offset;
    f->next_offset += (b->size + FAKE_PAGE) & ~(uint64_t)(FAKE_PAGE - 1); /* never the same offset twice */
    return 0;
}

int fake_get_bo_info(ts_fake *f, fake_client *c, struct ts_uapi_get_bo_info *a) {
    if (a->ext || a->ext_flags || a->pad) return BROKEN(f, MUST_BE_ZERO, EINVAL, "ext, ext_flags or pad");
    const fake_bo *b = fake_find_bo(c, a->handle);
    if (!b) return BROKEN(f, BO_HANDLE, ENOENT, "%u", a->handle);
    uint64_t at = b->told;
    if (b->type == TS_UAPI_BO_DEV && c->heap->told) at = c->heap->told + (b->dev_addr - TS_HEAP_BASE);
    a->map_offset = b->map_offset;
    a->vaddr = at ? at : TS_UAPI_INVALID_ADDR;
    a->xdna_addr = TS_UAPI_INVALID_ADDR; /* kernels up to 6.18 do not say that it is where it is mapped */
    if (b->dev_addr) a->xdna_addr = b->dev_addr;
    else if (fake_is_7_3(f)) a->xdna_addr = a->vaddr;
    return 0;
}

int fake_sync_bo(ts_fake *f, fake_client *c, const struct ts_uapi_sync_bo *a) {
    fake_bo *b = fake_find_bo(c, a->handle);
    if (!b) return BROKEN(f, BO_HANDLE, ENOENT, "%u", a->handle);
    if (a->direction == TS_UAPI_SYNC_FROM_DEVICE) return BROKEN(f, SYNC_DIRECTION, EINVAL, "%u", a->direction);
    if (a->direction != TS_UAPI_SYNC_TO_DEVICE) BROKEN(f, SYNC_DIRECTION, 0, "%u", a->direction);
    uint64_t offset = a->offset, size = a->size, left = offset < b->size ? b->size - offset : 0;
    if (!size || size > left)
        BROKEN(f, SYNC_RANGE, 0, "%llu bytes at %llu of %llu", (unsigned long long)size, (unsigned long long)offset,
               (unsigned long long)b->size);
    if (size > left) size = left;
    if (f->o.profile == TS_FAKE_6_14) { /* always the whole buffer */
        offset = 0;
        size = b->size;
    }
    size_t off;
    fake_mem *m = fake_bo_mem(c, b, &off);
    fake_mem_flush(f, m, off + (size_t)offset, (size_t)size);
    return 0;
}

int fake_gem_close(ts_fake *f, fake_client *c, const struct ts_uapi_gem_close *a) {
    fake_bo *b = fake_find_bo(c, a->handle);
    if (!b) return BROKEN(f, BO_HANDLE, EINVAL, "%u", a->handle);
    if (a->pad) BROKEN(f, MUST_BE_ZERO, 0, "pad");
    if (b->busy) BROKEN(f, BUSY, 0, "buffer %u is closed while a command uses it", a->handle);
    if (b->mem.user) BROKEN(f, ORDER_OF_END, 0, "buffer %u is closed while it is mapped", a->handle);
    if (b->pins)
        BROKEN(f, ORDER_OF_END, 0, "%s",
               b == c->heap ? "the heap is closed before its buffers" : "the PDI of a context is closed");
    b->handle = 0;
    fake_put_bo(c, b);
    return 0;
}

/* ---- mappings ---------------------------------------------------------------------------------------------------- */

static fake_bo *bo_at(const fake_client *c, uint64_t offset) {
    for (size_t i = 0; i < c->n_bos; i++)
        if (c->bos[i]->handle && c->bos[i]->map_offset == offset) return c->bos[i];
    return NULL;
}

int fake_map(ts_fake *f, fake_client *c, void *want, size_t len, uint64_t offset, void **out) {
    if (offset == TS_UAPI_INVALID_ADDR) return BROKEN(f, MMAP_DEV, EINVAL, "a device buffer has no mapping of its own");
    fake_bo *b = bo_at(c, offset);
    if (!b) {
        int error = offset < FIRST_OFFSET && fake_is_7_3(f) ? EOPNOTSUPP : EINVAL;
        for (int i = 0; i < FAKE_CLIENTS; i++)
            if (bo_at(&f->client[i], offset)) error = EACCES;
        return BROKEN(f, MMAP_OFFSET, error, "0x%llx", (unsigned long long)offset);
    }
    if (len != b->size) return BROKEN(f, MMAP_LENGTH, EINVAL, "%zu of %llu bytes", len, (unsigned long long)b->size);
    if (b->mem.user) return BROKEN(f, MMAP_ONCE, EEXIST, "buffer %u", b->handle);
    void *p = mmap(want, len, PROT_READ | PROT_WRITE, MAP_SHARED | (want ? MAP_FIXED_NOREPLACE : 0), b->mem.fd, 0);
    if (p == MAP_FAILED) return -errno;
    if (want && p != want) {
        munmap(p, len);
        return -EEXIST;
    }
    if (b == c->heap && (!want || (uintptr_t)p % TS_HEAP_BYTES)) BROKEN(f, HEAP_ALIGN, 0, "%p", p);
    b->mem.user = p;
    if (fake_is_7_3(f) || !b->told) b->told = (uint64_t)(uintptr_t)p; /* older ones keep the first for good */
    *out = p;
    return 0;
}

fake_bo *fake_find_mapping(ts_fake *f, const void *addr, size_t len, fake_client **client) {
    for (int k = 0; k < FAKE_CLIENTS; k++)
        for (size_t i = 0; i < f->client[k].n_bos; i++) {
            fake_bo *b = f->client[k].bos[i];
            if (!b->mem.user) continue;
            uintptr_t base = (uintptr_t)b->mem.user, at = (uintptr_t)addr;
            if (at < base || at - base >= b->size || len > b->size - (at - base)) continue;
            *client = &f->client[k];
            return b;
        }
    return NULL;
}

int fake_unmap(ts_fake *f, fake_client **client, void *addr, size_t len) {
    fake_bo *b = fake_find_mapping(f, addr, len, client);
    if (!b || b->mem.user != addr || b->size != len) return BROKEN(f, MUNMAP, EINVAL, "%p, %zu bytes", addr, len);
    if (b->busy) { /* a kernel waits for them, for ever if need be */
        for (int i = 0; i < FAKE_CTXS; i++)
            while (f->ctx[i].client == *client && f->ctx[i].n_jobs && b->busy && fake_run_one(f, &f->ctx[i])) {}
        BROKEN(f, BUSY, 0, "buffer %u is unmapped while a command uses it", b->handle);
    }
    if (b == (*client)->heap && fake_has_ctx(f, *client) && !f->unplugged)
        BROKEN(f, ORDER_OF_END, 0, "the heap is unmapped under a context");
    munmap(addr, len);
    b->mem.user = NULL;
    if (f->o.profile == TS_FAKE_7_3) b->told = 0;
    fake_put_bo(*client, b);
    return 0;
}
