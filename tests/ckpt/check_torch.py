#!/usr/bin/env python3
"""The reader of PyTorch's files beside files that others write: Python's own pickle (all protocols, in C and in Python) and
zipfile, with stand-ins for PyTorch's classes; and the fixtures of the shared test data, whose dequantised values must have the
hashes that are written beside them, and whose hostile files must be refused: in one line, soon, with little memory, and
without a trace in the folder.

Usage: check_torch.py TORCH_READ. Exit code 1 and a line for every fault."""
import hashlib
import io
import json
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import tempfile
import time
import types
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from testdata import NO_SHARED, SHARED

SECONDS, MIB = 20, 800  # of any file here, with sanitizers
READ = ""
faults: list[str] = []


def run(path, *args: str, hex_too: bool = False):
    """Exit code, standard output, standard error."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as empty:
        words = [READ, *(["--hex"] if hex_too else []), str(path), *args]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = subprocess.Popen(words, stdout=out, stderr=err, cwd=empty)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            err.seek(0)
            text = out.read().decode(), err.read().decode(errors="replace")
        if os.listdir(empty):
            faults.append(f"{path}: left {os.listdir(empty)} in the folder it was read from")
    if time.monotonic() - begin > SECONDS:
        faults.append(f"{path}: took {time.monotonic() - begin:.0f} seconds")
    if usage.ru_maxrss > MIB << 10:
        faults.append(f"{path}: took {usage.ru_maxrss >> 10} MiB")
    return child.returncode, *text


def arrays(path, *ints: str):
    """{name: (type, form, sizes, bytes)}, {name of an integer: text}; None where the file is refused."""
    code, out, err = run(path, *ints, hex_too=True)
    if code:
        faults.append(f"{path}: {err.strip()}")
        return None, None
    found, numbers = {}, {}
    for line in out.splitlines():
        words = line.split(" ")
        if words[1] == "=":
            numbers[words[0]] = words[2]
        else:
            sizes = [] if words[3] == "scalar" else [int(n) for n in words[3].split("x")]
            found[words[0]] = words[1], words[2], sizes, bytes.fromhex(words[4]) if len(words) > 4 else b""
    return found, numbers


def need(kept: bool, what: str) -> None:
    if not kept:
        faults.append(what)


# ---- written by Python ------------------------------------------------------------------------------------------------


def stand_in(module: str, name: str, kind=None):
    """A class or function of this name, in a module of this name, which pickle finds."""
    path = module.split(".")
    for i in range(len(path)):
        sys.modules.setdefault(".".join(path[:i + 1]), types.ModuleType(".".join(path[:i + 1])))
    kind = kind or type(name, (), {})
    kind.__module__, kind.__qualname__ = module, name
    setattr(sys.modules[module], name, kind)
    return kind


Float = stand_in("torch", "FloatStorage")
Char = stand_in("torch", "CharStorage")
Linear = stand_in("qlinear", "QLinearPerGrp")
Net = stand_in("my.net", "Net")
Config = stand_in("my.net", "Config")


def _rebuild_tensor_v2():
    raise AssertionError


def _rebuild_parameter():
    raise AssertionError


rebuild_tensor = stand_in("torch._utils", "_rebuild_tensor_v2", _rebuild_tensor_v2)
rebuild_parameter = stand_in("torch._utils", "_rebuild_parameter", _rebuild_parameter)


class Storage:
    def __init__(self, key: str, kind, count: int):
        self.id = "storage", kind, key, "cpu", count


class Tensor:
    def __init__(self, storage, offset, sizes, strides, parameter=False):
        self.args = storage, offset, tuple(sizes), tuple(strides), False, {}
        self.parameter = parameter

    def __reduce__(self):
        return (rebuild_parameter, (Tensor(*self.args[:4]), True, {})) if self.parameter else (rebuild_tensor, self.args)


def dump(value, protocol: int, pickler) -> bytes:
    class Pickler(pickler):
        def persistent_id(self, thing):
            return thing.id if isinstance(thing, Storage) else None

    out = io.BytesIO()
    Pickler(out, protocol).dump(value)
    return out.getvalue()


def write(path, text: bytes, storages: dict[str, bytes], zip64: bool) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as z:
        for name, data in {"a/data.pkl": text, **{f"a/data/{k}": v for k, v in storages.items()}, "a/version": b"3\n"}.items():
            with z.open(zipfile.ZipInfo(name), "w", force_zip64=zip64) as member:
                member.write(data)


def own_files(folder) -> None:
    import collections
    floats = struct.pack("<12f", *range(12))
    f, c = Storage("0", Float, 12), Storage("1", Char, 5)
    linear, net, config = Linear(), Net(), Config()
    linear.__dict__ = {"qweight": Tensor(c, 1, [2, 2], [2, 1]), "bias": None, "group_size": 1 << 40, "_parameters": {}, "w_bit": -4}
    config.__dict__ = {"hidden_size": 300, "other": {1, 2}, "names": ("a", b"b", 2.5, 1 << 70, True, None, frozenset([3]))}
    norm = Net()
    norm.__dict__ = {"_parameters": collections.OrderedDict(weight=Tensor(f, 4, [4], [1], parameter=True)), "_buffers": {}}
    net.__dict__ = {"_modules": collections.OrderedDict(q=linear, norm=norm, none=None), "config": config, "me": net,
                    "_buffers": {"table": Tensor(f, 0, [4, 3], [1, 4])}}
    plain = {"w": Tensor(f, 0, [3, 4], [4, 1]), "t": Tensor(f, 0, [4, 3], [1, 4]), "s": Tensor(f, 11, [], []), "n": 3}
    kinds = [("C", pickle.Pickler), ("Python", pickle._Pickler)]  # type: ignore[attr-defined]
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        for kind, pickler in kinds:
            for zip64 in (False, True):
                path = pathlib.Path(folder) / f"{kind}-{protocol}-{zip64}.pt"
                model = dict(config.__dict__)
                if protocol < 4:  # there frozensets, and in 2 bytes too, are calls of functions
                    config.__dict__ = {"hidden_size": 300, "other": {1, 2}, "names": ("a", 2.5, 1 << 70, True, None)}
                write(path, dump(plain, protocol, pickler), {"0": floats, "1": bytes(5)}, zip64)
                found, _ = arrays(path)
                at = "".join(floats[4 * (4 * i + k):][:4].hex() for k in range(4) for i in range(3))
                want = {"w": ("float32", "packed", [3, 4], floats), "t": ("float32", "view", [4, 3], bytes.fromhex(at)),
                        "s": ("float32", "packed", [], floats[44:])}
                need(found in (want, None), f"{path.name}: {found}")
                write(path, dump(net, protocol, pickler), {"0": floats, "1": bytes(range(5))}, zip64)
                found, numbers = arrays(path, "q.group_size", "q.w_bit", "config.hidden_size", "norm.training")
                want = {"table": ("float32", "view", [4, 3], bytes.fromhex(at)), "q.qweight": ("int8", "packed", [2, 2], b"\1\2\3\4"),
                        "norm.weight": ("float32", "packed", [4], floats[16:32])}
                need(found in (want, None), f"{path.name}: {found}")
                need(numbers in (None, {"q.group_size": str(1 << 40), "q.w_bit": "-4", "config.hidden_size": "300",
                                        "norm.training": "none"}), f"{path.name}: {numbers}")
                config.__dict__ = model


def nasty_files(folder) -> None:
    """Far larger than what a test in C makes: all refused or read at once."""
    tensor = dump({"w": Tensor(Storage("0", Float, 12), 0, [12], [1])}, 2, pickle.Pickler)[:-1]
    texts = {"deep": b"\x80\x02" + b"]" * 5_000_000 + b"a" * 4_999_999 + b".",
             "deep beside a tensor": tensor + b"X\1\0\0\0n" + b"]" * 2_000_000 + b"a" * 1_999_999 + b"s.",
             "nothing but lists": b"\x80\x02" + b"]" * 20_000_000 + b".",
             "nothing but marks": b"\x80\x02" + b"(" * 60_000_000 + b".",
             "long": b"\x80\x02" + b"N" * 70_000_000 + b"."}
    for name, text in texts.items():
        path = pathlib.Path(folder) / "nasty.pt"
        write(path, text, {"0": bytes(48)}, False)
        code, _, err = run(path)
        need(code == 1 and err.count("\n") == 1, f"{name}: exit code {code}: {err[:400]}")


# ---- the shared fixtures ----------------------------------------------------------------------------------------------


def to_f32(kind: str, data: bytes) -> bytes:
    if kind == "bfloat16":
        return b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2))
    if kind == "float16":
        return struct.pack(f"<{len(data) // 2}f", *struct.unpack(f"<{len(data) // 2}e", data))
    return data


def hostile(folder: pathlib.Path) -> None:
    verdicts = json.loads((folder / "expect.json").read_text())
    cases = {name: v["verdict"] for name, v in verdicts.items() if name.endswith(".pt")}
    need(len(cases) >= 20, f"{folder}: only {len(cases)} cases")
    for name, verdict in cases.items():
        code, _, err = run(folder / name)
        said = {0: "accept", 1: "refuse"}.get(code, f"exit code {code}")
        need(said in verdict.split("-or-"), f"hostile/{name}: {said}, not {verdict}: {err[:2000]}")
        need(code != 1 or (err.count("\n") == 1 and name in err), f"hostile/{name}: {err}")


def hashes(folder: pathlib.Path, pattern: str):
    (path,) = folder.glob(pattern)
    expected = json.loads((folder / "expect/expect.json").read_text())["hf"]
    return path, expected


def check_hash(folder, name: str, expected, sizes, values: bytes) -> None:
    need(sizes == expected["shape"], f"{folder.name}: {name}: {sizes}, not {expected['shape']}")
    need(hashlib.sha256(values).hexdigest() == expected["sha256_f32"], f"{folder.name}: {name}: other values")


def state_dict(folder: pathlib.Path) -> None:
    path, expected = hashes(folder, "*.bin")
    found, _ = arrays(path)
    for name in expected if found is not None else ():
        kind, _, sizes, data = found.get(name, ("none", "", [], b""))
        check_hash(folder, name, expected[name], sizes, to_f32(kind, data))
    need(found is None or any(form == "view" for _, form, _, _ in found.values()), f"{folder.name}: no view")


def amd(folder: pathlib.Path) -> None:
    """The whole model that AMD's scripts pickled: a byte a weight, values s (q - z), exact in F32."""
    path, expected = hashes(folder, "*.pt")
    linears = [name[:-7] for name in expected if "norm" not in name and "embed" not in name]
    found, numbers = arrays(path, *(f"{m}.group_size" for m in linears), *(f"{m}.w_bit" for m in linears))
    if found is None:
        return
    for module in linears:
        rows, cols = expected[f"{module}.weight"]["shape"]
        group = int(numbers[f"{module}.group_size"])
        need(numbers[f"{module}.w_bit"] == "4" and group == (32 if module == "lm_head" else 128), f"{module}: {numbers}")
        parts = [found[f"{module}.{part}"] for part in ("qweight", "qzeros", "scales")]
        need([p[0] for p in parts] == ["int8", "int8", "bfloat16"], f"{module}: {[p[0] for p in parts]}")
        need([p[2] for p in parts] == [[rows, cols], [rows, cols // group], [rows, cols // group]], f"{module}: {[p[2] for p in parts]}")
        q, z, s = parts[0][3], parts[1][3], struct.unpack(f"<{rows * cols // group}f", to_f32("bfloat16", parts[2][3]))
        values = struct.pack(f"<{rows * cols}f", *(s[i // group] * (q[i] - z[i // group]) for i in range(rows * cols)))
        check_hash(folder, f"{module}.weight", expected[f"{module}.weight"], [rows, cols], values)
    for name in expected:
        if name[:-7] not in linears:
            kind, _, sizes, data = found[name]
            check_hash(folder, name, expected[name], sizes, to_f32(kind, data))


def llm_awq(folder: pathlib.Path) -> None:
    path, expected = hashes(folder, "*.pt")
    found, _ = arrays(path)
    for name in expected if found is not None else ():
        rows, cols = (expected[name]["shape"] + [0])[:2]
        if name in found:
            kind, _, sizes, data = found[name]
            check_hash(folder, name, expected[name], sizes, to_f32(kind, data))
        else:
            kind, _, sizes, _ = found[name.replace(".weight", ".qweight")]
            need(kind == "int16" and sizes == [rows // 4, cols], f"{name}: {kind}, {sizes}")


def main() -> int:
    global READ
    READ = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        own_files(folder)
        nasty_files(folder)
    if SHARED:
        fixtures = pathlib.Path(SHARED) / "import/fixtures"
        hostile(fixtures / "hostile")
        state_dict(fixtures / "llama2-pytorch-bin")
        amd(fixtures / "llama2-amd-awq-pt")
        llm_awq(fixtures / "llama2-llm-awq-v2-pt")
    else:
        print(f"skip: PyTorch's own files: {NO_SHARED}")
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
