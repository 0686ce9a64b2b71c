/* The store: blobs, links, refs, what has been checked; finding, listing and removing; locks. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "hub/hub.h"
#include "hub/hub_digest.h"
#include "hub/hub_lock.h"
#include "hub/hub_part.h"
#include "hub/hub_store.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

static char folder[64], cache[80], state[80];
static const char one[] = "1111111111111111111111111111111111111111",
                  two[] = "2222222222222222222222222222222222222222";
static ts_hub_opts opts;

static int setup(void **s) {
    (void)s;
    snprintf(folder, sizeof folder, "/tmp/tessera-store-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(cache, sizeof cache, "%s/cache", folder);
    snprintf(state, sizeof state, "%s/state", folder);
    opts = (ts_hub_opts){.cache = cache, .state = state};
    return 0;
}

static int teardown(void **s) {
    (void)s;
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void put(const char *path, const char *text) {
    FILE *f = fopen(path, "wb");
    if (!f) fail_msg("%s", path);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* The SHA-256 of a text, which is then a blob. */
static const char *put_blob(const ts_hub_place *p, const char *text, char hash[65]) {
    char path[300];
    ts_err err;
    snprintf(path, sizeof path, "%s/blobs/new", p->dir);
    put(path, text);
    const int fd = open(path, O_RDONLY);
    char *blob;
    assert_ok(ts_hub_digest(hash, fd, "0000000000000000000000000000000000000000000000000000000000000000", path, NULL,
                            NULL, &err));
    close(fd);
    blob = ts_hub_join(p->dir, "blobs", hash, NULL);
    assert_int_equal(rename(path, blob), 0);
    ts_free(blob);
    return hash;
}

static void make(ts_hub_place *p, const char *repo) {
    bool denied;
    ts_err err;
    assert_ok(ts_hub_place_of(p, cache, repo, &err));
    assert_ok(ts_hub_place_make(p, &denied, &err));
}

static void name(const ts_hub_place *p, const char *commit, const char *path, const char *text) {
    char hash[65];
    ts_err err;
    put_blob(p, text, hash);
    assert_ok(ts_hub_link(p, commit, path, hash, false, false, &err));
}

/* ---- hashes ------------------------------------------------------------------------------------------------------ */

static bool never(void *ud, uint64_t bytes) {
    (void)ud, (void)bytes;
    return false;
}

static void test_digest(void **s) {
    (void)s;
    char path[100], hash[65];
    ts_err err;
    snprintf(path, sizeof path, "%s/abc", folder);
    put(path, "abc");
    int fd = open(path, O_RDONLY);
    static const char like[] = "0000000000000000000000000000000000000000000000000000000000000000";
    assert_ok(ts_hub_digest(hash, fd, like, path, NULL, NULL, &err));
    assert_string_equal(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); /* FIPS 180-4 */
    assert_ok(ts_hub_digest(hash, fd, one, path, NULL, NULL, &err));
    assert_string_equal(hash, "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f"); /* git hash-object */
    assert_status(ts_hub_digest(hash, fd, like, path, never, NULL, &err), TS_E_CANCELLED);
    close(fd);
    assert_status(ts_hub_digest(hash, -1, like, path, NULL, NULL, &err), TS_E_IO);
    put(path, "");
    fd = open(path, O_RDONLY);
    assert_ok(ts_hub_digest(hash, fd, one, path, NULL, NULL, &err));
    assert_string_equal(hash, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    close(fd);
}

static void test_check(void **s) {
    (void)s;
    ts_hub_place p;
    char hash[65];
    ts_err err;
    struct stat st;
    make(&p, "a/check");
    char *blob = ts_hub_join(p.dir, "blobs", put_blob(&p, "some bytes", hash), NULL);
    bool ours = true;
    assert_int_equal(stat(blob, &st), 0);
    assert_false(ts_hub_is_known(state, hash, &st, &ours));
    assert_status(ts_hub_check(state, blob, hash, never, NULL, &err), TS_E_CANCELLED);
    assert_ok(ts_hub_check(state, blob, hash, NULL, NULL, &err));
    assert_true(ts_hub_is_known(state, hash, &st, &ours) && !ours);
    assert_ok(ts_hub_check(state, blob, hash, never, NULL, &err)); /* it is not read again */
    ts_hub_remember(state, hash, &st, true);
    assert_true(ts_hub_is_known(state, hash, &st, &ours) && ours);
    struct stat other = st;
    other.st_mtim.tv_nsec ^= 1;
    assert_false(ts_hub_is_known(state, hash, &other, NULL));
    other = st, other.st_ino++;
    assert_false(ts_hub_is_known(state, hash, &other, NULL));
    assert_false(ts_hub_is_known(NULL, hash, &st, NULL));
    assert_false(ts_hub_is_known(state, "../x", &st, NULL));
    put(blob, "other byte"); /* as long, and at another time */
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    assert_int_equal(utimensat(AT_FDCWD, blob, times, 0), 0);
    assert_status(ts_hub_check(state, blob, hash, NULL, NULL, &err), TS_E_FORMAT);
    assert_status(ts_hub_check(state, folder, hash, NULL, NULL, &err), TS_E_IO);
    for (int i = 0; i < 100; i++) { /* a record does not grow without end */
        st.st_ino++;
        ts_hub_remember(state, hash, &st, false);
        assert_true(ts_hub_is_known(state, hash, &st, NULL));
    }
    ts_free(blob);
    ts_hub_place_free(&p);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static void test_dirs(void **s) {
    (void)s;
    char repo[2 * TS_HUB_ID_MAX + 2];
    assert_true(ts_hub_repo_of_dir(repo, "models--a--b.c-d"));
    assert_string_equal(repo, "a/b.c-d");
    static const char *const bad[] = {"models--a",       "datasets--a--b", "models--",
                                      "models--a--b--c", "models--..--x",  ".locks"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(ts_hub_repo_of_dir(repo, bad[i]));
}

static void test_links(void **s) {
    (void)s;
    ts_hub_place p;
    char hash[65], target[200], commit[TS_HUB_COMMIT + 1];
    ts_err err;
    struct stat st;
    make(&p, "a/links");
    put_blob(&p, "x", hash);
    for (int i = 0; i < 2; i++) assert_ok(ts_hub_link(&p, one, "d/e/f.gguf", hash, false, false, &err));
    char *path = ts_hub_join(p.dir, "snapshots", one, "d/e/f.gguf", NULL);
    const ssize_t n = readlink(path, target, sizeof target - 1);
    assert_true(n > 0);
    target[n] = 0;
    assert_memory_equal(target, "../../../../blobs/", 18);
    assert_string_equal(target + 18, hash);
    assert_int_equal(stat(path, &st), 0);
    ts_free(path);
    /* without links: the first of two names gets a copy, the last the file itself */
    assert_ok(ts_hub_link(&p, two, "a.gguf", hash, true, true, &err));
    assert_ok(ts_hub_link(&p, two, "b.gguf", hash, true, false, &err));
    static const char *const plain[] = {"a.gguf", "b.gguf"};
    for (int i = 0; i < 2; i++) {
        path = ts_hub_join(p.dir, "snapshots", two, plain[i], NULL);
        assert_true(lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 1);
        ts_free(path);
    }
    path = ts_hub_join(p.dir, "blobs", hash, NULL);
    assert_int_equal(access(path, F_OK), -1);
    ts_free(path);
    assert_false(ts_hub_get_ref(&p, "main", commit));
    assert_ok(ts_hub_put_ref(&p, "main", one, &err));
    assert_ok(ts_hub_put_ref(&p, "refs/pr/1", two, &err));
    assert_status(ts_hub_can_ref(&p, "main/x", &err), TS_E_IO); /* a file, where a folder would have to be */
    assert_status(ts_hub_can_ref(&p, "refs/pr", &err), TS_E_IO);
    assert_true(ts_hub_can_ref(&p, "refs/pr/2", &err) == TS_OK && ts_hub_can_ref(&p, "main", &err) == TS_OK);
    assert_true(ts_hub_get_ref(&p, "main", commit) && !strcmp(commit, one));
    assert_true(ts_hub_get_ref(&p, "refs/pr/1", commit) && !strcmp(commit, two));
    path = ts_hub_join(p.dir, "refs", "main", NULL);
    put(path, "../../../etc\n");
    assert_false(ts_hub_get_ref(&p, "main", commit));
    ts_free(path);
    ts_hub_place_free(&p);
}

static void find(const char *text, const char *want) {
    ts_hub_name n;
    ts_hub_model m = {0};
    bool found = false;
    ts_err err;
    assert_ok(ts_hub_name_parse(&n, text, NULL, &err));
    assert_ok(ts_hub_find(&m, &found, &n, &opts, &err));
    if (found != (want != NULL)) fail_msg("%s: %s", text, found ? m.path : "not found");
    if (found && !strstr(m.path, want)) fail_msg("%s: %s", text, m.path);
    ts_hub_model_free(&m);
}

static ts_err drop_err;

static ts_status drop(const char *text, bool all, uint64_t *bytes) {
    ts_hub_name n;
    ts_hub_removed gone;
    ts_err err;
    assert_ok(ts_hub_name_parse(&n, text, NULL, &err));
    const ts_status s = ts_hub_remove(&gone, &n, all, &opts, &drop_err);
    *bytes = gone.bytes;
    return s;
}

static void test_find(void **s) {
    (void)s;
    ts_hub_place p;
    ts_err err;
    make(&p, "a/find");
    name(&p, one, "x-Q4_K_M.gguf", "old q4");
    name(&p, one, "x-Q8_0.gguf", "q8");
    name(&p, one, "mmproj-F16.gguf", "aside");
    name(&p, two, "x-Q4_K_M.gguf", "new q4");
    assert_ok(ts_hub_put_ref(&p, "main", two, &err));
    find("a/find", two);
    find("a/find:Q4_K_M", two);
    find("a/find@1111111:Q4_K_M", one);
    find("a/find@2222222:Q8_0", NULL);
    find("a/find:Q8_0", one); /* main has it not, an older commit has */
    find("a/find/x-Q8_0.gguf", one);
    find("a/find@main:Q8_0", NULL);
    find("a/find@v1", NULL);
    find("a/none", NULL);
    ts_hub_model *list;
    size_t n;
    assert_ok(ts_hub_list(&list, &n, &opts, &err));
    size_t mine = 0;
    static const char *const names[] = {"a/find:Q4_K_M", "a/find@11111111:Q4_K_M", "a/find@11111111:Q8_0"};
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i].repo, "a/find")) assert_string_equal(list[i].name, names[mine++]);
    assert_int_equal(mine, 3);
    ts_hub_list_free(list, n);
    find("a/find@11111111:Q4_K_M", one); /* what list says is found */
    ts_hub_place_free(&p);
}

static void test_remove(void **s) {
    (void)s;
    ts_hub_place p;
    uint64_t bytes;
    ts_err err;
    make(&p, "a/remove");
    name(&p, one, "x-Q4_0.gguf", "shared contents");
    name(&p, two, "x-Q4_0.gguf", "shared contents");
    name(&p, two, "d/x-Q8_0.gguf", "eight");
    assert_ok(ts_hub_put_ref(&p, "main", two, &err));
    assert_ok(ts_hub_put_ref(&p, "v1", one, &err));
    assert_status(drop("a/remove", false, &bytes), TS_E_INVAL);
    assert_status(drop("a/remove@1111111:Q4_0", false, &bytes), TS_OK);
    assert_int_equal(bytes, 0); /* the other commit has it too */
    char commit[TS_HUB_COMMIT + 1];
    assert_false(ts_hub_get_ref(&p, "v1", commit));
    find("a/remove:Q4_0", two);
    assert_status(drop("a/remove:Q4_0", false, &bytes), TS_OK);
    assert_int_equal(bytes, strlen("shared contents"));
    assert_status(drop("a/remove:Q4_0", false, &bytes), TS_E_IO);
    char *part = ts_hub_join(p.dir, "blobs", "0000000000000000000000000000000000000000.tessera-part", NULL);
    put(part, "part");
    assert_status(drop("a/remove:Q4_0", false, &bytes), TS_E_IO); /* and it says how the part goes */
    assert_non_null(strstr(drop_err.msg, "tessera rm a/remove"));
    assert_status(drop("a/remove", false, &bytes), TS_OK); /* the part alone: a model is there */
    assert_int_equal(bytes, strlen("part"));
    find("a/remove:Q8_0", two);
    char hash[65];
    put_blob(&p, "nameless", hash); /* as good as a part, and never what a name leads to */
    assert_status(drop("a/remove", false, &bytes), TS_OK);
    assert_int_equal(bytes, strlen("nameless"));
    find("a/remove:Q8_0", two);
    assert_status(drop("a/remove", false, &bytes), TS_OK);
    assert_int_equal(bytes, strlen("eight"));
    assert_int_equal(access(p.dir, F_OK), -1);
    assert_status(drop("a/remove", false, &bytes), TS_E_IO);
    assert_status(drop("a/remove", true, &bytes), TS_E_IO);
    ts_free(part);
    ts_hub_place_free(&p);
}

/* What others or a kill have left: links to nowhere, a link without its name, blobs without one. */
static void test_remove_rest(void **s) {
    (void)s;
    ts_hub_place p;
    uint64_t bytes;
    char hash[65];
    make(&p, "a/rest");
    name(&p, one, "x-Q4_0.gguf", "rest");
    char *blob = ts_hub_join(p.dir, "blobs", put_blob(&p, "rest", hash), NULL);
    char *temporary = ts_hub_join(p.dir, "snapshots", one, "y.gguf.tessera-123", NULL);
    assert_int_equal(unlink(blob), 0);
    put(temporary, "");
    put_blob(&p, "nameless", hash);
    find("a/rest", NULL);
    assert_status(drop("a/rest:Q4_0", false, &bytes), TS_OK);
    assert_status(drop("a/rest", true, &bytes), TS_OK);
    assert_int_equal(bytes, strlen("nameless"));
    assert_int_equal(access(p.dir, F_OK), -1);
    ts_free(blob), ts_free(temporary);
    ts_hub_place_free(&p);
}

/* A link to a folder is no way: neither for a look, nor for removing, nor for writing. */
static void test_out_of_the_store(void **s) {
    (void)s;
    ts_hub_place p;
    uint64_t bytes;
    char hash[65], outside[100], precious[120];
    ts_err err;
    struct stat st;
    snprintf(outside, sizeof outside, "%s/outside", folder);
    snprintf(precious, sizeof precious, "%s/x-Q8_0.gguf", outside);
    assert_int_equal(mkdir(outside, 0777), 0);
    put(precious, "precious");
    make(&p, "a/out");
    name(&p, one, "y-Q4_0.gguf", "four");
    char *top = ts_hub_join(p.dir, "snapshots", one, NULL), *way = ts_hub_join(top, "sub", NULL),
         *loop = ts_hub_join(top, "loop", NULL), *self = ts_hub_join(top, "self-Q5_0.gguf", NULL),
         *whole = ts_hub_join(p.dir, "snapshots", two, NULL), *refs = ts_hub_join(p.dir, "refs", "far", NULL);
    assert_int_equal(symlink(outside, way) | symlink(".", loop) | symlink("self-Q5_0.gguf", self), 0);
    assert_int_equal(symlink(outside, whole) | symlink(outside, refs), 0);
    ts_hub_model *list;
    size_t n, mine = 0;
    assert_ok(ts_hub_list(&list, &n, &opts, &err));
    for (size_t i = 0; i < n; i++) mine += !strcmp(list[i].repo, "a/out");
    assert_int_equal(mine, 1);
    ts_hub_list_free(list, n);
    find("a/out:Q8_0", NULL);
    assert_status(ts_hub_link(&p, one, "sub/z.gguf", put_blob(&p, "z", hash), false, false, &err), TS_E_IO);
    assert_non_null(strstr(err.msg, "in the way"));
    assert_status(ts_hub_put_ref(&p, "far/x", one, &err), TS_E_IO);
    assert_status(drop("a/out:Q8_0", false, &bytes), TS_E_IO);
    assert_status(drop("a/out:Q5_0", false, &bytes), TS_OK); /* a link that leads nowhere is removed itself */
    assert_status(drop("a/out", true, &bytes), TS_OK);
    assert_int_equal(bytes, strlen("four") + strlen("z"));
    assert_true(lstat(way, &st) != 0 && lstat(loop, &st) != 0);
    assert_int_equal(access(precious, F_OK), 0);
    ts_free(top), ts_free(way), ts_free(loop), ts_free(self), ts_free(whole), ts_free(refs);
    ts_hub_place_free(&p);
}

/* A name that another program has made, and we would refuse, keeps its blob all the same. */
static void test_odd_names(void **s) {
    (void)s;
    ts_hub_place p;
    uint64_t bytes;
    char hash[65], target[120], longest[256];
    ts_err err;
    make(&p, "a/odd");
    name(&p, one, "README.md", "text");
    char *odd = ts_hub_join(p.dir, "snapshots", one, "a\\b.json", NULL);
    snprintf(target, sizeof target, "../../blobs/%s", put_blob(&p, "odd", hash));
    assert_int_equal(symlink(target, odd), 0);
    assert_status(drop("a/odd", false, &bytes), TS_E_IO);
    assert_int_equal(access(odd, F_OK), 0);
    /* as long as a name can be */
    memset(longest, 'l', 255);
    strcpy(longest + 245, "-Q8_0.gguf");
    put_blob(&p, "long", hash);
    assert_ok(ts_hub_link(&p, one, longest, hash, false, false, &err));
    assert_ok(ts_hub_link(&p, one, "llama.tessera-Q4_0.gguf", hash, false, false, &err));
    find("a/odd:Q8_0", longest);
    find("a/odd:Q4_0", "llama.tessera-Q4_0.gguf");
    ts_free(odd);
    ts_hub_place_free(&p);
}

static bool use_once(void *ud) {
    ts_hub_name n;
    ts_hub_model m = {0}, *list = NULL;
    size_t n_list = 0;
    ts_hub_removed gone;
    bool found = false;
    ts_err err;
    (void)ud;
    bool ok = ts_hub_name_parse(&n, "a/memory:Q8_0", NULL, &err) == TS_OK &&
              ts_hub_find(&m, &found, &n, &opts, &err) == TS_OK && found &&
              ts_hub_list(&list, &n_list, &opts, &err) == TS_OK;
    ts_hub_model_free(&m);
    ts_hub_list_free(list, n_list);
    ok = ok && ts_hub_name_parse(&n, "a/memory:Q4_0", NULL, &err) == TS_OK;
    return ok &&
           ts_hub_remove(&gone, &n, false, &opts, &err) == TS_E_IO; /* the list is looked at, and it is not there */
}

static void test_memory(void **s) {
    (void)s;
    ts_hub_place p;
    make(&p, "a/memory");
    name(&p, one, "x-Q8_0.gguf", "eight");
    ts_hub_place_free(&p);
    alloc_fail_loop(use_once, NULL, true); /* what cannot be remembered is checked again */
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static void leave(const char *path, size_t n, long age_s) {
    char text[100];
    memset(text, 'x', sizeof text);
    text[n] = 0;
    put(path, text);
    const struct timespec times[2] = {{.tv_sec = time(NULL) - age_s}, {.tv_sec = time(NULL) - age_s}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* Opened under a lock that is not certain: bytes that are taken over, and what the common name has at the end. */
static void take_over(const char *blob, size_t want) {
    ts_hub_part p;
    ts_err err;
    assert_ok(ts_hub_part_open(&p, blob, false, &err));
    assert_int_equal(p.len, want);
    assert_string_not_equal(p.name, p.path);
    ts_hub_part_close(&p);
    assert_int_equal(ts_hub_part_size(blob), want);
}

static void test_parts(void **s) {
    (void)s;
    char blob[120], name[250], host[65] = "";
    ts_hub_part p;
    ts_err err;
    struct stat st;
    snprintf(blob, sizeof blob, "%s/%s", folder, one);
    assert_ok(ts_hub_part_open(&p, blob, true, &err));
    assert_string_equal(p.name, p.path);
    assert_int_equal(pwrite(p.fd, "abcdef", 6, 0), 6);
    ts_hub_part_close(&p);
    assert_int_equal(ts_hub_part_size(blob), 6);
    take_over(blob, 6);
    /* of a process that is no more; of one that is; of another machine, just now and long ago */
    (void)gethostname(host, sizeof host - 1);
    for (char *h = host; *h; h++)
        if (*h == '.') *h = '-';
    snprintf(name, sizeof name, "%s.tessera-part.%s.999999999", blob, host);
    leave(name, 20, 0);
    take_over(blob, 20);
    snprintf(name, sizeof name, "%s.tessera-part.%s.1", blob, host);
    leave(name, 30, 10000);
    take_over(blob, 20);
    assert_int_equal(unlink(name), 0);
    snprintf(name, sizeof name, "%s.tessera-part.other.1", blob);
    leave(name, 40, 0);
    take_over(blob, 20);
    leave(name, 40, 10000);
    take_over(blob, 40);
    assert_ok(ts_hub_part_open(&p, blob, false, &err));
    assert_ok(ts_hub_part_cut(&p, 3, &err));
    assert_ok(ts_hub_part_install(&p, blob, &err));
    ts_hub_part_close(&p);
    assert_true(stat(blob, &st) == 0 && st.st_size == 3 && ts_hub_part_size(blob) == 0);
    assert_ok(ts_hub_part_open(&p, blob, true, &err));
    ts_hub_part_remove(&p);
    ts_hub_part_close(&p), ts_hub_part_close(&p);
    assert_int_equal(unlink(blob), 0);
    assert_status(ts_hub_part_open(&p, "/no/such/folder/x", false, &err), TS_E_IO);
    ts_hub_part_close(&p);
}

static bool part_once(void *ud) {
    ts_hub_part p;
    ts_err err;
    const bool ok = ts_hub_part_open(&p, ud, false, &err) == TS_OK;
    ts_hub_part_remove(&p);
    ts_hub_part_close(&p);
    return ok;
}

static void test_part_memory(void **s) {
    (void)s;
    char blob[120];
    snprintf(blob, sizeof blob, "%s/%s", folder, two);
    alloc_fail_loop(part_once, blob, true); /* then nothing is taken over */
}

/* ---- locks ------------------------------------------------------------------------------------------------------- */

struct waiter {
    const char *path;
    int n;
    long pid;
};

/* The third time, another file has the name: whoever waited for the old one must not believe that he holds the lock. */
static bool replace(void *ud, long pid) {
    struct waiter *w = ud;
    w->pid = pid;
    if (++w->n == 3) {
        assert_int_equal(unlink(w->path), 0);
        put(w->path, "new");
    }
    return w->n < 10;
}

static void test_lock(void **s) {
    (void)s;
    char path[100];
    ts_err err;
    ts_hub_lock a, b;
    snprintf(path, sizeof path, "%s/x.lock", folder);
    assert_ok(ts_hub_lock_take(&a, path, false, NULL, NULL, &err));
    assert_status(ts_hub_lock_take(&b, path, false, NULL, NULL, &err), TS_E_LIMIT);
    assert_status(ts_hub_lock_take(&b, path, true, NULL, NULL, &err), TS_E_LIMIT);
    struct waiter w = {.path = path};
    assert_ok(ts_hub_lock_take(&b, path, false, replace, &w, &err)); /* of the new file, while the old one is locked */
    assert_int_equal(w.n, 3);
    assert_int_equal(w.pid, getpid());
    struct stat held, named;
    assert_true(fstat(b.fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino);
    ts_hub_lock_leave(&a), ts_hub_lock_leave(&b), ts_hub_lock_leave(&b);
    assert_ok(ts_hub_lock_take(&a, path, true, NULL, NULL, &err));
    assert_ok(ts_hub_lock_take(&b, path, true, NULL, NULL, &err));
    ts_hub_lock_leave(&a), ts_hub_lock_leave(&b);
    assert_status(ts_hub_lock_take(&a, "/no/such/folder/x", false, NULL, NULL, &err), TS_E_IO);
    assert_int_equal(a.fd, -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest),      cmocka_unit_test(test_check),       cmocka_unit_test(test_dirs),
        cmocka_unit_test(test_links),       cmocka_unit_test(test_find),        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_memory),      cmocka_unit_test(test_lock),        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_part_memory), cmocka_unit_test(test_remove_rest), cmocka_unit_test(test_out_of_the_store),
        cmocka_unit_test(test_odd_names),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
