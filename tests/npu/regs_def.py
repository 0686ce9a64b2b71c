#!/usr/bin/env python3
"""src/xdna/regs.def is what its generator makes of the register map of the shared test data.

Exit code: 0 the same, 1 they differ, 77 no shared test data"""
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from testdata import NO_SHARED, SHARED, SOURCE

if not SHARED:
    print(f"skip: {NO_SHARED}")
    sys.exit(77)
sys.exit(subprocess.run([sys.executable, SOURCE / "tools/gen_aie_regs.py", pathlib.Path(SHARED) / "xdna/registers.json",
                         "--check", SOURCE / "src/xdna/regs.def"]).returncode)
