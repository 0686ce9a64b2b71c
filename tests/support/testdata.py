"""The shared test data, looked up when a test runs (environ.c does the same for C programs): $TESSERA_SHARED, by default
../shared beside the source tree; SHARED is "" where there are none, and NO_SHARED what such a test says."""
import os
import pathlib

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
_path = os.environ.get("TESSERA_SHARED", str(SOURCE.parent / "shared"))
SHARED = os.path.abspath(_path) if os.path.isdir(_path) else ""
os.environ["TESSERA_SHARED"] = SHARED
NO_SHARED = "no shared test data; cure: lay them beside the source tree as ../shared, or set TESSERA_SHARED"
