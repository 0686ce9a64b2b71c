// Dot product of two bfloat16 vectors of 64 n elements.
//
// vmac.f in its element-wise shape multiplies 32 pairs and adds them to 16 float lanes. A float accumulator can be used
// again after four bundles, so two take turns; the loads, two a bundle, are what bounds the loop: 4 bundles for 64 pairs.
//
// In: p0, p1 the vectors, in different banks; p3 where the float goes; r4 = n.
        mova r0, #0x3c                  // bfloat16, lane by lane
        mova r1, #0
        vbcst.32 x0, r1 ; vclr bml0
        vbcst.32 x4, r1 ; vclr bml1
        vbcst.32 x2, r1
        vbcst.32 x6, r1
        movxm ls, #loop
        movxm le, #loop_end
        add.nc lc, r4, #2
        nop
        nop
loop:
        vlda wl0, [p0], #32 ; vldb wl2, [p1], #32 ; vmac.f bml0, bml0, x0, x2, r0 @old
        vlda wh0, [p0], #32 ; vldb wh2, [p1], #32
        vlda wl4, [p0], #32 ; vldb wl6, [p1], #32 ; vmac.f bml1, bml1, x4, x6, r0 @old
loop_end:
        vlda wh4, [p0], #32 ; vldb wh6, [p1], #32
        nop
        mova r2, #32
        vadd.f bml0, bml0, bml1, r0     // reads its accumulators in stage 3, when the last vmac.f has just written
// 16 lanes to one: add the vector turned by half, a quarter, an eighth, a lane
        .rept 4
        nop
        nop
        nop
        nop
        nop
        vmov x0, bml0
        vshift x2, x0, x0, r2
        vmov bml1, x2
        mova r3, #-1
        ashl r2, r2, r3
        vadd.f bml0, bml0, bml1, r0
        .endr
        nop
        nop
        nop
        nop
        nop
        vmov x0, bml0
        mova r16, #0
        nop
        vextract.s32 r5, x0, r16
        nop
        st r5, [p3, #0]
        done
