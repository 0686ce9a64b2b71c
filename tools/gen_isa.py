#!/usr/bin/env python3
"""Write src/aie2/isa.def, the one instruction table, from the facts in two JSON files.

Run it when the facts change (a corrected latency, a better name), then commit the result:

    tools/gen_isa.py FOLDER > src/aie2/isa.def

FOLDER holds aie2_encoding.json, aie2_latency.json and shuffle_modes.json. The tests run it again and compare. What the
JSON files leave open is settled here, each with its source: which operand is written and which is read, the implicit
registers, the register-file ports ([doc] the scheduling model that the open compiler publishes for this core)."""
import json
import pathlib
import re
import sys

SLOTS = ["nop", "lda", "ldb", "st", "alu", "mv", "vec", "lng"]
NOP_NAME = {"nop": "NOP", "lda": "NOPA", "ldb": "NOPB", "st": "NOPS", "alu": "NOPX", "mv": "NOPM", "vec": "NOPV",
            "lng": "NOPXM"}

# ---- registers ------------------------------------------------------------------------------------------------------
# The register file is one run of bytes: 4-byte scalars, then x0-x11, cm0-cm8, q0-q3. (kind, names in order).
CR = ["crVaddSign", "crF2FMask", "crF2IMask", "crFPMask", "crMCDEn", "crPackSign", "crRnd", "crSCDEn", "crSRSSign",
      "crSat", "crUPSSign", "crUnpackSign"]
SR = ["srCarry", "srCompr_uf", "srF2FFlags", "srF2IFlags", "srFPFlags", "srMS0", "srSRS_of", "srSS0", "srSparse_of",
      "srUPS_of"]
SCALARS = [("R", [f"r{i}" for i in range(32)])]
SCALARS += [(k.upper(), [f"{k}{i}" for i in range(8)]) for k in ("p", "m", "dn", "dj", "dc")]
SCALARS += [(n.upper() if n != "CORE_ID" else "COREID", [n]) for n in ("SP", "lr", "LC", "LS", "LE", "DP", "CORE_ID")]
SCALARS += [("S", [f"s{i}" for i in range(4)]), ("CR", CR), ("SR", SR)]
X_AT, CM_AT, Q_AT, END_AT = 448, 448 + 12 * 64, 448 + 12 * 64 + 9 * 128, 448 + 12 * 64 + 9 * 128 + 64


def registers():
    """(name, kind, number within its kind, byte offset, bytes)."""
    out, at = [], 0
    for kind, names in SCALARS:
        for i, name in enumerate(names):
            out.append((name, kind, i, at, 4))
            at += 4
    assert at <= X_AT
    for i in range(12):
        out.append((f"wl{i}", "WL", i, X_AT + 64 * i, 32))
        out.append((f"wh{i}", "WH", i, X_AT + 64 * i + 32, 32))
    out += [(f"x{i}", "X", i, X_AT + 64 * i, 64) for i in range(12)]
    for i in range(9):
        for j, part in enumerate(("ll", "lh", "hl", "hh")):
            out.append((f"am{part}{i}", "AM", 4 * i + j, CM_AT + 128 * i + 32 * j, 32))
    for i in range(9):
        out.append((f"bml{i}", "BM", 2 * i, CM_AT + 128 * i, 64))
        out.append((f"bmh{i}", "BM", 2 * i + 1, CM_AT + 128 * i + 64, 64))
    out += [(f"cm{i}", "CM", i, CM_AT + 128 * i, 128) for i in range(9)]
    out += [(f"q{i}", "Q", i, Q_AT + 16 * i, 16) for i in range(4)]
    # pairs and groups
    out += [(f"l{i}", "L", i, 4 * (16 + 2 * i), 8) for i in range(8)]
    out += [(f"y{i}", "Y", i, X_AT + 128 * i, 128) for i in range(2, 6)]
    at_of = {r[0]: r[3] for r in out}
    out += [(f"d{i}", "D", i, at_of[f"m{i}"], 4) for i in range(8)]       # m, dn, dj, dc of one number
    out += [(f"d{i}_3d", "D3", i, at_of[f"m{i}"], 4) for i in range(4)]   # dN and the dn, dj, dc of N + 4
    out += [(f"qx{i}", "QX", i, X_AT + 64 * i, 64) for i in range(4)]     # xN with the mask qN
    for i in range(4):
        out.append((f"qwl{i}", "QWL", i, X_AT + 64 * i, 32))
        out.append((f"qwh{i}", "QWH", i, X_AT + 64 * i + 32, 32))
    return out


# ---- what an instruction reads and writes ---------------------------------------------------------------------------
SRC_NAMES = {"src", "csrc", "s0", "s1", "s2", "acc1", "acc2", "xs1", "ys1", "qxs2", "shft", "ptr", "mod", "dj", "imm",
             "i", "c11s", "c7s", "c", "sel", "idx", "pre", "shift", "mPm", "cpmaddr", "id", "addr", "nw", "op",
             "pcktType", "val", "mSclSt", "mRv", "mRx0", "mRy", "mMvSclSrc"}
DST_NAMES = {"dst", "d", "cdst", "cmp", "mRa", "mLdaScl", "mLdaCg", "mMvSclDst", "mMvSclDstCg", "mCRm", "d0"}


def is_dst(insn, op):
    name = op["name"]
    if name == "mRx":  # the first of "add mRx, mRx0, mRy", but a source of "acq mRx, mRy", "jnz mRx", "movx cr, mRx"
        return insn["mnemonic"].split(".")[0] not in ("acq", "rel", "jz", "jnz", "movx")
    if name in DST_NAMES:
        return True
    assert name in SRC_NAMES, (insn["name"], name)
    return False


# Implicit registers by schedule class: (pattern, [(register, "use"/"def"/"or", cycle)]). "or" adds sticky flag bits.
IMPLICIT = [
    (r"II_(ABS|ADD|ADC|SUB|SBC|JNZD)$", [("srCarry", "def", 1)]),
    (r"II_(ADC|SBC)$", [("srCarry", "use", 1)]),
    (r"II_JL(_IND)?$", [("lr", "def", 4)]),
    (r"II_RET$", [("lr", "use", 1)]),
    (r"II_(ST_MS_NB|MOV_PH_NB|MOV_CPH_NB)", [("srMS0", "def", 3)]),
    (r"II_(VACCf|VNEGf|VCLRf|VMACf|VMSCf|VMULf|VNEGMULf|VADDMACf)$", [("crFPMask", "use", 7),
                                                                    ("srFPFlags", "or", 7)]),
    (r"II_VLDA_.*UPS$", [("crSat", "use", 8), ("srUPS_of", "or", 8)]),
    (r"II_VUPS$", [("crSat", "use", 1), ("srUPS_of", "or", 1)]),
    (r"II_(VSRSM?|VST_.*SRS)$", [("crSat", "use", 1), ("crRnd", "use", 1), ("srSRS_of", "or", 3)]),
    (r"II_(VPACK|VST_.*PACK.*)$", [("crSat", "use", 1)]),
    (r"II_(VCONV|VST_.*CONV.*)$", [("crRnd", "use", 1), ("crF2FMask", "use", 1), ("srF2FFlags", "or", 1)]),
    (r"II_VFLOOR", [("crF2IMask", "use", 1), ("srF2IFlags", "or", 2)]),
    (r"II_VLDB_(SPARSE|COMPR)", [("DP", "use", 6)]),
    (r"II_VLDB_(SPARSE|COMPR)_(RESET|POP)", [("DP", "def", 6)]),
    (r"II_VLDB_SPARSE", [("srSparse_of", "or", 6)]),
    (r"II_VLDB_(SPARSE|COMPR)_(PEEK|POP)", [("srCompr_uf", "or", 5)]),
    (r"II_VMOV_CASCADE_READ", [("crSCDEn", "use", 5)]),
    (r"II_VMOV_CASCADE_WRITE", [("crMCDEn", "use", 1)]),
]
# The sign of a ".d" form comes from a control register; a ".s" form carries it in the encoding.
DYNAMIC_SIGN = [
    (r"^(vabs_gtz|vmax_lt|vmin_ge|vsub_lt|vsub_ge|vmaxdiff_lt|vlt|vge|vextract)\.d\d", ("crVaddSign", "use", 1)),
    (r"^vlda\.(2d\.|3d\.)?ups\.s\d+\.d", ("crUPSSign", "use", 7)),
    (r"^vups\.s\d+\.d", ("crUPSSign", "use", 1)),
    (r"^(vsrsm?|vst\.(2d\.|3d\.)?srs)\.d", ("crSRSSign", "use", 1)),
    (r"^(vpack|vst\.(2d\.|3d\.)?pack)\.d", ("crPackSign", "use", 1)),
    (r"^(vunpack|vldb\.(2d\.|3d\.)?unpack)\.d", ("crUnpackSign", "use", 7)),
]

# Ports and units by schedule class: (unit, first cycle, cycles, kind). Kinds: "own" occupies, "avoid" only stays clear
# of an owner. SCLA/SCLM stand for the write port of whatever scalar register is the destination (through the load or
# the move unit), PRM for the address-register read port when the source is one, VECWM/VECWA for the vector or
# accumulator write port of the destination, CMRM? for the accumulator read port when the source is an accumulator.
UNITS = [
    (r"II_(ABS|ADC|ADD|AND|ASHL|CLB|CLZ|DIVS|EQ|EQZ|EXTEND.*|GE|GEU|LSHL|LT|LTU|NE|NEZ|OR|SBC|SELEQZ|SELNEZ|SUB|XOR"
     r"|MOVX)$", [("R_WX", 1, 1, "own")]),
    (r"II_MUL$", [("R_WX", 2, 1, "own")]),
    (r"II_(ACQ|REL)(_COND)?$", [("SEMAPHORE", 2, 4, "own")]),
    (r"II_(J_IND|JL_IND|JNZD)$", [("P_RM", 1, 1, "own")]),
    (r"II_(ADD_NC|MOV)$", [("SCLM", 1, 1, "own")]),
    (r"II_MOV_SCL$", [("PRM", 1, 1, "own"), ("SCLM", 1, 1, "own")]),
    (r"II_MOVA$", [("SCLA", 1, 1, "own")]),
    (r"II_LDA(_POST_[123]D)?(_R)?$", [("LOAD_A", 2, 1, "own"), ("SCLA", 7, 1, "own"), ("PARTWORD", 1, 1, "avoid")]),
    (r"II_LDA_TM$", [("PROC_BUS", 1, 1, "own"), ("LOAD_A", 2, 1, "own"), ("SCLA", 7, 1, "own")]),
    (r"II_LDA_(POSTINC_|2D_|3D_)?Q$", [("LOAD_A", 2, 1, "own"), ("PARTWORD", 1, 1, "avoid")]),
    (r"II_VLDA_.*UPS$", [("LOAD_A", 2, 1, "own"), ("UPS", 7, 1, "own"), ("CM_WM", 9, 1, "own"),
                         ("PARTWORD", 1, 1, "avoid")]),
    (r"II_VLDA_(POSTINC_|2D_|3D_)?W$", [("LOAD_A", 2, 1, "own"), ("W_WA", 7, 1, "own"), ("PARTWORD", 1, 1, "avoid")]),
    (r"II_VLDA_.*(AM|CONV)$", [("LOAD_A", 2, 1, "own"), ("CM_WM", 7, 1, "own"), ("PARTWORD", 1, 1, "avoid")]),
    (r"II_VLDB(_POSTINC|_[23]D|_PTR.*|_UNPACK.*|_SPARSE.*|_COMPR.*)?$", [("PARTWORD", 1, 1, "avoid")]),
    (r"II_VLDB_4X$", [("W_RS", 1, 1, "own"), ("LOAD_A", 2, 1, "own"), ("PARTWORD", 1, 1, "avoid")]),
    (r"II_MOV_SS$", [("SEMAPHORE", 1, 7, "avoid"), ("R_WA", 7, 1, "own")]),
    (r"II_MOVd([1-6])$", None),
    (r"II_ST(_POST_[123]D)?$", [("PARTWORD", 1, 1, "avoid"), ("R_RV", 1, 1, "own"), ("PRM", 1, 1, "own"),
                                ("STORE", 2, 1, "own")]),
    (r"II_ST_TM$", [("PROC_BUS", 1, 1, "own"), ("R_RV", 1, 1, "own"), ("PRM", 1, 1, "own"), ("STORE", 2, 1, "own")]),
    (r"II_ST_(POSTINC_|2D_|3D_)?Q$", [("PARTWORD", 1, 1, "avoid"), ("STORE", 2, 1, "own")]),
    (r"II_STHB", [("PARTWORD", 1, 7, "own"), ("LOAD_A", 2, 1, "own"), ("R_WA", 7, 1, "own"), ("R_RV", 7, 1, "own"),
                  ("STORE", 8, 1, "own")]),
    (r"II_ST_MS", [("R_RV", 1, 1, "own"), ("PRM", 1, 1, "own"), ("SEMAPHORE", 2, 2, "avoid")]),
    (r"II_MOV_PH", [("R_RV", 1, 1, "own"), ("SEMAPHORE", 2, 5, "avoid")]),
    (r"II_MOV_CPH", [("P_RM", 1, 1, "own"), ("R_RV", 1, 1, "own"), ("SEMAPHORE", 2, 5, "avoid")]),
    (r"II_(VABS_GTZ|VNEG_GTZ|VBNEG_LTZ|VMAX_LT|VMIN_GE|VSUB_CMP|VMAXDIFF_LT)$",
     [("W_WM", 2, 1, "own"), ("RS_WM", 2, 1, "own")]),
    (r"II_(VCMP|VEQZ)$", [("RS_WM", 2, 1, "own")]),
    (r"II_VEXTRACT", [("SCLM", 2, 1, "own")]),
    (r"II_(VADD|VSUB|VBLOG|VBCST|VEXTBCST|VINSERT|VPUSH_HI|VPUSH_LO|VSHIFT|VSHIFT_ALIGN|VSEL|VADDSUB)$",
     [("W_WM", 2, 1, "own")]),
    (r"II_(VBCSTSHFL|VSHUFFLE)$", [("VECWM", 2, 1, "own")]),
    (r"II_VACC$", [("R_RV", 1, 1, "own"), ("CM_RM", 3, 1, "own"), ("CM_WA", 5, 1, "own")]),
    (r"II_VACCf$", [("R_RV", 1, 1, "own"), ("CM_RM", 3, 1, "own"), ("CM_WA", 6, 1, "own")]),
    (r"II_(VNEG|VMAC|VMSC|VNEGMAC|VNEGMSC|VMUL|VNEGMUL)$", [("R_RV", 1, 1, "own"), ("CM_WA", 5, 1, "own")]),
    (r"II_(VNEGf|VMACf|VMSCf|VMULf|VNEGMULf)$", [("R_RV", 1, 1, "own"), ("CM_WA", 6, 1, "own")]),
    (r"II_VADDMAC$", [("R_RV", 1, 1, "own"), ("CM_RM", 3, 1, "own"), ("CM_WA", 5, 1, "own")]),
    (r"II_VADDMACf$", [("R_RV", 1, 1, "own"), ("CM_RM", 3, 1, "own"), ("CM_WA", 6, 1, "own")]),
    (r"II_(VCLR|VMOV_D)$", [("CM_WA", 5, 1, "own")]),
    (r"II_VCLRf$", [("CM_WA", 6, 1, "own")]),
    (r"II_VMOV_(W|X)$", [("CMRM?", 1, 1, "own"), ("VECWM", 2, 1, "own")]),
    (r"II_VMOV_CM$", [("CM_RM", 1, 1, "own"), ("CM_WM", 2, 1, "own")]),
    (r"II_VMOV_CASCADE_READ$", [("SEMAPHORE", 2, 6, "avoid"), ("VECWA", 7, 1, "own")]),
    (r"II_VMOV_CASCADE_WRITE$", [("W_RS", 1, 1, "own"), ("SEMAPHORE", 2, 6, "avoid")]),
    (r"II_VSRS$", [("CM_RM", 1, 1, "own"), ("UPPER_SRS", 1, 1, "own"), ("W_WA", 4, 1, "own")]),
    (r"II_VSRSM$", [("CM_RM", 1, 1, "own"), ("UPPER_SRS", 1, 1, "own"), ("W_WM", 4, 1, "own")]),
    (r"II_VST_.*SRS$", [("CM_RM", 1, 1, "own"), ("UPPER_SRS", 1, 1, "own"), ("PARTWORD", 3, 1, "avoid"),
                        ("STORE", 4, 1, "own")]),
    (r"II_VST_.*PACK.*$", [("PARTWORD", 1, 1, "avoid"), ("W_RS", 1, 1, "own"), ("STORE", 2, 1, "own")]),
    (r"II_VST_.*CONV.*$", [("CM_RM", 1, 1, "own"), ("STORE", 2, 1, "own"), ("PARTWORD", 3, 1, "avoid")]),
    (r"II_VST_(POSTINC_|2D_|3D_)?W$", [("PARTWORD", 1, 1, "avoid"), ("W_RS", 1, 1, "own"), ("STORE", 2, 1, "own")]),
    (r"II_VST_(POSTINC_|2D_|3D_)?AM$", [("PARTWORD", 1, 1, "avoid"), ("CM_RM", 1, 1, "own"), ("STORE", 2, 1, "own")]),
    (r"II_VCONV$", [("CM_RM", 1, 1, "own"), ("W_WA", 2, 1, "own")]),
    (r"II_VFLOORs32bf16_AM$", [("CM_RM", 1, 1, "own"), ("W_WA", 2, 1, "own")]),
    (r"II_VFLOORs32bf16_W$", [("W_RS", 1, 1, "own"), ("W_WA", 2, 1, "own")]),
    (r"II_VCONVfp32bf16$", [("CM_WM", 2, 1, "own")]),
    (r"II_VUNPACK$", [("W_RS", 7, 1, "own")]),
    (r"II_VPACK$", [("W_RS", 1, 1, "own"), ("W_WA", 2, 1, "own")]),
    (r"II_VUPS$", [("UPS", 1, 1, "own"), ("CM_WM", 3, 1, "own")]),
    (r"II_(NOP|DONE|EVENT|J|JL|JZ|JNZ|RET|PADD(_[23]D)?|MOV_CNTR)$", []),
]


def units_of(sched):
    m = re.match(r"II_MOVd([1-6])$", sched)
    if m:
        return [("PRM", 1, 1, "own"), ("RS_WM", 1 + int(m.group(1)), 1, "own")]
    for pattern, units in UNITS:
        if re.match(pattern, sched):
            return units
    return []


def operands(insn, lat):
    """List of operand records in field order, with role, def and use cycle and bypass."""
    cycles = lat["cycles"]
    bypass = lat.get("bypass", [None] * len(cycles))
    md = re.search(r"\b(2d|3d)\b", insn["asm"].split()[0].replace(".", " "))
    out = []
    for op in insn["operands"]:
        rec = dict(op)
        kind = op["kind"]
        if kind == "fixedreg":
            rec["name"] = op["reg"]
        idx = [op["mc_index"]] + op.get("also_mc_index", [])
        cyc = [cycles[i] if i < len(cycles) else 1 for i in idx]
        byp = [bypass[i] if i < len(bypass) else None for i in idx]
        rec.update(role="USE", def_cycle=0, use_cycle=1, bypass=byp[0])
        if kind == "imm":
            rec["bypass"] = None
        elif kind == "fixedreg":
            # divs writes and reads r31: two records, the first the result
            first = insn["name"] == "DIVS" and op["mc_index"] == 1
            rec.update(role="DEF" if first else "USE", def_cycle=1 if first else 0, use_cycle=0 if first else 1)
        elif md:
            # the JSON numbering leaves out the pointer and count results of 2D/3D forms: all of those are cycle 1
            if is_dst(insn, op):
                rec.update(role="DEF", def_cycle=cycles[0], use_cycle=0)
            elif op["name"] == "shft" and insn["may_load"]:
                rec["use_cycle"] = 7
            elif op["name"] == "mRv":
                rec["use_cycle"] = 7
            elif op["name"] == "ptr":
                rec.update(role="BOTH", def_cycle=1)
            elif op["name"] == "mod":
                rec.update(role="BOTH", def_cycle=1)  # the counts dc are written back
        elif len(idx) > 1:
            rec.update(role="BOTH", def_cycle=cyc[0], use_cycle=cyc[1])
        elif is_dst(insn, op):
            rec.update(role="DEF", def_cycle=cyc[0], use_cycle=0)
        else:
            rec["use_cycle"] = cyc[0]
        # A vmov or vconv between files has the bypass only where the operand is a low w or an x register.
        if insn["name"] in ("VMOV_mv_w", "VMOV_mv_x") or (insn["name"] == "VCONV_FP32_BF16" and op["name"] == "src"):
            rec["bypass"] = "MOVW"
        out.append(rec)
    return out


def template(insn, ops):
    """The asm string with operands as %0..%7. Names that are not encoded stand for a tied or a fixed register."""
    text = insn["asm"]
    names = [o.get("name") for o in ops]

    def sub(m):
        name = m.group(1)
        if name in names and ops[names.index(name)]["kind"] != "fixedreg":
            return f"%{names.index(name)}"
        assert name in insn["asm_only_names"], (insn["name"], name)
        if name == "dst":
            return f"%{names.index('acc1')}"
        return {"tlast": "r28", "idx": "r29"}[name]

    return re.sub(r"\$(\w+)", sub, text)


def main():
    folder = pathlib.Path(sys.argv[1])
    enc = json.loads((folder / "aie2_encoding.json").read_text())
    lat = json.loads((folder / "aie2_latency.json").read_text())["classes"]
    shuffles = json.loads((folder / "shuffle_modes.json").read_text())["modes"]
    w = sys.stdout.write
    w("/* isa.def - the AIE2 instruction table, written by tools/gen_isa.py: do not edit. Included by isa.c and isa.h\n"
      " * with the macro of the wanted section defined; see isa.h for what the fields mean. */\n")

    w("\n#ifdef TS_ISA_SLOT /* (slot, name, bits, the NOP instruction, first instruction, how many) */\n")
    widths = enc["meta"]["slot_widths"]
    first = 0
    for s in SLOTS:
        n = sum(i["slot"] == s for i in enc["instructions"])
        w(f"TS_ISA_SLOT({s.upper()}, {s}, {widths[s]}, {NOP_NAME[s]}, {first}, {n})\n")
        first += n
    w("#endif\n")

    w("\n#ifdef TS_ISA_REG /* (register, kind, number, byte in the register file, bytes) */\n")
    regs = registers()
    for r in regs:
        w(f"TS_ISA_REG({r[0]}, {r[1]}, {r[2]}, {r[3]}, {r[4]})\n")
    w("#endif\n")
    known = {r[0] for r in regs}

    w("\n#ifdef TS_ISA_CLASS /* (class, bits of the field, count, members as {register, code}) */\n")
    for name, cls in enc["reg_classes"].items():
        assert all(m in known for m in cls["encoding"]), name
        codes = list(cls["encoding"].values())
        assert len(set(codes)) == len(codes) and max(codes) < 1 << cls["bits"]
        members = " ".join(f"M({m}, {c})" for m, c in sorted(cls["encoding"].items(), key=lambda kv: kv[1]))
        w(f"TS_ISA_CLASS({name}, {cls['bits']}, {len(codes)}, {members})\n")
    w("#endif\n")

    w("\n#ifdef TS_ISA_FORMAT /* (name, bytes, mask high, mask low, value high, value low, slot set, n slots, "
      "S(slot, lsb)...) */\n")
    for f in enc["formats"]:
        mask, value = int(f["mask"], 16), int(f["value"], 16)
        assert int(f["dont_care"], 16) == 0
        parts = []
        for s in f["slots"]:
            assert len(s["parts"]) == 1 and s["parts"][0]["slot_lsb"] == 0
            assert s["parts"][0]["width"] == widths[s["slot"]]
            parts.append(f"S({s['slot'].upper()}, {s['parts'][0]['bundle_lsb']})")
        slot_set = sum(1 << SLOTS.index(s["slot"]) for s in f["slots"])
        lo = (1 << 64) - 1
        w(f"TS_ISA_FORMAT({f['name']}, {f['bits'] // 8}, {mask >> 64:#x}, {mask & lo:#x}, {value >> 64:#x}, "
          f"{value & lo:#x}, {slot_set:#x}, {len(parts)}, {' '.join(parts)})\n")
    w("#endif\n")

    w("\n#ifdef TS_ISA_INSN\n"
      "/* (name, slot, assembler template, mask, value, don't-care bits, memory flags, memory stage,\n"
      " *  n operands, R(class, role, def cycle, use cycle, bypass, n parts, P(field lsb, value lsb, bits)...)\n"
      " *              I(signed, step, negative only, n parts, P...)  X(register, role, def cycle, use cycle)\n"
      " *  n implicit, IMP(register, role, cycle)...\n"
      " *  n units, U(unit, first cycle, cycles, kind)...) */\n")
    rank = {s: i for i, s in enumerate(SLOTS)}
    for insn in sorted(enc["instructions"], key=lambda i: (rank[i["slot"]], i["decode_order"])):
        sched = insn["sched_class"]
        cls = lat["II_NOP" if sched == "None" or sched is None else sched]
        ops = operands(insn, cls)
        text = template(insn, ops)
        fields = []
        for o in ops:
            if o["kind"] == "fixedreg":
                fields.append(f"X({o['reg']}, {o['role']}, {o['def_cycle']}, {o['use_cycle']})")
                continue
            parts = " ".join(f"P({p[0]}, {p[1]}, {p[2]})" for p in o["parts"])
            n = len(o["parts"])
            if o["kind"] == "imm":
                fields.append(f"I({int(o['signed'])}, {o['step']}, {int(o.get('negative_only', False))}, {n}, {parts})")
            else:
                byp = {None: "NONE", "MOV": "MOV", "VEC": "VEC", "MOVW": "MOVW"}[o["bypass"]]
                fields.append(f"R({o['class']}, {o['role']}, {o['def_cycle']}, {o['use_cycle']}, {byp}, {n}, {parts})")
        implicit = [i for pattern, regs_ in IMPLICIT if re.match(pattern, sched or "") for i in regs_]
        implicit += [i for pattern, i in DYNAMIC_SIGN if re.match(pattern, insn["mnemonic"])]
        if "[sp" in insn["asm"]:
            implicit.append(("SP", "use", 1))
            if insn["mnemonic"].startswith("padd"):
                implicit.append(("SP", "def", 1))
        imps = " ".join(f"IMP({r}, {k.upper()}, {c})" for r, k, c in implicit)
        units = units_of(sched or "II_NOP")
        us = " ".join(f"U({u.replace('?', '_SRC')}, {a}, {n}, {k.upper()})" for u, a, n, k in units)
        flags = ("LOAD" if insn["may_load"] else "") + ("STORE" if insn["may_store"] else "") or "NONE"
        stages = cls.get("mem_stage", [0])
        w(f"TS_ISA_INSN({insn['name']}, {insn['slot'].upper()}, \"{text}\", {insn['mask']}, {insn['value']}, "
          f"{insn['dont_care']}, {flags}, {stages[-1]},\n    {len(fields)}, {' '.join(fields)},\n"
          f"    {len(implicit)}, {imps}, {len(units)}, {us})\n")
    w("#endif\n")

    w("\n#ifdef TS_ISA_SHUFFLE /* (mode, name, the source byte of each result byte: 0-63 first, 64-127 second) */\n")
    for m in shuffles:
        w(f"TS_ISA_SHUFFLE({m['mode']}, {m['name']}, {', '.join(str(b) for b in m['routing'])})\n")
    w("#endif\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
