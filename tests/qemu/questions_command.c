/* questions_command.c - commands. */
#include "questions.h"

#include <string.h>

/* ---- commands ---------------------------------------------------------------------------------------------------- */

/* The packet's words after a command, or what became of them. */
static void words_line(const client *c, const char *name, const uint32_t *before, size_t n) {
    size_t same = 0, ones = 0;
    for (size_t i = 1; i < n; i++) {
        same += c->words[i] == before[i];
        ones += c->words[i] == UINT32_MAX;
    }
    answer(name, "header 0x%08x, payload %s", c->words[0],
           same == n - 1   ? "kept"
           : ones == n - 1 ? "all ones"
                           : "changed");
}

static void command_good(client *c) {
    uint32_t before[PAGE / 4];
    if (!ready(c)) return;
    uint64_t seq = 99, next = 99;
    memcpy(before, c->words, PAGE);
    int r = exec(c, &seq);
    answer("good", "%s, number %llu", name_of(r), (unsigned long long)seq);
    result("wait for it", wait_for(c, c->sync, seq, 8000, TO_ALL));
    words_line(c, "packet after it", before, 9);
    write_packet(c);
    r = exec(c, &next);
    answer("the next", "%s, number %llu", name_of(r), (unsigned long long)next);
    result("wait for the next", wait_for(c, c->sync, next, 8000, TO_ALL));
    result("wait for the first once more", wait_for(c, c->sync, seq, 0, TO_ALL));
}

static void command_again(client *c) {
    write_packet(c);
    run(c, "once");
    run(c, "again, packet not made new");
    write_packet(c);
    run(c, "again, packet made new");
    write_packet(c);
    uint64_t a = 0;
    int r = exec(c, &a), s = exec(c, &a);
    answer("twice at once", "%s and %s", name_of(r), name_of(s));
    wait_for(c, c->sync, a, 8000, TO_ALL);
}

/* One word of the packet is another; in a context of its own. */
static void twist(client *c, const char *name, int word, uint32_t value) {
    if (!renew(c)) return;
    c->words[word] = value;
    flush(c->words, PAGE);
    run(c, name);
}

static void packet_header(client *c) {
    static const uint32_t states[] = {0, 2, 3, 4, 5, 7, 8, 15};
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        twist(c, NAMED("state %llu", states[i]), 0, ts_cmd_header(states[i], TS_CMD_OP_START_CU, 8));
    static const uint32_t operations[] = {1, 5, 31};
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        twist(c, NAMED("operation %llu", operations[i]), 0, ts_cmd_header(TS_CMD_NEW, operations[i], 8));
    twist(c, "reserved bit 4", 0, ts_cmd_header(TS_CMD_NEW, TS_CMD_OP_START_CU, 8) | 1u << 4);
    twist(c, "reserved bit 31", 0, ts_cmd_header(TS_CMD_NEW, TS_CMD_OP_START_CU, 8) | 1u << 31);
    twist(c, "mask 0", 1, 0);
}

static void packet_words(client *c) {
    static const uint32_t counts[] = {0, 1, 2, 5, 6, 7, 9, 16, 18, 20, 21, 1023, 1024, 2047};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        twist(c, NAMED("count %llu", counts[i]), 0, ts_cmd_header(TS_CMD_NEW, TS_CMD_OP_START_CU, counts[i]));
    twist(c, "mask 2", 1, 2);
    twist(c, "masks 0x80000001", 1, 0x80000001);
    twist(c, "a second mask", 0, ts_cmd_header(TS_CMD_NEW, TS_CMD_OP_START_CU, 8) | 1u << 10);
    twist(c, "operation 4 of START_CU", 2, 4);
    twist(c, "a stream of 0 words", 6, 0);
}

static void packet_error(client *c) {
    uint32_t before[PAGE / 4];
    uint64_t seq = 0;
    if (!renew(c)) return;
    spoil(c, true);
    memcpy(before, c->words, PAGE);
    int r = exec(c, &seq);
    if (r) {
        result("packet after an error", r);
        return;
    }
    wait_for(c, c->sync, seq, 8000, TO_ALL);
    words_line(c, "packet after an error", before, PAGE / 4);
    spoil(c, false);
    write_packet(c);
    run(c, "a command after an error");
}

static void stream_rubbish(client *c) {
    if (!renew(c)) return;
    spoil(c, true);
    run(c, "a stream of rubbish");
}

static void command_fields(client *c) {
    if (!renew(c)) return;
    const uint32_t args[] = {c->stream, c->data, 999};
    const struct ts_uapi_exec_cmd none = {0};
    result("type 1", exec_with(c, c->packet, args, 2, (struct ts_uapi_exec_cmd){.type = 1}, NULL));
    result("ext 1", exec_with(c, c->packet, args, 2, (struct ts_uapi_exec_cmd){.ext = 1}, NULL));
    result("ext_flags 1", exec_with(c, c->packet, args, 2, (struct ts_uapi_exec_cmd){.ext_flags = 1}, NULL));
    result("context 99", exec_with(c, c->packet, args, 2, (struct ts_uapi_exec_cmd){.hwctx = 99}, NULL));
    result("2 commands", exec_with(c, c->packet, args, 2, (struct ts_uapi_exec_cmd){.cmd_count = 2}, NULL));
    result("handle 999", exec_with(c, 999, args, 2, none, NULL));
    /* not handle 0: some drivers take it, others run into it when the command begins */
    result("a device buffer as packet", exec_with(c, c->stream, args, 2, none, NULL));
    result("the heap as packet", exec_with(c, c->heap, args, 2, none, NULL));
    result("no list", exec_with(c, c->packet, NULL, 2, none, NULL));
    result("argument 999", exec_with(c, c->packet, args, 3, none, NULL));
    result("4096 arguments", exec_with(c, c->packet, args, 4096, none, NULL));
    run(c, "after all these, the right one");
}

/* A good packet, but with this list. */
static void with_list(client *c, const char *name, const uint32_t *args, uint32_t n) {
    uint64_t seq = 0;
    write_packet(c);
    int r = exec_with(c, c->packet, args, n, (struct ts_uapi_exec_cmd){0}, &seq);
    if (r) {
        result(name, r);
        return;
    }
    r = wait_for(c, c->sync, seq, 8000, TO_ALL);
    answer(name, "taken, wait %s, state %u", name_of(r), state_of(c));
}

static void command_lists(client *c) {
    uint32_t unmapped, gone, packet, empty, many[64];
    void *p = NULL;
    if (!renew(c)) return;
    make(c, TS_UAPI_BO_SHMEM, PAGE, &unmapped);
    make(c, TS_UAPI_BO_SHMEM, PAGE, &gone);
    map_at(c, gone, PAGE, NULL, &p);
    unmap(c, p);
    forgotten(c, gone);
    make(c, TS_UAPI_BO_CMD, PAGE, &packet);
    map_at(c, packet, PAGE, NULL, &p);
    with_list(c, "nothing listed", NULL, 0);
    with_list(c, "the stream not listed", (const uint32_t[]){c->data}, 1);
    with_list(c, "the data not listed", (const uint32_t[]){c->stream}, 1);
    with_list(c, "a buffer not mapped", (const uint32_t[]){c->stream, c->data, unmapped}, 3);
    with_list(c, "a buffer unmapped again", (const uint32_t[]){c->stream, c->data, gone}, 3);
    with_list(c, "a buffer twice", (const uint32_t[]){c->stream, c->data, c->data}, 3);
    with_list(c, "two device buffers", (const uint32_t[]){c->stream, c->data, c->pdi}, 3);
    with_list(c, "the heap", (const uint32_t[]){c->stream, c->data, c->heap}, 3);
    with_list(c, "a packet listed", (const uint32_t[]){c->stream, c->data, packet}, 3);
    with_list(c, "the packet itself listed", (const uint32_t[]){c->stream, c->data, c->packet}, 3);
    many[0] = c->stream, many[1] = c->data;
    for (int i = 2; i < 17; i++) make(c, TS_UAPI_BO_DEV, PAGE, &many[i]);
    with_list(c, "16 buffers", many, 16);
    with_list(c, "17 buffers", many, 17);
    make(c, TS_UAPI_BO_CMD, PAGE, &empty);
    result("a packet of zeros that is not mapped", exec_with(c, empty, many, 2, (struct ts_uapi_exec_cmd){0}, NULL));
}

static void command_shared(client *c) {
    uint64_t seq = 0;
    if (!renew(c)) return;
    const uint32_t args[] = {c->stream};
    memcpy(c->data_at, c->words, 64);
    flush(c->data_at, 64);
    int r = exec_with(c, c->data, args, 1, (struct ts_uapi_exec_cmd){0}, &seq);
    if (r) result("a shared buffer as packet", r);
    else answer("a shared buffer as packet", "taken, wait %s", name_of(wait_for(c, c->sync, seq, 8000, TO_ALL)));
}

static void command_large(client *c) {
    void *p = NULL;
    if (!renew(c)) return;
    int r = make(c, TS_UAPI_BO_CMD, 32768, &c->packet);
    if (r == 0) r = map_at(c, c->packet, 32768, NULL, &p);
    if (r) {
        result("a packet buffer of 32 KiB", r);
        return;
    }
    c->words = p;
    write_packet(c);
    run(c, "a packet buffer of 32 KiB");
}

static void command_deep(client *c) {
    uint64_t seq = 0;
    int r = 0, n = 0;
    if (!renew(c)) return;
    while (n < 8 && r == 0) {
        uint32_t h;
        void *p = NULL;
        r = make(c, TS_UAPI_BO_CMD, PAGE, &h);
        if (r == 0) r = map_at(c, h, PAGE, NULL, &p);
        if (r) break;
        memcpy(p, c->words, 64);
        flush(p, 64);
        const uint32_t args[] = {c->stream, c->data};
        r = exec_with(c, h, args, 2, (struct ts_uapi_exec_cmd){0}, &seq);
        n += r == 0;
    }
    answer("eight in a row", "%d taken, %s, last number %llu", n, name_of(r), (unsigned long long)seq);
    result("wait for the last", wait_for(c, c->sync, seq, 8000, TO_ALL));
}

static void commands(client *c) {
    command_good(c);
    command_again(c);
    command_fields(c);
    command_lists(c);
    command_shared(c);
    command_deep(c);
    command_large(c);
}

static void packets(client *c) {
    if (!ready(c)) return;
    packet_header(c);
    packet_error(c);
    under("firmware");
    packet_words(c);
    stream_rubbish(c);
}

static void command_contexts(client *c) {
    client d;
    if (!ready(c)) return;
    const uint32_t first = c->ctx, fence = c->sync;
    int r = context(c, 4);
    if (r == 0) r = configure(c, c->pdi);
    result("a second context", r);
    run(c, "a command of the second");
    c->ctx = first, c->sync = fence;
    write_packet(c);
    run(c, "a command of the first");
    if (client_open(&d)) {
        if (buffers_ready(&d)) {
            d.ctx = first;
            uint64_t seq;
            result("a command of another file's context", exec(&d, &seq));
        }
        client_close(&d);
    }
    destroy(c, first);
    write_packet(c);
    uint64_t seq;
    result("a command of a context that is gone", exec(c, &seq));
}

static void command_closed(client *c) {
    uint64_t seq = 0;
    if (!ready(c)) return;
    int r = exec(c, &seq);
    if (r) {
        result("(command)", r);
        return;
    }
    result("close its packet under way", close_handle(c, c->packet));
    result("close its stream under way", close_handle(c, c->stream));
    result("close its data under way", close_handle(c, c->data));
    r = wait_for(c, c->sync, seq, 8000, TO_ALL);
    answer("how it ends", "wait %s, state %u", name_of(r), state_of(c));
    result("a command with the closed ones", exec(c, &seq));
}

static void command_data_closed(client *c) {
    uint64_t seq = 0;
    if (!ready(c)) return;
    result("close an argument", close_handle(c, c->data));
    result("a command with it", exec(c, &seq));
}

static void command_heap_closed(client *c) {
    if (!ready(c)) return;
    result("close the heap under a context", close_handle(c, c->heap));
    run(c, "a command after it");
}

static void command_unmapped(client *c) {
    uint64_t seq = 0;
    if (!ready(c)) return;
    int r = exec(c, &seq);
    answer("unmap its data under way", "%s, %s", name_of(r), name_of(unmap(c, c->data_at)));
    r = wait_for(c, c->sync, seq, 8000, TO_ALL);
    answer("how that ends", "wait %s, state %u", name_of(r), state_of(c));
}

static void command_destroyed(client *c) {
    uint64_t seq = 0;
    if (!ready(c)) return;
    int r = exec(c, &seq);
    answer("destroy its context under way", "%s, %s", name_of(r), name_of(destroy(c, c->ctx)));
    r = wait_for(c, c->sync, seq, 3000, TO_ALL);
    answer("how a destroyed one ends", "wait %s, state %u", name_of(r), state_of(c));
}

const question questions_command[] = {
    {"command", commands},
    {"packet", packets},
    {"command", command_contexts},
    {"command", command_closed},
    {"command", command_data_closed},
    {"command", command_heap_closed},
    {"command", command_unmapped},
    {"command", command_destroyed},
    {NULL, NULL},
};
