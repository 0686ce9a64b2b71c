/* Our kernel interface against the measured layout of the shared data, and against the system's header where
 * there is one. */
#include "support/test.h"

#include "xdna/uapi.h"

#include <jansson.h>

typedef struct member {
    const char *type, *field; /* field NULL: the size of the type */
    size_t at, size;
} member;

#define S(ours, theirs)                                                                                      \
    { theirs, NULL, 0, sizeof(struct ours) }
#define M(ours, theirs, our, field)                                                                          \
    { theirs, field, offsetof(struct ours, our), sizeof(((struct ours *)0)->our) }
#define F(ours, theirs, field) M(ours, theirs, field, #field)

static const member members[] = {
    S(ts_uapi_qos_info, "amdxdna_qos_info"),
    F(ts_uapi_qos_info, "amdxdna_qos_info", gops),
    F(ts_uapi_qos_info, "amdxdna_qos_info", fps),
    F(ts_uapi_qos_info, "amdxdna_qos_info", dma_bandwidth),
    F(ts_uapi_qos_info, "amdxdna_qos_info", latency),
    F(ts_uapi_qos_info, "amdxdna_qos_info", frame_exec_time),
    F(ts_uapi_qos_info, "amdxdna_qos_info", priority),
    S(ts_uapi_create_hwctx, "amdxdna_drm_create_hwctx"),
    F(ts_uapi_create_hwctx, "amdxdna_drm_create_hwctx", ext),
    F(ts_uapi_create_hwctx, "amdxdna_drm_create_hwctx", ext_flags),
    F(ts_uapi_create_hwctx, "amdxdna_drm_create_hwctx", qos_p),
    F(ts_uapi_create_hwctx, "amdxdna_drm_create_hwctx", umq_bo),
    F(ts_uapi_create_hwctx, "amdxdna_drm_create_hwctx", log_buf_bo),
    F(ts_uapi_create_hwctx, "amdxdna_drm_create_hwctx", max_opc),
    F(ts_uapi_create_hwctx, "amdxdna_drm_create_hwctx", num_tiles),
    F(ts_uapi_create_hwctx, "amdxdna_drm_create_hwctx", mem_size),
    F(ts_uapi_create_hwctx, "amdxdna_drm_create_hwctx", umq_doorbell),
    F(ts_uapi_create_hwctx, "amdxdna_drm_create_hwctx", handle),
    F(ts_uapi_create_hwctx, "amdxdna_drm_create_hwctx", syncobj_handle),
    S(ts_uapi_destroy_hwctx, "amdxdna_drm_destroy_hwctx"),
    F(ts_uapi_destroy_hwctx, "amdxdna_drm_destroy_hwctx", handle),
    F(ts_uapi_destroy_hwctx, "amdxdna_drm_destroy_hwctx", pad),
    S(ts_uapi_cu_config, "amdxdna_cu_config"),
    F(ts_uapi_cu_config, "amdxdna_cu_config", cu_bo),
    F(ts_uapi_cu_config, "amdxdna_cu_config", cu_func),
    F(ts_uapi_cu_config, "amdxdna_cu_config", pad),
    S(ts_uapi_config_cu, "amdxdna_hwctx_param_config_cu"),
    F(ts_uapi_config_cu, "amdxdna_hwctx_param_config_cu", num_cus),
    F(ts_uapi_config_cu, "amdxdna_hwctx_param_config_cu", pad),
    S(ts_uapi_config_hwctx, "amdxdna_drm_config_hwctx"),
    F(ts_uapi_config_hwctx, "amdxdna_drm_config_hwctx", handle),
    F(ts_uapi_config_hwctx, "amdxdna_drm_config_hwctx", param_type),
    F(ts_uapi_config_hwctx, "amdxdna_drm_config_hwctx", param_val),
    F(ts_uapi_config_hwctx, "amdxdna_drm_config_hwctx", param_val_size),
    F(ts_uapi_config_hwctx, "amdxdna_drm_config_hwctx", pad),
    S(ts_uapi_create_bo, "amdxdna_drm_create_bo"),
    F(ts_uapi_create_bo, "amdxdna_drm_create_bo", flags),
    F(ts_uapi_create_bo, "amdxdna_drm_create_bo", vaddr),
    F(ts_uapi_create_bo, "amdxdna_drm_create_bo", size),
    F(ts_uapi_create_bo, "amdxdna_drm_create_bo", type),
    F(ts_uapi_create_bo, "amdxdna_drm_create_bo", handle),
    S(ts_uapi_get_bo_info, "amdxdna_drm_get_bo_info"),
    F(ts_uapi_get_bo_info, "amdxdna_drm_get_bo_info", ext),
    F(ts_uapi_get_bo_info, "amdxdna_drm_get_bo_info", ext_flags),
    F(ts_uapi_get_bo_info, "amdxdna_drm_get_bo_info", handle),
    F(ts_uapi_get_bo_info, "amdxdna_drm_get_bo_info", pad),
    F(ts_uapi_get_bo_info, "amdxdna_drm_get_bo_info", map_offset),
    F(ts_uapi_get_bo_info, "amdxdna_drm_get_bo_info", vaddr),
    F(ts_uapi_get_bo_info, "amdxdna_drm_get_bo_info", xdna_addr),
    S(ts_uapi_sync_bo, "amdxdna_drm_sync_bo"),
    F(ts_uapi_sync_bo, "amdxdna_drm_sync_bo", handle),
    F(ts_uapi_sync_bo, "amdxdna_drm_sync_bo", direction),
    F(ts_uapi_sync_bo, "amdxdna_drm_sync_bo", offset),
    F(ts_uapi_sync_bo, "amdxdna_drm_sync_bo", size),
    S(ts_uapi_exec_cmd, "amdxdna_drm_exec_cmd"),
    F(ts_uapi_exec_cmd, "amdxdna_drm_exec_cmd", ext),
    F(ts_uapi_exec_cmd, "amdxdna_drm_exec_cmd", ext_flags),
    F(ts_uapi_exec_cmd, "amdxdna_drm_exec_cmd", hwctx),
    F(ts_uapi_exec_cmd, "amdxdna_drm_exec_cmd", type),
    F(ts_uapi_exec_cmd, "amdxdna_drm_exec_cmd", cmd_handles),
    F(ts_uapi_exec_cmd, "amdxdna_drm_exec_cmd", args),
    F(ts_uapi_exec_cmd, "amdxdna_drm_exec_cmd", cmd_count),
    F(ts_uapi_exec_cmd, "amdxdna_drm_exec_cmd", arg_count),
    F(ts_uapi_exec_cmd, "amdxdna_drm_exec_cmd", seq),
    S(ts_uapi_get_info, "amdxdna_drm_get_info"),
    F(ts_uapi_get_info, "amdxdna_drm_get_info", param),
    F(ts_uapi_get_info, "amdxdna_drm_get_info", buffer_size),
    F(ts_uapi_get_info, "amdxdna_drm_get_info", buffer),
    S(ts_uapi_aie_version, "amdxdna_drm_query_aie_version"),
    S(ts_uapi_tile_metadata, "amdxdna_drm_query_aie_tile_metadata"),
    F(ts_uapi_tile_metadata, "amdxdna_drm_query_aie_tile_metadata", row_count),
    F(ts_uapi_tile_metadata, "amdxdna_drm_query_aie_tile_metadata", row_start),
    F(ts_uapi_tile_metadata, "amdxdna_drm_query_aie_tile_metadata", dma_channel_count),
    F(ts_uapi_tile_metadata, "amdxdna_drm_query_aie_tile_metadata", lock_count),
    F(ts_uapi_tile_metadata, "amdxdna_drm_query_aie_tile_metadata", event_reg_count),
    S(ts_uapi_aie_metadata, "amdxdna_drm_query_aie_metadata"),
    F(ts_uapi_aie_metadata, "amdxdna_drm_query_aie_metadata", col_size),
    F(ts_uapi_aie_metadata, "amdxdna_drm_query_aie_metadata", cols),
    F(ts_uapi_aie_metadata, "amdxdna_drm_query_aie_metadata", rows),
    F(ts_uapi_aie_metadata, "amdxdna_drm_query_aie_metadata", version),
    F(ts_uapi_aie_metadata, "amdxdna_drm_query_aie_metadata", core),
    F(ts_uapi_aie_metadata, "amdxdna_drm_query_aie_metadata", mem),
    F(ts_uapi_aie_metadata, "amdxdna_drm_query_aie_metadata", shim),
    S(ts_uapi_clock, "amdxdna_drm_query_clock"),
    F(ts_uapi_clock, "amdxdna_drm_query_clock", name),
    F(ts_uapi_clock, "amdxdna_drm_query_clock", freq_mhz),
    S(ts_uapi_clocks, "amdxdna_drm_query_clock_metadata"),
    M(ts_uapi_clocks, "amdxdna_drm_query_clock_metadata", mp_npu, "mp_npu_clock"),
    M(ts_uapi_clocks, "amdxdna_drm_query_clock_metadata", h, "h_clock"),
    S(ts_uapi_hwctx_entry, "amdxdna_drm_query_hwctx"),
    F(ts_uapi_hwctx_entry, "amdxdna_drm_query_hwctx", context_id),
    F(ts_uapi_hwctx_entry, "amdxdna_drm_query_hwctx", start_col),
    F(ts_uapi_hwctx_entry, "amdxdna_drm_query_hwctx", num_col),
    F(ts_uapi_hwctx_entry, "amdxdna_drm_query_hwctx", pid),
    F(ts_uapi_hwctx_entry, "amdxdna_drm_query_hwctx", command_submissions),
    F(ts_uapi_hwctx_entry, "amdxdna_drm_query_hwctx", command_completions),
    F(ts_uapi_hwctx_entry, "amdxdna_drm_query_hwctx", errors),
    S(ts_uapi_firmware, "amdxdna_drm_query_firmware_version"),
    F(ts_uapi_firmware, "amdxdna_drm_query_firmware_version", major),
    F(ts_uapi_firmware, "amdxdna_drm_query_firmware_version", build),
    S(ts_uapi_power_mode, "amdxdna_drm_get_power_mode"),
};

static void test_layout(void **state) {
    (void)state;
    char path[512];
    SKIP_WITHOUT(shared_path(path, sizeof path, "xdna/uapi_layout.json"));
    json_error_t jerr;
    json_t *root = json_load_file(path, 0, &jerr);
    if (!root) fail_msg("%s: %s", path, jerr.text);
    json_t *structs = json_object_get(root, "structs");
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const member *m = &members[i];
        json_t *type = json_object_get(structs, m->type);
        if (!type) fail_msg("no %s in the layout", m->type);
        if (!m->field) {
            if ((json_int_t)m->size != json_integer_value(json_object_get(type, "size")))
                fail_msg("%s: %zu bytes", m->type, m->size);
            continue;
        }
        json_t *f = json_object_get(json_object_get(type, "fields"), m->field);
        if (!f || json_integer_value(json_array_get(f, 0)) != (json_int_t)m->at ||
            json_integer_value(json_array_get(f, 1)) != (json_int_t)m->size)
            fail_msg("%s.%s: at %zu, %zu bytes", m->type, m->field, m->at, m->size);
    }
    static const struct {
        const char *name;
        uint32_t value;
    } requests[] = {{"CREATE_HWCTX", TS_IOCTL_CREATE_HWCTX}, {"DESTROY_HWCTX", TS_IOCTL_DESTROY_HWCTX},
                    {"CONFIG_HWCTX", TS_IOCTL_CONFIG_HWCTX}, {"CREATE_BO", TS_IOCTL_CREATE_BO},
                    {"GET_BO_INFO", TS_IOCTL_GET_BO_INFO},   {"SYNC_BO", TS_IOCTL_SYNC_BO},
                    {"EXEC_CMD", TS_IOCTL_EXEC_CMD},         {"GET_INFO", TS_IOCTL_GET_INFO}};
    for (size_t i = 0; i < 8; i++) {
        char name[64];
        snprintf(name, sizeof name, "DRM_IOCTL_AMDXDNA_%s", requests[i].name);
        json_t *v = json_object_get(json_object_get(root, "ioctl"), name);
        assert_non_null(v);
        assert_int_equal(strtoul(json_string_value(v), NULL, 16), requests[i].value);
    }
    json_decref(root);
}

#if defined(__has_include)
#    if __has_include(<drm/amdxdna_accel.h>)
#        include <drm/amdxdna_accel.h>
#        define HAVE_SYSTEM_HEADER 1
#    endif
#endif

static void test_system_header(void **state) {
    (void)state;
#ifdef HAVE_SYSTEM_HEADER
#    define SAME_SIZE(ours, theirs)  assert_int_equal(sizeof(struct ours), sizeof(struct theirs))
#    define SAME_AT(ours, theirs, f) assert_int_equal(offsetof(struct ours, f), offsetof(struct theirs, f))
    assert_int_equal(TS_IOCTL_CREATE_HWCTX, DRM_IOCTL_AMDXDNA_CREATE_HWCTX);
    assert_int_equal(TS_IOCTL_DESTROY_HWCTX, DRM_IOCTL_AMDXDNA_DESTROY_HWCTX);
    assert_int_equal(TS_IOCTL_CONFIG_HWCTX, DRM_IOCTL_AMDXDNA_CONFIG_HWCTX);
    assert_int_equal(TS_IOCTL_CREATE_BO, DRM_IOCTL_AMDXDNA_CREATE_BO);
    assert_int_equal(TS_IOCTL_GET_BO_INFO, DRM_IOCTL_AMDXDNA_GET_BO_INFO);
    assert_int_equal(TS_IOCTL_SYNC_BO, DRM_IOCTL_AMDXDNA_SYNC_BO);
    assert_int_equal(TS_IOCTL_EXEC_CMD, DRM_IOCTL_AMDXDNA_EXEC_CMD);
    assert_int_equal(TS_IOCTL_GET_INFO, DRM_IOCTL_AMDXDNA_GET_INFO);
    assert_int_equal(TS_IOCTL_VERSION, DRM_IOCTL_VERSION);
    assert_int_equal(TS_IOCTL_GEM_CLOSE, DRM_IOCTL_GEM_CLOSE);
    assert_int_equal(TS_IOCTL_SYNCOBJ_DESTROY, DRM_IOCTL_SYNCOBJ_DESTROY);
    assert_int_equal(TS_IOCTL_SYNCOBJ_WAIT & 0xff,
                     DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT & 0xff); /* newer ones are longer */
    SAME_SIZE(ts_uapi_create_hwctx, amdxdna_drm_create_hwctx);
    SAME_AT(ts_uapi_create_hwctx, amdxdna_drm_create_hwctx, syncobj_handle);
    SAME_SIZE(ts_uapi_config_cu, amdxdna_hwctx_param_config_cu);
    SAME_SIZE(ts_uapi_create_bo, amdxdna_drm_create_bo);
    SAME_AT(ts_uapi_create_bo, amdxdna_drm_create_bo, handle);
    SAME_SIZE(ts_uapi_get_bo_info, amdxdna_drm_get_bo_info);
    SAME_AT(ts_uapi_get_bo_info, amdxdna_drm_get_bo_info, xdna_addr);
    SAME_SIZE(ts_uapi_exec_cmd, amdxdna_drm_exec_cmd);
    SAME_AT(ts_uapi_exec_cmd, amdxdna_drm_exec_cmd, seq);
    SAME_SIZE(ts_uapi_aie_metadata, amdxdna_drm_query_aie_metadata);
    SAME_SIZE(ts_uapi_hwctx_entry, amdxdna_drm_query_hwctx);
    SAME_SIZE(ts_uapi_clocks, amdxdna_drm_query_clock_metadata);
    SAME_SIZE(ts_uapi_version, drm_version);
    SAME_AT(ts_uapi_version, drm_version, desc);
    SAME_AT(ts_uapi_syncobj_timeline_wait, drm_syncobj_timeline_wait, first_signaled);
    assert_int_equal(TS_UAPI_BO_DEV_HEAP, AMDXDNA_BO_DEV_HEAP);
    assert_int_equal(TS_UAPI_BO_CMD, AMDXDNA_BO_CMD);
    assert_int_equal(TS_UAPI_INFO_FIRMWARE, DRM_AMDXDNA_QUERY_FIRMWARE_VERSION);
#else
    SKIP("this system has no <drm/amdxdna_accel.h>",
         "the headers of Linux 6.14 or later (linux-libc-dev of Debian 13)");
#endif
}

static void test_packet_words(void **state) {
    (void)state;
    uint32_t h = ts_cmd_header(TS_CMD_NEW, TS_CMD_OP_START_CU, 16);
    assert_int_equal(h, 0x00010001);
    assert_int_equal(ts_cmd_state(h), 1);
    assert_int_equal(ts_cmd_count(h), 16);
    assert_int_equal(ts_cmd_op(ts_cmd_header(1, 20, 5)), 20);
    assert_int_equal(ts_cmd_reserved(h), 0);
    assert_int_equal(ts_cmd_reserved(0xffffffff), 0xf0000ff0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_layout), cmocka_unit_test(test_system_header),
                                       cmocka_unit_test(test_packet_words)};
    return cmocka_run_group_tests_name("uapi", tests, NULL, NULL);
}
