/* Any text as a choice of devices: it is taken or refused in one line, and what is taken shares out 100 % at most. */
#include "base/mem.h"
#include "device/devices.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    ts_device_plan plan;
    ts_err err;
    char *text = ts_alloc(1, len + 1);
    if (!text) return 0;
    if (len) memcpy(text, data, len);
    text[len] = 0;
    if (ts_device_parse(&plan, text, ts_devices, &err) == TS_OK) {
        uint32_t percent = 0;
        for (int i = 0; i < plan.n; i++) {
            if (!plan.use[i].device || !plan.use[i].percent) abort();
            percent += plan.use[i].percent;
        }
        if (percent > 100 || plan.n > TS_DEVICES_AT_ONCE) abort();
    } else if (err.code != TS_E_INVAL || strlen(err.msg) >= sizeof err.msg) {
        abort();
    }
    ts_free(text);
    return 0;
}
