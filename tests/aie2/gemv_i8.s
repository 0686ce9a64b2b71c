// int8 GEMV for up to four rows of activations: C[4][8] += A[4][K] W[K][8], K = 16 n.
//
// One vmac multiplies a 4x8 block of A with an 8x8 block of W, 256 products. The two halves of W's blocks and A lie in
// different banks, so that every bundle has both loads it can have: 6 loads for 2 blocks, 3 bundles.
//
// In: p0, p1 the lower and upper halves of W's blocks (32 bytes each), p2 the blocks of A, p3 where C goes (int32),
// r4 = n. The loop is pipelined: a pass loads blocks 2j, 2j+1 and multiplies those that were loaded two passes earlier.
// Nothing is renamed: a load lands seven bundles later, the value before it is read until then (@old).
        movxm ls, #loop
        movxm le, #loop_end
        movxm r0, #0x308                // signed 8 x signed 8, 4x8x8
        mova r1, #0
        vbcst.32 x0, r1 ; vclr cm0      // A as zeros: the passes before the first data add nothing
        vbcst.32 x4, r1 ; vclr cm1
        vbcst.32 x2, r1
        vbcst.32 x6, r1
        add.nc lc, r4, #2               // two passes more to finish what is under way
        nop
        nop
loop:
        vlda wl2, [p0], #32 ; vldb wh2, [p1], #32 ; vmac cm1, cm1, x4, x6, r0 @old
        vlda wl0, [p2], #32 ; vldb wl6, [p0], #32
loop_end:
        vlda wh6, [p1], #32 ; vldb wl4, [p2], #32 ; vmac cm0, cm0, x0, x2, r0 @old
        vmac cm1, cm1, x4, x6, r0 @old  // the last odd block
        nop
        nop
        mova r1, #0
        vadd cm0, cm0, cm1, r1          // reads its accumulators in stage 3
        nop
        nop
        nop
        nop
        vst amll0, [p3], #32
        vst amlh0, [p3], #32
        vst amhl0, [p3], #32
        vst amhh0, [p3], #32
        done
