// int8 GEMM, inner loop at the peak of 256 products a cycle: C[8][16] = A[8][K] W[K][16], K = 8 n.
//
// Two 4x8 blocks of A times two 8x8 blocks of W are four vmacs on four accumulators, one in every bundle, for six loads.
//
// In: p0, p1 the lower and upper halves of W's blocks (block 0, block 1 of each k in turn, 32 bytes each), p2 the blocks
// of A (rows 0-3, rows 4-7 of each k), p3 where C goes (four blocks of 4x8 int32), r4 = n.
        movxm r0, #0x308
        mova r1, #0
        vbcst.32 x0, r1 ; vclr cm0
        vbcst.32 x4, r1 ; vclr cm1
        vbcst.32 x2, r1 ; vclr cm2
        vbcst.32 x6, r1 ; vclr cm3
        movxm ls, #loop
        movxm le, #loop_end
        add.nc lc, r4, #2
        nop
        nop
loop:
        vlda wl0, [p2], #32 ; vldb wl2, [p0], #32 ; vmac cm0, cm0, x0, x2, r0 @old
        vlda wh2, [p1], #32 ; vldb wl4, [p2], #32 ; vmac cm1, cm1, x0, x6, r0 @old
        vlda wl6, [p0], #32 ; vldb wh6, [p1], #32 ; vmac cm2, cm2, x4, x2, r0 @old
loop_end:
        vmac cm3, cm3, x4, x6, r0 @old
        nop
        nop
        vst amll0, [p3], #32
        vst amlh0, [p3], #32
        vst amhl0, [p3], #32
        vst amhh0, [p3], #32
        vst amll1, [p3], #32
        vst amlh1, [p3], #32
        vst amhl1, [p3], #32
        vst amhh1, [p3], #32
        vst amll2, [p3], #32
        vst amlh2, [p3], #32
        vst amhl2, [p3], #32
        vst amhh2, [p3], #32
        vst amll3, [p3], #32
        vst amlh3, [p3], #32
        vst amhl3, [p3], #32
        vst amhh3, [p3], #32
        done
