/* Any text as the index of a folder with two shards: what is taken names their tensors, each in its place. */
#include "base/file.h"
#include "source/hf_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static char dir[] = "/tmp/tessera-fuzz-XXXXXX";
static const char *const files[] = {"a.safetensors", "b.safetensors", "model.safetensors.index.json"};

static void path_of(char *out, size_t len, int i) {
    snprintf(out, len, "%s/%s", dir, files[i]);
}

static void put(int i, const void *data, size_t len) {
    char path[80];
    path_of(path, sizeof path, i);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, len, f) != len || fclose(f)) abort();
}

static void drop(void) {
    char path[80];
    for (int i = 0; i < 3; i++) {
        path_of(path, sizeof path, i);
        (void)unlink(path);
    }
    (void)rmdir(dir);
}

/* Of two tensors "x0" and "x1", "y0" and "y1", a byte each. */
static void put_shard(int i, char letter) {
    char text[256];
    const int n = snprintf(text + 8, sizeof text - 8,
                           "{\"%c0\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                           "\"%c1\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[1,2]}}12",
                           letter, letter);
    memcpy(text, &(uint64_t){(uint64_t)n - 2}, 8);
    put(i, text, (size_t)n + 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static bool ready;
    if (!ready) {
        if (!mkdtemp(dir)) abort();
        atexit(drop);
        put_shard(0, 'x');
        put_shard(1, 'y');
        ready = true;
    }
    put(2, data, len);
    ts_hf_folder *f = NULL;
    ts_err err = {0};
    const ts_status s = ts_hf_folder_open(&f, dir, &err);
    if (s == TS_OK) { /* one file may be all of the model; of both, all four are there */
        size_t n = 0;
        while (ts_hf_folder_at(f, n)) n++;
        if (n != 2 * (size_t)ts_hf_folder_n_files(f)) abort();
        for (int i = 0; i < ts_hf_folder_n_files(f); i++)
            if (!strstr(ts_hf_folder_file(f, i), ".safetensors")) abort();
        if (!ts_hf_folder_find(f, "x0") && !ts_hf_folder_find(f, "y0")) abort();
    } else if (err.code != s || !*err.msg || strpbrk(err.msg, "\n\r\x1b")) {
        abort();
    }
    ts_hf_folder_close(f);
    return 0;
}
