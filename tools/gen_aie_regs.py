#!/usr/bin/env python3
"""Generate src/xdna/regs.def, the register and field positions of the AIE-ML array that Tessera touches.

Run it when a register is added to WANTED below. The input is a JSON register map of AM025 (AIE-ML register reference)
in the form {module: {register: {"off": hex, "stride", "count", "f": {field: [msb, lsb]}}}}; registers named X{i} are
folded arrays. The map itself is not part of the tree; the positions are facts.

Usage: gen_aie_regs.py registers.json > src/xdna/regs.def
       gen_aie_regs.py registers.json --check src/xdna/regs.def    exit code 1 and a diff when they differ"""
import difflib
import json
import pathlib
import re
import sys

# tile, module, pattern of the register's name in the map, name in the .def; a pattern with several matches is folded
# into one array, which must have equal spacing and identical fields.
WANTED = [
    ("CORE", "core", r"Core_PC", "CORE_PC"),
    ("CORE", "core", r"Core_SP", "CORE_SP"),
    ("CORE", "core", r"Core_LR", "CORE_LR"),
    ("CORE", "core", r"Core_Control", "CORE_CONTROL"),
    ("CORE", "core", r"Core_Status", "CORE_STATUS"),
    ("CORE", "core", r"Timer_Low", "TIMER_LOW"),
    ("CORE", "core", r"Timer_High", "TIMER_HIGH"),
    ("CORE", "core", r"Accumulator_Control", "ACCUMULATOR_CONTROL"),
    ("CORE", "core", r"Memory_Control", "CORE_MEMORY_CONTROL"),
    ("CORE", "memory", r"Memory_Control", "MEMORY_CONTROL"),
    *[("CORE", "memory", r"DMA_BD\{i\}_%d" % w, f"DMA_BD_{w}") for w in range(6)],
    ("CORE", "memory", r"DMA_S2MM_\d_Ctrl", "DMA_S2MM_CTRL"),
    ("CORE", "memory", r"DMA_S2MM_\d_Start_Queue", "DMA_S2MM_QUEUE"),
    ("CORE", "memory", r"DMA_MM2S_\d_Ctrl", "DMA_MM2S_CTRL"),
    ("CORE", "memory", r"DMA_MM2S_\d_Start_Queue", "DMA_MM2S_QUEUE"),
    ("CORE", "memory", r"DMA_S2MM_Status_\d", "DMA_S2MM_STATUS"),
    ("CORE", "memory", r"DMA_MM2S_Status_\d", "DMA_MM2S_STATUS"),
    ("CORE", "memory", r"Lock\{i\}_value", "LOCK"),
    ("CORE", "memory", r"Locks_Overflow", "LOCKS_OVERFLOW"),
    ("CORE", "memory", r"Locks_Underflow", "LOCKS_UNDERFLOW"),
    ("CORE", "core", r"Stream_Switch_Master_Config_.*", "SS_MASTER"),
    ("CORE", "core", r"Stream_Switch_Slave_Config_.*", "SS_SLAVE"),
    ("CORE", "core", r"Stream_Switch_Slave_.*_Slot\{i\}", "SS_SLOT"),
    *[("MEM", "memory_tile", r"DMA_BD\{i\}_%d" % w, f"DMA_BD_{w}") for w in range(8)],
    ("MEM", "memory_tile", r"DMA_S2MM_\d_Ctrl", "DMA_S2MM_CTRL"),
    ("MEM", "memory_tile", r"DMA_S2MM_\d_Start_Queue", "DMA_S2MM_QUEUE"),
    ("MEM", "memory_tile", r"DMA_MM2S_\d_Ctrl", "DMA_MM2S_CTRL"),
    ("MEM", "memory_tile", r"DMA_MM2S_\d_Start_Queue", "DMA_MM2S_QUEUE"),
    ("MEM", "memory_tile", r"DMA_S2MM_Status_\d", "DMA_S2MM_STATUS"),
    ("MEM", "memory_tile", r"DMA_MM2S_Status_\d", "DMA_MM2S_STATUS"),
    ("MEM", "memory_tile", r"Memory_Control", "MEMORY_CONTROL"),
    ("MEM", "memory_tile", r"Lock\{i\}_value", "LOCK"),
    ("MEM", "memory_tile", r"Locks_Overflow_\d", "LOCKS_OVERFLOW"),
    ("MEM", "memory_tile", r"Locks_Underflow_\d", "LOCKS_UNDERFLOW"),
    ("MEM", "memory_tile", r"Stream_Switch_Master_Config_.*", "SS_MASTER"),
    ("MEM", "memory_tile", r"Stream_Switch_Slave_Config_.*", "SS_SLAVE"),
    ("MEM", "memory_tile", r"Stream_Switch_Slave_.*_Slot\{i\}", "SS_SLOT"),
    *[("SHIM", "shim_noc", r"DMA_BD\{i\}_%d" % w, f"DMA_BD_{w}") for w in range(8)],
    ("SHIM", "shim_noc", r"DMA_S2MM_\d_Ctrl", "DMA_S2MM_CTRL"),
    ("SHIM", "shim_noc", r"DMA_S2MM_\d_Task_Queue", "DMA_S2MM_QUEUE"),
    ("SHIM", "shim_noc", r"DMA_MM2S_\d_Ctrl", "DMA_MM2S_CTRL"),
    ("SHIM", "shim_noc", r"DMA_MM2S_\d_Task_Queue", "DMA_MM2S_QUEUE"),
    ("SHIM", "shim_noc", r"DMA_S2MM_Status_\d", "DMA_S2MM_STATUS"),
    ("SHIM", "shim_noc", r"DMA_MM2S_Status_\d", "DMA_MM2S_STATUS"),
    ("SHIM", "shim_noc", r"Lock\{i\}_value", "LOCK"),
    ("SHIM", "shim_noc", r"Locks_Overflow", "LOCKS_OVERFLOW"),
    ("SHIM", "shim_noc", r"Locks_Underflow", "LOCKS_UNDERFLOW"),
    ("SHIM", "shim_noc", r"Mux_Config", "MUX"),
    ("SHIM", "shim_noc", r"Demux_Config", "DEMUX"),
    ("SHIM", "shim_pl", r"Stream_Switch_Master_Config_.*", "SS_MASTER"),
    ("SHIM", "shim_pl", r"Stream_Switch_Slave_Config_.*", "SS_SLAVE"),
    ("SHIM", "shim_pl", r"Stream_Switch_Slave_.*_Slot\{i\}", "SS_SLOT"),
]

# Fields that differ between the members of a folded array or that nothing here uses by name.
DROP_FIELDS = {"LOCKS_OVERFLOW", "LOCKS_UNDERFLOW"}


def fold(name: str, regs: list[dict]) -> tuple[int, int, int, dict]:
    """(offset, stride, count, fields) of registers that form one array."""
    offsets = []
    for r in regs:
        base = int(r["off"], 16)
        offsets += [base + i * r.get("stride", 0) for i in range(r.get("count", 1))]
    offsets.sort()
    stride = offsets[1] - offsets[0] if len(offsets) > 1 else 0
    for i, off in enumerate(offsets):
        if off != offsets[0] + i * stride:
            raise SystemExit(f"{name}: member {i} is at 0x{off:x}, not equally spaced")
    fields = {} if name in DROP_FIELDS else regs[0].get("f", {})
    if name not in DROP_FIELDS and any(r.get("f", {}) != fields for r in regs):
        raise SystemExit(f"{name}: the members of the array have different fields")
    return offsets[0], stride, len(offsets), fields


def generate(path: str) -> str:
    data = json.loads(pathlib.Path(path).read_text())
    out = [
        "/* regs.def - register and field positions of the AIE-ML array; generated by tools/gen_aie_regs.py, do not edit.",
        " * REG(tile, name, byte offset in the tile, stride, count)   FIELD(tile, register, name, msb, lsb)",
        " * Source: AM025 (AIE-ML register reference); positions agree with aie-rt's xaiemlgbl_params.h [doc]. */",
    ]
    for tile, module, pattern, name in WANTED:
        found = [r for n, r in data[module].items() if re.fullmatch(pattern, n)]
        if not found:
            raise SystemExit(f"{module} has no register {pattern}")
        off, stride, count, fields = fold(name, found)
        out.append(f"REG({tile}, {name}, 0x{off:05X}, {stride}, {count})")
        for field, (msb, lsb) in sorted(fields.items(), key=lambda kv: kv[1][1]):
            out.append(f"FIELD({tile}, {name}, {field.upper()}, {msb}, {lsb})")
    return "\n".join(out) + "\n"


def main() -> int:
    if len(sys.argv) not in (2, 4) or (len(sys.argv) == 4 and sys.argv[2] != "--check"):
        print(__doc__, file=sys.stderr)
        return 2
    text = generate(sys.argv[1])
    if len(sys.argv) == 2:
        sys.stdout.write(text)
        return 0
    old = pathlib.Path(sys.argv[3]).read_text()
    sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), text.splitlines(True), sys.argv[3], "generated"))
    return 1 if old != text else 0


if __name__ == "__main__":
    sys.exit(main())
