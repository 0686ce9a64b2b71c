/* forms.c - constraints that were asked for lately. */
#include "server/forms.h"

#include "base/mem.h"

#include <string.h>

enum { KEY_MAX = 256 << 10 }; /* larger ones are not kept */

struct srv_form {
    ts_constraint *constraint;
    ts_buf key;       /* all that it was made of */
    uint32_t holders;
    bool kept;        /* it is in the list */
};

void srv_forms_init(srv_forms *f) {
    *f = (srv_forms){0};
    pthread_mutex_init(&f->lock, NULL);
}

static void form_free(srv_form *form) {
    if (!form) return;
    ts_constraint_free(form->constraint);
    ts_buf_free(&form->key);
    ts_free(form);
}

void srv_forms_fini(srv_forms *f) {
    for (int i = 0; i < SRV_FORMS; i++) form_free(f->form[i]);
    pthread_mutex_destroy(&f->lock);
}

static bool put_part(ts_buf *key, const char *s, size_t len) {
    return ts_buf_printf(key, "%zu:", s ? len : 0) && ts_buf_append(key, s ? s : "", s ? len : 0);
}

static bool make_key(const ts_constraint_opts *o, ts_buf *key) {
    return ts_buf_printf(key, "%d %d%d%d%d%d ", o->kind, o->tool_named, o->one_call, o->exact, o->thinking,
                         o->in_thinking) &&
           put_part(key, o->tool_format, o->tool_format ? strlen(o->tool_format) : 0) &&
           put_part(key, o->tool_choice, o->tool_choice ? strlen(o->tool_choice) : 0) &&
           put_part(key, o->answer, o->answer_len) && put_part(key, o->text, o->len);
}

/* The one of this key, moved to the front and held; NULL: there is none. Under the lock. */
static srv_form *find(srv_forms *f, const ts_buf *key) {
    for (int i = 0; i < SRV_FORMS && f->form[i]; i++) {
        srv_form *form = f->form[i];
        if (form->key.len != key->len || memcmp(form->key.data, key->data, key->len) != 0) continue;
        memmove(f->form + 1, f->form, (size_t)i * sizeof *f->form);
        f->form[0] = form;
        form->holders++;
        return form;
    }
    return NULL;
}

/* To the front; the last one falls out, and goes when nobody holds it. Under the lock. */
static void keep(srv_forms *f, srv_form *form) {
    srv_form *last = f->form[SRV_FORMS - 1];
    memmove(f->form + 1, f->form, (SRV_FORMS - 1) * sizeof *f->form);
    f->form[0] = form;
    form->kept = true;
    if (!last) return;
    last->kept = false;
    if (last->holders == 0) form_free(last);
}

ts_status srv_form_get(srv_forms *f, const ts_engine *e, const ts_constraint_opts *o, srv_form **out, ts_err *err) {
    srv_form *form = ts_calloc(1, sizeof *form), *other;
    if (!form || !make_key(o, &form->key)) {
        form_free(form);
        return ts_fail_nomem(err, "a constraint", o->len);
    }
    pthread_mutex_lock(&f->lock);
    other = find(f, &form->key);
    pthread_mutex_unlock(&f->lock);
    if (!other) {
        const ts_status s = ts_constraint_new(&form->constraint, e, o, err); /* it may take a while */
        if (s != TS_OK) {
            form_free(form);
            return s;
        }
        pthread_mutex_lock(&f->lock);
        other = find(f, &form->key); /* somebody else was quicker */
        if (!other) {
            form->holders = 1;
            if (form->key.len <= KEY_MAX) keep(f, form);
        }
        pthread_mutex_unlock(&f->lock);
    }
    if (other) form_free(form);
    *out = other ? other : form;
    return TS_OK;
}

void srv_form_drop(srv_forms *f, srv_form *form) {
    if (!form) return;
    pthread_mutex_lock(&f->lock);
    const bool over = --form->holders == 0 && !form->kept;
    pthread_mutex_unlock(&f->lock);
    if (over) form_free(form);
}

ts_constraint *srv_form_constraint(const srv_form *form) {
    return form->constraint;
}
