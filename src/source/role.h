/* role.h - what a tensor of a model is for, and which matrices a layer consists of. */
#ifndef TS_SOURCE_ROLE_H
#define TS_SOURCE_ROLE_H

#include <stdint.h>

typedef enum ts_role {
    /* the matrices of a layer, in the order in which a token needs them */
    TS_ROLE_Q,
    TS_ROLE_K,
    TS_ROLE_V,
    TS_ROLE_O,
    TS_ROLE_GATE,
    TS_ROLE_UP,
    TS_ROLE_DOWN,
    TS_LAYER_MATS, /* how many there are */
    /* the vectors of a layer */
    TS_ROLE_ATTN_NORM = TS_LAYER_MATS,
    TS_ROLE_FFN_NORM,
    TS_ROLE_Q_NORM, /* of each head */
    TS_ROLE_K_NORM,
    TS_LAYER_ROLES,
    /* outside the layers */
    TS_ROLE_EMBED = TS_LAYER_ROLES,
    TS_ROLE_OUT_NORM,
    TS_ROLE_HEAD,
    TS_ROLE_ROPE_FACTORS,
    TS_ROLES,
} ts_role;

/* Matrices of a layer with the same input, which run together. */
typedef enum ts_mat_group { TS_GROUP_QKV, TS_GROUP_O, TS_GROUP_FFN, TS_GROUP_DOWN, TS_LAYER_GROUPS } ts_mat_group;
enum { TS_GROUP_MATS = 3 /* at most in a group */ };

typedef struct ts_mat_group_info {
    ts_role first;
    int n;            /* roles first .. first + n - 1 */
    const char *name; /* for people */
} ts_mat_group_info;
extern const ts_mat_group_info ts_layer_group[TS_LAYER_GROUPS]; /* in the order in which a token needs them */

/* The widths of a layer's vectors and matrices. */
typedef enum ts_width {
    TS_WIDTH_MODEL, /* of the residual stream */
    TS_WIDTH_Q,     /* all heads' queries */
    TS_WIDTH_KV,    /* all heads' keys, or values */
    TS_WIDTH_FF,    /* inside the feed-forward network */
    TS_WIDTH_HEAD,  /* one head */
    TS_WIDTHS,
} ts_width;
typedef struct ts_widths {
    uint32_t of[TS_WIDTHS];
} ts_widths;
ts_widths ts_widths_of(uint32_t d_model, uint32_t n_head, uint32_t n_kv_head, uint32_t head_dim, uint32_t d_ff);

/* What goes into a layer's matrix and comes out of it; a vector has the same twice. */
uint32_t ts_role_in(ts_role r, const ts_widths *w);
uint32_t ts_role_out(ts_role r, const ts_widths *w);

#endif
