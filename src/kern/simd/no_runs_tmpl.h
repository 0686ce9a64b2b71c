/* no_runs_tmpl.h - for levels without VQ_RUNS: what gemm_q_tmpl.h names in code that is left out there. Not a header of
 * its own. */
INL vqi vq_pairs(vqi w, vqi x) { return (void)x, w; }
INL vqi vq_pairs_signed(vqi w, vqi x) { return (void)x, w; }
INL vqi vq_more(vqi a, vqi b) { return (void)b, a; }
INL vqi vq_ones(void) { return vq_zero(); }
INL void vq_dot2_here(vqi *acc, vqi a, vqi b) { (void)acc, (void)a, (void)b; }
INL vqi vq_mul16(vqi a, vqi b) { return (void)b, a; }
INL vqi vq_sar16(vqi x, int n) { return (void)n, x; }
