// gemv.s - the program of a core: integer sums of quantised weights times int8 activations, for ever.
//
// It is driven by the headers of the activation packets that come in; weights come in a stream of their own, sums go out.
// docs/npu/gemv.md has the formats and the reasons; the constants in capitals come from gemv_core.h.
//
//      for each packet
//          for each slice of it (1024 K)
//              for each row group of this core (8 rows)
//                  its units, in segments that neither run over a weight buffer nor over a chunk of results
//          last packet of a job: give back what is begun, pass over padding
//          last packet of a command: a proof of what it was computed from
//
// Registers that keep their meaning:
//      r0  multiply 4x8x8, signed bytes        r12 bytes of a slice to spread, or 0    r20 units left in the weight buffer
//      r1  multiply lane by lane, 16 bits      r13 slices left in the packet           r21 units left in the chunk
//      r2  -1   r3  1   r4  0                  r14 last packet of the job              r22 the smaller of the two
//      r9  next weight buffer                  r15 row groups of this core             r23 units of this segment
//      r10 commands done                       r16 buffers to pass over                r24 a weight buffer is held
//      r11 number of the command               r17 units of a row group                r25 a chunk is held
//      r30 next chunk  r31 next packet         r18 row groups left  r19 units left of this one
//      p0 weights  p1 activations  p2 results  p3 slice in the packet  p5 the slice as multiplied  p6 H_UNITS  p7 kernel
//      m0 32       m1 bytes of a row of results   dj0 4 * number of this core              s0 0
//      m4 units in a weight buffer                     m5 units in a chunk             dj1 W_TAG
//      r28 tag of the next weight buffer               r29 all bits in which tags were wrong

        .include "gemv_core.h"

        movxm r0, #0x308
        movxm r1, #0x338
        mova r2, #-1 ; movx r3, #1
        mova r4, #0 ; movxm p4, #PARAMS
        lda r5, [p4, #0] ; movxm r9, #W_BASE
        movxm r30, #O_BASE
        movxm r31, #A_BASE
        movxm m0, #32
        mova r20, #0 ; movx r21, #0 ; vbcst.32 x0, r4
        mova r22, #0 ; movx r24, #0 ; mov s0, r4
        movx r25, #0 ; vbcst.32 x1, r4
        vbcst.32 x2, r4                         // all vector registers once: only halves of some are ever loaded
        mov dj0, r5
        movxm dj1, #W_TAG
        mov r10, r4
        mov r28, r4
        mov r29, r4
        vbcst.32 x3, r4
        vbcst.32 x4, r4
        vbcst.32 x5, r4
        vbcst.32 x6, r4
        vbcst.32 x7, r4
        vbcst.32 x8, r4
        vbcst.32 x9, r4
        vbcst.32 x10, r4
        vbcst.32 x11, r4

// ---- a packet ---------------------------------------------------------------------------------------------------------

packet:
        acq #A_FULL, r2
        nop
        mov p3, r31
        movxm p4, #H_SHARE
        mov m2, r31
        lda r6, [p3, #H_KERNEL]
        lda r5, [p3, #H_STEP] ; paddb [p4], m2
        lda r7, [p4, dj0]
        lda r12, [p3, #H_SPREAD] ; paddb [p4], m0
        lda r8, [p4, dj0]
        lda r11, [p3, #H_NUMBER]
        lda r13, [p3, #H_SLICES]
        lda m4, [p3, #H_UNITS_W]
        lda m5, [p3, #H_UNITS_O]
        lda r14, [p3, #H_LAST] ; movx r26, #2
        movxm r17, #k_q4_0                      // which kernel: r6 is there
        mov m1, r5
        movxm r18, #k_q8_0
        eq r27, r6, r26 ; mov p6, p3
        sel.nez r17, r18, r17, r27 ; padda [p6], #H_UNITS
        movxm r18, #k_q6_k
        eq r27, r6, r3
        sel.nez r17, r18, r17, r27
        movxm r18, #k_q4_k
        eqz r27, r6
        sel.nez r17, r18, r17, r27 ; mova r26, #-24
        lshl r16, r7, r26 ; mov p7, r17
        mova r26, #8 ; padds [p3], #A_HEADER
        lshl r15, r7, r26 ; mova r27, #-8
        lshl r15, r15, r27
        mov r27, r8                             // a tag to begin with, or none
        sel.nez r28, r8, r28, r27

// ---- a slice ----------------------------------------------------------------------------------------------------------

slice:
        lda.u8 r17, [p6], #1 ; jz r15, #packet_end      // none of the rows are mine
        mov r18, r15
        mov p5, p3
        nop
        nop
        nop
        jz r12, #slice_begin                            // four rows of activations: multiplied where they lie
        movxm ls, #spread_first
        movxm le, #spread_last
        movxm p1, #X_BASE - X_BEFORE
        mov p4, p3
        nop

// One token: each block of 8 bytes becomes a multiplier operand of four rows. All four get it; three results are not
// used. 34 passes for 136 blocks, and three more for the stores that come late; the first nine stores are of no use.
        mova lc, #34 + 3
        nop
        nop
        nop
        nop
        nop
spread_first:
        vlda wl0, [p4], #32 ; vextbcst.64 x3, x0, #1 @old ; vst wl2, [p1], #32 @old
        vextbcst.64 x4, x0, #2 @old ; vst wl1, [p1], #32 @old
        vextbcst.64 x2, x0, #3 @old ; vst wl3, [p1], #32 @old
spread_last:
        vextbcst.64 x1, x0, #0 @old ; vst wl4, [p1], #32 @old
        movxm p5, #X_BASE

slice_begin:
        mov r19, r17
        mov p1, p5

// ---- a segment --------------------------------------------------------------------------------------------------------

segment:
        jz r22, #refill
        lt r27, r19, r22
        sel.nez r23, r19, r22, r27
        nop
        nop
        nop
        j p7
        sub r19, r19, r23 ; add.nc lc, r23, #0
        sub r20, r20, r23
        sub r21, r21, r23
        sub r22, r22, r23
        nop

// Back from a kernel.
segment_end:
        jnz r19, #segment
        nop
        nop
        nop
        nop
        nop
        add r18, r18, #-1 ; mov p1, p5
        jnz r18, #segment
        mov r19, r17
        nop
        nop
        nop
        nop

        add r13, r13, #-1 ; mov m2, r12
        jnz r13, #slice
        padda [p3], m2
        nop
        nop
        nop
        nop

packet_end:
        rel #A_EMPTY, r3
        movxm r5, #A_BYTES
        movxm r6, #A_BASE + A_COUNT * A_BYTES
        movxm r7, #A_BASE
        add r31, r31, r5
        eq r27, r31, r6
        sel.nez r31, r7, r31, r27
        jz r14, #packet
        nop
        nop
        nop
        nop
        nop

// The end of a job: what is begun goes back half used, and buffers of nothing but padding are let through. The results go
// last: when the host has them all, all weights have been taken, so their transfers are complete.
        mova r20, #0 ; movx r21, #0
        jz r24, #no_weights
        mova r22, #0
        nop
        nop
        nop
        nop
        rel #W_EMPTY, r3
        mova r24, #0
        nop
        nop
no_weights:
        jz r16, #no_padding
        movxm r5, #W_STRIDE
        movxm r6, #W_BASE + W_COUNT * W_STRIDE
        movxm r7, #W_BASE
        nop
        nop
pass_over:
        acq #W_FULL, r2
        mov p4, r9
        add r9, r9, r5
        eq r27, r9, r6
        sel.nez r9, r7, r9, r27
        nop
        lda r8, [p4, dj1]
        nop
        nop
        nop
        nop
        nop
        nop
        xor r8, r8, r28
        rel #W_EMPTY, r3
        or r29, r29, r8
        add r28, r28, #1
        add r16, r16, #-1
        jnz r16, #pass_over
        nop
        nop
        nop
        nop
        nop
no_padding:
        jz r25, #prove
        movx r5, #2
        eq r27, r14, r5
        nop
        nop
        nop
        rel #O_FULL, r3
        mova r25, #0
        nop
        nop

// The end of a command: what this core has to say about it, in a chunk of its own. The commands are counted twice, in a register
// and in memory, so that neither a program that was started anew nor memory that was loaded anew passes.
prove:
        jz r27, #packet
        movxm p4, #PARAMS
        movxm r6, #O_STRIDE
        movxm r7, #O_BASE + O_COUNT * O_STRIDE
        movxm r8, #O_BASE
        lda r26, [p4, #4]
        acq #O_EMPTY, r2
        mov p2, r30
        add r30, r30, r6
        add r10, r10, #1
        eq r27, r30, r7
        sel.nez r30, r8, r30, r27
        st r11, [p2, #P_NUMBER] ; add r26, r26, #1
        st r26, [p4, #4] ; mov r7, dj0
        st r7, [p2, #P_CORE]
        st r10, [p2, #P_STARTED]
        st r26, [p2, #P_LOADED]
        st r28, [p2, #P_TAG]
        st r29, [p2, #P_WRONG]
        nop
        nop
        nop
        nop
        j #packet
        nop
        rel #O_FULL, r3
        nop
        nop
        nop

// The weight buffer or the chunk is used up: on to the next. Both are released here, when the next one is wanted.
refill:
        jnz r20, #refill_results
        movxm r6, #W_STRIDE
        movxm r7, #W_BASE + W_COUNT * W_STRIDE
        movxm r8, #W_BASE
        nop
        nop
        jz r24, #take_weights
        nop
        nop
        nop
        nop
        nop
        rel #W_EMPTY, r3
        nop
        nop
        nop
take_weights:
        acq #W_FULL, r2
        mov p0, r9
        add r9, r9, r6
        eq r27, r9, r7 ; mov r20, m4
        sel.nez r9, r8, r9, r27 ; mov r24, r3
        nop
        lda r5, [p0, dj1]                       // is it the buffer that it should be?
        nop
        nop
        nop
        nop
        nop
        nop
        xor r5, r5, r28
        or r29, r29, r5
        add r28, r28, #1
refill_results:
        jnz r21, #refilled
        movxm r6, #O_STRIDE
        movxm r7, #O_BASE + O_COUNT * O_STRIDE
        movxm r8, #O_BASE
        nop
        nop
        jz r25, #take_results
        nop
        nop
        nop
        nop
        nop
        rel #O_FULL, r3
        nop
        nop
        nop
take_results:
        acq #O_EMPTY, r2
        mov p2, r30
        add r30, r30, r6
        eq r27, r30, r7 ; mov r21, m5
        sel.nez r30, r8, r30, r27 ; mov r25, r3
refilled:
        j #segment
        lt r27, r20, r21
        sel.nez r22, r20, r21, r27
        nop
        nop
        nop

// ---- Q4_K ---------------------------------------------------------------------------------------------------------------
//
// A unit: 64 low nibbles of sub-scales [8 sub-blocks][8 rows], 64 of minimums, 64 nibbles with the two upper bits of both
// (minimum | scale << 2); then 8 sub-blocks of 32 K: four multiplier operands of 8 K x 8 rows in nibbles.
// Activations: 32 operands of 4 rows x 8 K, then the sums of the 8 sub-blocks in two digits, 64 h + l.
//
//      isum += scale[j] * (dot of 16 K), both halves of sub-block j: |dot| <= 16 * 15 * 127 = 30480 fits 16 bits
//      msum  = 64 * (h x minimum) + (l x minimum): |h x minimum| <= 8 * 64 * 63 = 32256 does too
//
// The sub-blocks overlap, 7 bundles apart. Times of one, from its first bundle (t 0 to 24; bundle t % 7 of pass t / 7):
//      -1 A0   0 B0   1 B1 A1   2 B2 A2   3 B3 A3      loads, there seven later; B2 and A2 follow B0 and A0 in x0 and x2
//      7, 9    cm0 = A0 B0 + A1 B1      14 x4 = its 16-bit dots      18 cm4 += x4 * scale
//      10, 12  cm1 = A2 B2 + A3 B3      17 x5                       22 cm4 += x5 * scale
//      9 the sub-block's scales, eight times over      11 to 16 bits: x8, there from 18 to 24
// x6 scales  x11 minimums  x9 64 in every lane  x10 3 in every byte

k_q4_k: mova r5, #3 ; movx r6, #64
        movxm ls, #q4_k_first
        vbcst.8 x10, r5
        vbcst.16 x9, r6
        movxm le, #q4_k_last
q4_k_first:
        vldb.unpack.d8.d4 x6, [p0], m0
        vldb.unpack.d8.d4 x11, [p0], m0
        vldb.unpack.d8.d4 x8, [p0], m0
        nop
        nop
        vlda wl2, [p1], #32
// pass 0
        vldb.unpack.d8.d4 x0, [p0], m0
        vldb.unpack.d8.d4 x1, [p0], m0 ; vlda wl3, [p1], #32
        vldb.unpack.d8.d4 x0, [p0], m0 ; vlda wl2, [p1], #32
        vldb.unpack.d8.d4 x1, [p0], m0 ; vlda wl3, [p1], #32 ; vband x7, x8, x10     // upper bits of the minimums
        vsub.8 x8, x8, x7                                                            // and of the scales, times 4
        vadd.8 x8, x8, x8
        vlda wl2, [p1], #32 ; vadd.8 x8, x8, x8
// pass 1
        vldb.unpack.d8.d4 x0, [p0], m0 ; vmul cm0, x2, x0, r0 @old ; vadd.8 x6, x6, x8
        vldb.unpack.d8.d4 x1, [p0], m0 ; vlda wl3, [p1], #32 ; vadd.8 x8, x7, x7
        vldb.unpack.d8.d4 x0, [p0], m0 ; vlda wl2, [p1], #32 ; vmac cm0, cm0, x3, x1, r0 @old ; vextbcst.64 x7, x6, #0
        vldb.unpack.d8.d4 x1, [p0], m0 ; vlda wl3, [p1], #32 ; vmul cm1, x2, x0, r0 @old ; vadd.8 x8, x8, x8
        vunpack.s16.s8 x8, wl7 ; vadd.8 x8, x8, x8
        vmac cm1, cm1, x3, x1, r0 @old ; vadd.8 x8, x8, x8 @old
        vlda wl2, [p1], #32 ; vadd.8 x11, x11, x8 @old
// pass 2
        vldb.unpack.d8.d4 x0, [p0], m0 ; vmul cm0, x2, x0, r0 @old ; vsrs.s16.s32 x4, cm0, s0
        vldb.unpack.d8.d4 x1, [p0], m0 ; vlda wl3, [p1], #32
        vldb.unpack.d8.d4 x0, [p0], m0 ; vlda wl2, [p1], #32 ; vmac cm0, cm0, x3, x1, r0 @old ; vextbcst.64 x7, x6, #1
        vldb.unpack.d8.d4 x1, [p0], m0 ; vlda wl3, [p1], #32 ; vmul cm1, x2, x0, r0 @old ; vsrs.s16.s32 x5, cm1, s0
        vunpack.s16.s8 x8, wl7 ; vmul cm4, x4, x8, r1
        vmac cm1, cm1, x3, x1, r0 @old
        vlda wl2, [p1], #32
        .set j, 2
        .rept 5
        vldb.unpack.d8.d4 x0, [p0], m0 ; vmul cm0, x2, x0, r0 @old ; vsrs.s16.s32 x4, cm0, s0
        vldb.unpack.d8.d4 x1, [p0], m0 ; vlda wl3, [p1], #32 ; vmac cm4, cm4, x5, x8, r1 @old
        vldb.unpack.d8.d4 x0, [p0], m0 ; vlda wl2, [p1], #32 ; vmac cm0, cm0, x3, x1, r0 @old ; vextbcst.64 x7, x6, #j
        vldb.unpack.d8.d4 x1, [p0], m0 ; vlda wl3, [p1], #32 ; vmul cm1, x2, x0, r0 @old ; vsrs.s16.s32 x5, cm1, s0
        vunpack.s16.s8 x8, wl7 ; vmac cm4, cm4, x4, x8, r1
        vmac cm1, cm1, x3, x1, r0 @old
        vlda wl2, [p1], #32
        .set j, j + 1
        .endr
// pass 8: the last sub-block's products; the digits of the sums are loaded, wl2 above already
        vmul cm0, x2, x0, r0 @old ; vsrs.s16.s32 x4, cm0, s0
        vlda wl3, [p1], #32 ; vmac cm4, cm4, x5, x8, r1 @old
        vmac cm0, cm0, x3, x1, r0 @old ; vextbcst.64 x7, x6, #7
        vmul cm1, x2, x0, r0 @old ; vsrs.s16.s32 x5, cm1, s0
        vunpack.s16.s8 x8, wl7 ; vmac cm4, cm4, x4, x8, r1
        vmac cm1, cm1, x3, x1, r0 @old
        nop
// pass 9
        vmul cm2, x2, x11, r0 ; vsrs.s16.s32 x4, cm0, s0
        vmac cm4, cm4, x5, x8, r1 @old
        vmul cm3, x3, x11, r0
        vsrs.s16.s32 x5, cm1, s0
        vmac cm4, cm4, x4, x8, r1
        vsrs.s16.s32 x0, cm2, s0
        nop
// pass 10
        nop
        vmac cm4, cm4, x5, x8, r1
        vmac cm3, cm3, x0, x9, r1
        nop
        nop
        nop
        vst amhh4, [p2, #96]
        vst amhl4, [p2, #64]
        vst amlh4, [p2, #32]
        vst amll4, [p2], m1
        vst amhh3, [p2, #96]
        vst amhl3, [p2, #64]
        vst amlh3, [p2, #32]
q4_k_last:
        vst amll3, [p2], m1
        j #segment_end
        nop
        nop
        nop
        nop
        nop

// ---- Q6_K ---------------------------------------------------------------------------------------------------------------
//
// A unit: twice { 64 scales [8 sub-blocks][8 rows]; 8 sub-blocks of 16 K }. A sub-block: 64 nibbles h = 4 b + a whose
// fields are the upper bits of both operands that follow, a for the first, 0 to 3, b for the second, -2 to 1; then two
// operands of 8 K x 8 rows, the lower four bits in nibbles. A weight is 16 (a - 2) + low, or 16 b + low. Activations as
// for Q4_K; the sums are not used.
//
//      low  += scale[j] * dot of 16 K with the nibbles, |dot| <= 30480
//      high += scale[j] * dot with 4 (a - 2) and 4 b, |dot| <= 16 * 8 * 127 = 16256;      isum = low + 4 high
//
// Times of a sub-block (t 0 to 24), 7 bundles apart:
//      0 H   1 B0 A0   2 A1   3 B1                  loads, there seven later; B1 follows B0 in x0
//      7 a   8 4 b: x5   9, 10, 11 4 (a - 2): x4
//      9, 11   cm0 = A0 B0 + A1 B1      16 x11 = its 16-bit dots      21 cm4 += x11 * scale
//      13, 15  cm1 = A0 x4 + A1 x5      20 x11                        24 cm5 += x11 * scale
//      12 the scales, eight times over, and to 16 bits: x10, there from 19 to 25
// x6 scales of eight sub-blocks  x1 3 in every byte  x7 8

k_q6_k: mova r5, #3 ; movx r6, #8
        movxm ls, #q6_k_first
        vbcst.8 x1, r5
        vbcst.8 x7, r6
        movxm le, #q6_k_last
q6_k_first:
        vldb wl6, [p0], #32
        vldb wh6, [p0], #32
// pass 0
        vldb.unpack.s8.s4 x8, [p0], m0
        vldb.unpack.d8.d4 x0, [p0], m0 ; vlda wl2, [p1], #32
        vlda wl3, [p1], #32
        vldb.unpack.d8.d4 x0, [p0], m0
        nop
        nop
        nop
// pass 1
        vldb.unpack.s8.s4 x8, [p0], m0 ; vband x4, x8, x1 @old
        vldb.unpack.d8.d4 x0, [p0], m0 ; vlda wl2, [p1], #32 ; vsub.8 x5, x8, x4 @old
        vlda wl3, [p1], #32 ; vadd.8 x4, x4, x4 ; vmul cm0, x2, x0, r0 @old
        vldb.unpack.d8.d4 x0, [p0], m0 ; vadd.8 x4, x4, x4
        vsub.8 x4, x4, x7 ; vmac cm0, cm0, x3, x0, r0 @old
        vextbcst.64 x9, x6, #0 ; vunpack.s16.s8 x10, wl9
        vmul cm1, x2, x4, r0 @old
// pass 2
        vldb.unpack.s8.s4 x8, [p0], m0 ; vband x4, x8, x1 @old
        vldb.unpack.d8.d4 x0, [p0], m0 ; vlda wl2, [p1], #32 ; vsub.8 x5, x8, x4 @old ; vmac cm1, cm1, x3, x5, r0 @old
        vlda wl3, [p1], #32 ; vadd.8 x4, x4, x4 ; vmul cm0, x2, x0, r0 @old ; vsrs.s16.s32 x11, cm0, s0
        vldb.unpack.d8.d4 x0, [p0], m0 ; vadd.8 x4, x4, x4
        vsub.8 x4, x4, x7 ; vmac cm0, cm0, x3, x0, r0 @old
        vextbcst.64 x9, x6, #1 ; vunpack.s16.s8 x10, wl9
        vmul cm1, x2, x4, r0 @old ; vsrs.s16.s32 x11, cm1, s0
// pass 3
        vldb.unpack.s8.s4 x8, [p0], m0 ; vband x4, x8, x1 @old ; vmul cm4, x11, x10, r1 @old
        vldb.unpack.d8.d4 x0, [p0], m0 ; vlda wl2, [p1], #32 ; vsub.8 x5, x8, x4 @old ; vmac cm1, cm1, x3, x5, r0 @old
        vlda wl3, [p1], #32 ; vadd.8 x4, x4, x4 ; vmul cm0, x2, x0, r0 @old ; vsrs.s16.s32 x11, cm0, s0
        vldb.unpack.d8.d4 x0, [p0], m0 ; vadd.8 x4, x4, x4 ; vmul cm5, x11, x10, r1 @old
        vsub.8 x4, x4, x7 ; vmac cm0, cm0, x3, x0, r0 @old
        vextbcst.64 x9, x6, #2 ; vunpack.s16.s8 x10, wl9
        vmul cm1, x2, x4, r0 @old ; vsrs.s16.s32 x11, cm1, s0
        .set j, 3
        .rept 3
        vldb.unpack.s8.s4 x8, [p0], m0 ; vband x4, x8, x1 @old ; vmac cm4, cm4, x11, x10, r1 @old
        vldb.unpack.d8.d4 x0, [p0], m0 ; vlda wl2, [p1], #32 ; vsub.8 x5, x8, x4 @old ; vmac cm1, cm1, x3, x5, r0 @old
        vlda wl3, [p1], #32 ; vadd.8 x4, x4, x4 ; vmul cm0, x2, x0, r0 @old ; vsrs.s16.s32 x11, cm0, s0
        vldb.unpack.d8.d4 x0, [p0], m0 ; vadd.8 x4, x4, x4 ; vmac cm5, cm5, x11, x10, r1 @old
        vsub.8 x4, x4, x7 ; vmac cm0, cm0, x3, x0, r0 @old
        vextbcst.64 x9, x6, #j ; vunpack.s16.s8 x10, wl9
        vmul cm1, x2, x4, r0 @old ; vsrs.s16.s32 x11, cm1, s0
        .set j, j + 1
        .endr
// pass 7: the other eight scales. The lower four are there in pass 8 just before the last of the first eight is used, the
// upper ones just after
        vldb.unpack.s8.s4 x8, [p0], m0 ; vband x4, x8, x1 @old ; vmac cm4, cm4, x11, x10, r1 @old
        vldb.unpack.d8.d4 x0, [p0], m0 ; vlda wl2, [p1], #32 ; vsub.8 x5, x8, x4 @old ; vmac cm1, cm1, x3, x5, r0 @old
        vlda wl3, [p1], #32 ; vadd.8 x4, x4, x4 ; vmul cm0, x2, x0, r0 @old ; vsrs.s16.s32 x11, cm0, s0
        vldb.unpack.d8.d4 x0, [p0], m0 ; vadd.8 x4, x4, x4 ; vmac cm5, cm5, x11, x10, r1 @old
        vldb wl6, [p0], #32 ; vsub.8 x4, x4, x7 ; vmac cm0, cm0, x3, x0, r0 @old
        vextbcst.64 x9, x6, #6 @old ; vunpack.s16.s8 x10, wl9
        vldb wh6, [p0], #32 ; vmul cm1, x2, x4, r0 @old ; vsrs.s16.s32 x11, cm1, s0
        .set j, 7
        .rept 8
        vldb.unpack.s8.s4 x8, [p0], m0 ; vband x4, x8, x1 @old ; vmac cm4, cm4, x11, x10, r1 @old
        vldb.unpack.d8.d4 x0, [p0], m0 ; vlda wl2, [p1], #32 ; vsub.8 x5, x8, x4 @old ; vmac cm1, cm1, x3, x5, r0 @old
        vlda wl3, [p1], #32 ; vadd.8 x4, x4, x4 ; vmul cm0, x2, x0, r0 @old ; vsrs.s16.s32 x11, cm0, s0
        vldb.unpack.d8.d4 x0, [p0], m0 ; vadd.8 x4, x4, x4 ; vmac cm5, cm5, x11, x10, r1 @old
        vsub.8 x4, x4, x7 ; vmac cm0, cm0, x3, x0, r0 @old
        vextbcst.64 x9, x6, #(j & 7) @old ; vunpack.s16.s8 x10, wl9
        vmul cm1, x2, x4, r0 @old ; vsrs.s16.s32 x11, cm1, s0
        .set j, j + 1
        .endr
// pass 16: the last products
        vband x4, x8, x1 ; vmac cm4, cm4, x11, x10, r1 @old
        vsub.8 x5, x8, x4 ; vmac cm1, cm1, x3, x5, r0 @old
        vadd.8 x4, x4, x4 ; vmul cm0, x2, x0, r0 @old ; vsrs.s16.s32 x11, cm0, s0
        vadd.8 x4, x4, x4 ; vmac cm5, cm5, x11, x10, r1 @old
        vsub.8 x4, x4, x7 ; vmac cm0, cm0, x3, x0, r0
        vextbcst.64 x9, x6, #7 ; vunpack.s16.s8 x10, wl9
        vmul cm1, x2, x4, r0 ; vsrs.s16.s32 x11, cm1, s0
// pass 17
        vmac cm4, cm4, x11, x10, r1 @old
        vmac cm1, cm1, x3, x5, r0
        vsrs.s16.s32 x11, cm0, s0
        vmac cm5, cm5, x11, x10, r1 @old
        padda [p1], #64
        nop
        vsrs.s16.s32 x11, cm1, s0
// pass 18
        vmac cm4, cm4, x11, x10, r1 @old
        nop
        nop
        vmac cm5, cm5, x11, x10, r1
        nop
        vadd cm5, cm5, cm5, r4
        nop
        vadd cm5, cm5, cm5, r4
        nop
        vadd cm4, cm4, cm5, r4
        nop
        nop
        nop
        nop
        vst amhh4, [p2, #96]
        vst amhl4, [p2, #64]
        vst amlh4, [p2, #32]
q6_k_last:
        vst amll4, [p2], m1
        j #segment_end
        nop
        nop
        nop
        nop
        nop

// ---- Q8_0 ---------------------------------------------------------------------------------------------------------------
//
// A unit is a block of 32 K: four operands of 8 K x 8 rows, whole bytes. The dot is the result.

k_q8_0: movxm ls, #q8_0_first
        movxm le, #q8_0_last
q8_0_first:
        vldb wl0, [p0], #32 ; vlda wl4, [p1], #32
        vldb wh0, [p0], #32 ; vlda wl5, [p1], #32
        vldb wl1, [p0], #32 ; vlda wl6, [p1], #32
        vldb wh1, [p0], #32 ; vlda wl7, [p1], #32
        vldb wl2, [p0], #32
        vldb wh2, [p0], #32
        vldb wl3, [p0], #32
        vldb wh3, [p0], #32
        vmul cm0, x4, x0, r0
        nop
        vmac cm0, cm0, x5, x1, r0
        nop
        vmac cm0, cm0, x6, x2, r0
        nop
        vmac cm0, cm0, x7, x3, r0
        nop
        nop
        nop
        nop
        vst amhh0, [p2, #96]
        vst amhl0, [p2, #64]
        vst amlh0, [p2, #32]
q8_0_last:
        vst amll0, [p2], m1
        j #segment_end
        nop
        nop
        nop
        nop
        nop

// ---- Q4_0 ---------------------------------------------------------------------------------------------------------------
//
// A unit is two blocks of 32 K: eight operands of 8 K x 8 rows in signed nibbles. |dot| <= 32 * 8 * 127 = 32512 fits
// 16 bits, so a row of results is the dots of both blocks.

k_q4_0: movxm ls, #q4_0_first
        mova r5, #12
        mova r6, #13
        movxm le, #q4_0_last
q4_0_first:
        vldb.unpack.s8.s4 x0, [p0], m0 ; vlda wl4, [p1], #32
        vldb.unpack.s8.s4 x1, [p0], m0 ; vlda wl5, [p1], #32
        vldb.unpack.s8.s4 x2, [p0], m0 ; vlda wl6, [p1], #32
        vldb.unpack.s8.s4 x3, [p0], m0 ; vlda wl7, [p1], #32
        vldb.unpack.s8.s4 x0, [p0], m0 ; vlda wl4, [p1], #32
        vldb.unpack.s8.s4 x1, [p0], m0 ; vlda wl5, [p1], #32
        vldb.unpack.s8.s4 x2, [p0], m0 ; vlda wl6, [p1], #32
        vldb.unpack.s8.s4 x3, [p0], m0 ; vlda wl7, [p1], #32 ; vmul cm0, x4, x0, r0 @old
        nop
        vmac cm0, cm0, x5, x1, r0 @old
        nop
        vmac cm0, cm0, x6, x2, r0 @old
        vmul cm1, x4, x0, r0
        vmac cm0, cm0, x7, x3, r0 @old
        vmac cm1, cm1, x5, x1, r0
        nop
        vmac cm1, cm1, x6, x2, r0
        nop
        vmac cm1, cm1, x7, x3, r0 ; vsrs.s16.s32 x8, cm0, s0
        nop
        nop
        nop
        nop
        vsrs.s16.s32 x9, cm1, s0
        nop
        nop
        nop
        vshuffle x10, x8, x9, r5                // tokens 0, 1: block, block
        vshuffle x11, x8, x9, r6                // tokens 2, 3
        vst wh10, [p2, #32]
        vst wl11, [p2, #64]
        vst wh11, [p2, #96]
q4_0_last:
        vst wl10, [p2], m1
        j #segment_end
        nop
        nop
        nop
        nop
        nop
