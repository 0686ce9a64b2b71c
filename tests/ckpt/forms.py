"""Hugging Face folders in every form, written here (hf_writer.py): each tensor's numbers are bit for bit what was meant, logits
are the same where forms mean the same numbers, and what is wrong is refused in one line that says what, where, what to do.
Needs no shared test data.

Usage: forms.py IMPORT_DUMP TESSERA [--only TEXT] [-v]"""
import argparse
import json
import math
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

from hf_writer import *  # noqa: F403

IDS = ["256", "65", "32", "98", "120", "250"]
faults: list[str] = []
shown = {"forms": 0, "refusals": 0, "other": 0}


class Tools:
    dump = tessera = ""
    tmp = pathlib.Path()
    only = ""
    verbose = False
    n = 0

    def folder(self) -> pathlib.Path:
        self.n += 1
        return self.tmp / f"model{self.n}"


tools = Tools()
logits: dict[str, tuple[str, bytes]] = {}
models: dict[tuple, Model] = {}


def model(**how) -> Model:
    key = tuple(sorted((k, v.__name__ if callable(v) else v) for k, v in how.items()))
    if key not in models:
        models[key] = Model(**how)
    return models[key]


def run(*words, code=0, stdin=""):
    p = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=120, input=stdin, cwd=tools.tmp,
                       env={**os.environ, "TESSERA_PROGRESS": "0", "HOME": str(tools.tmp)})
    if p.returncode != code:
        raise AssertionError(f"exit code {p.returncode}: {p.stderr.strip()[-2000:]}")
    return p.stdout, p.stderr


def chosen(name: str, kind: str) -> bool:
    if tools.only not in name:
        return False
    shown[kind] += 1
    if tools.verbose:
        print(name, flush=True)
    return True


def form(name: str, folder, worth, same=None, types=None, loose=()) -> None:
    """The folder's tensors are `worth`; its logits those of the other forms that are the `same`."""
    raw, out = tools.tmp / "tensors", tools.tmp / "logits"
    try:
        listing, _ = run(tools.dump, folder, raw, out, *IDS)
        data, at, seen = raw.read_bytes(), 0, {}
        for line in listing.splitlines():
            tensor, cols, rows, kind = line.split()
            n = 4 * int(cols) * int(rows)
            seen[tensor] = data[at:at + n], kind
            at += n
        assert at == len(data), f"{at} bytes are listed, {len(data)} are there"
        assert set(seen) == set(worth), f"other tensors: {sorted(set(seen) ^ set(worth))}"
        for tensor, values in worth.items():
            if tensor in loose:  # computed from the configuration
                got = struct.unpack(f"<{len(values)}f", seen[tensor][0])
                assert all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(got, values)), f"{tensor}: {got}"
                continue
            want = struct.pack(f"<{len(values)}f", *values)
            if seen[tensor][0] != want:
                first = next(i for i in range(0, len(want), 4) if seen[tensor][0][i:i + 4] != want[i:i + 4])
                raise AssertionError(f"{tensor}: number {first // 4} is {struct.unpack('<f', seen[tensor][0][first:first + 4])}, "
                                     f"not {values[first // 4]}")
        for tensor, kind in (types or {}).items():
            assert seen[tensor][1] == kind, f"{tensor} is {seen[tensor][1]}, not {kind}"
        got = out.read_bytes()
        assert len(got) == 4 * VOCAB * len(IDS) and all(map(math.isfinite, struct.unpack(f"<{len(got) // 4}f", got)))
        if same:
            other = logits.setdefault(same, (name, got))
            assert other[1] == got, f"other logits than {other[0]}"
    except (AssertionError, subprocess.TimeoutExpired) as e:
        faults.append(f"{name}: {e}")


def metadata(name, folder, want, absent=(), warns=None) -> None:
    try:
        out, err = run(tools.tessera, "inspect", folder, "--json", "--items", "100")
        report = json.loads(out)
        assert report["runs"] is True, report["refusal"]
        have = {k: v.get("value", v.get("values")) for k, v in report["metadata"].items()}
        for key, value in want.items():
            got = have.get(key)
            close = isinstance(value, float) and isinstance(got, (int, float)) and math.isclose(got, value, rel_tol=1e-5)
            assert got == value or close, f"{key} is {got}, not {value}"
        for key in absent:
            assert key not in have, f"{key} is {have[key]}"
        assert (warns or "") in err and bool(warns) == bool(err), f"standard error is {err!r}"
    except (AssertionError, subprocess.TimeoutExpired) as e:
        faults.append(f"{name}: {e}")


def refused(name, folder, *words, command=None) -> None:
    if not chosen(name, "refusals"):
        return
    try:
        out, err = run(*(command or [tools.dump, folder() if callable(folder) else folder, "-", tools.tmp / "logits", *IDS]), code=1)
        assert err.count("\n") == 1 and err.endswith("\n"), f"not one line: {err!r}"
        assert len(err) < 500 and err.strip().isprintable(), f"not for people: {err!r}"
        for w in words:
            assert w in err, f"{err.strip()!r} does not mention {w!r}"
    except (AssertionError, subprocess.TimeoutExpired) as e:
        faults.append(f"{name}: {e}")


# ---- floats and containers ------------------------------------------------------------------------------------------


def float_forms() -> None:
    m = model(group=64, zeros=eight, scale=FLOATS)
    # weights of seven bits, so that all types hold them
    for dtype in ("BF16", "F16", "F32", "F64"):
        for shards, index in ((1, False), (3, True), (3, False)):
            for pad in (True, False):
                name = f"{dtype}, {shards} shards{', index' if index else ''}{'' if pad else ', unaligned'}"
                if (dtype in ("F32", "F64") and shards == 3 and pad) or not chosen(name, "forms"):
                    continue
                folder = write_folder(tools.folder(), config(), m.tensors(lambda n, x: put_plain(n, x, dtype), dtype),
                                      shards=shards, index=index, pad=pad)
                kind = "f32" if dtype in ("F32", "F64") else dtype.lower()
                form(name, folder, m.worth(), f"floats {kind}", {"blk.0.ffn_up.weight": kind, "output.weight": kind})
    if chosen("F64 that F32 rounds", "forms"):
        rng, tensors = random.Random(5), m.tensors(put_plain)
        values = [rng.uniform(-1, 1) for _ in range(FF * D)]
        tensors["model.layers.0.mlp.up_proj.weight"] = array("F64", [FF, D], values)
        worth = m.worth()
        worth["blk.0.ffn_up.weight"] = [f32(x) for x in values]
        form("F64 that F32 rounds", write_folder(tools.folder(), config(), tensors), worth)
    if chosen("mixed types", "forms"):
        dtype = {"q": "F32", "k": "BF16", "v": "F64"}
        put = lambda n, x: put_plain(n, x, dtype.get(n.split(".")[-1][0], "F16"))
        form("mixed types", write_folder(tools.folder(), config(), m.tensors(put, embed_dtype="BF16")), m.worth())


def names_and_heads() -> None:
    m = model(group=64, zeros=eight, scale=FLOATS)
    plain = m.tensors(put_plain)
    text = config()
    wrapped = {"model_type": "llava", "text_config": text, "vision_config": {"hidden_size": 5}, "tie_word_embeddings": False}
    sight = {"vision_tower.x.weight": array("F16", [2], [1, 2]), "multi_modal_projector.y.weight": array("F16", [1], [1])}
    cases = [
        ("language_model.", {f"language_model.{n}": t for n, t in plain.items()}),
        ("model.language_model.", {n.replace("model.", "model.language_model."): t for n, t in plain.items()}),
    ]
    for name, tensors in cases:
        if chosen(f"prefix {name}", "forms"):
            form(f"prefix {name}", write_folder(tools.folder(), wrapped, {**tensors, **sight}), m.worth(), "floats f16")
    folder = lambda tied, head, **more: write_folder(tools.folder(), config(tie_word_embeddings=tied, **more), m.tensors(put_plain, head=head))
    for tied, head in ((True, True), (True, False), (False, False)):
        name = f"tied {tied}, lm_head {head}"
        if chosen(name, "forms"):
            form(name, folder(tied, head), m.worth(head=False), "tied")
    if chosen("no word of tying, no lm_head", "forms"):
        c = config()
        del c["tie_word_embeddings"]
        form("no word of tying, no lm_head", write_folder(tools.folder(), c, m.tensors(put_plain, head=False)), m.worth(head=False), "tied")
    if chosen("what follows from the configuration", "forms"):
        more = {"model.layers.0.self_attn.rotary_emb.inv_freq": array("F32", [16], [1] * 16)}
        form("what follows from the configuration", write_folder(tools.folder(), config(), {**plain, **more}), m.worth(), "floats f16")
    if chosen("two sets of weights", "forms"):
        folder = write_folder(tools.folder(), config(), plain, files={"pytorch_model.bin": b"no zip", "optimizer.pt": b"",
                                                                      "consolidated.safetensors": b"other"})
        form("two sets of weights", folder, m.worth(), "floats f16")
    if chosen("an index of one file", "forms"):
        index = {"metadata": {}, "weight_map": dict.fromkeys(plain, "model.safetensors")}
        folder = write_folder(tools.folder(), config(), plain, files={"model.safetensors.index.json": index})
        form("an index of one file", folder, m.worth(), "floats f16")
    if chosen("links as in the hub's cache", "forms"):
        blobs = write_folder(tools.folder(), None, plain, tok=False)
        folder = write_folder(tools.folder(), config(auto_map={"AutoModel": "evil.Model"}), None)
        (folder / "model.safetensors").symlink_to(blobs / "model.safetensors")
        form("links as in the hub's cache", folder, m.worth(), "floats f16")
        form("a file of a folder", folder / "model.safetensors", m.worth(), "floats f16")


def families() -> None:
    for family in ("llama", "mistral", "qwen2", "qwen3"):
        m = model(group=64, zeros=eight, scale=FLOATS, biases=family == "qwen2", norms=family == "qwen3")
        if chosen(f"family {family}", "forms"):
            folder = write_folder(tools.folder(), config(family), m.tensors(put_plain))
            form(f"family {family}", folder, m.worth(family), {"llama": "floats f16", "mistral": "floats f16"}.get(family))
            metadata(f"family {family}", folder, {"general.architecture": "llama" if family == "mistral" else family})
        if family != "qwen3" and chosen(f"family {family}, 4 bits", "forms"):  # scales and zeros turn with the rows
            q = model(group=32, zeros=any_zero, biases=family == "qwen2")
            folder = write_folder(tools.folder(), config(family, quantization_config={"quant_method": "awq", "bits": 4, "group_size": 32}),
                                  q.tensors(put_awq_gemm))
            form(f"family {family}, 4 bits", folder, q.worth(family), types={"blk.0.attn_q.weight": "u4g32"})
    if chosen("biases of a llama", "forms"):
        m = model(group=64, zeros=eight, scale=FLOATS, biases=True)
        form("biases of a llama", write_folder(tools.folder(), config(attention_bias=True), m.tensors(put_plain)), m.worth())
    if chosen("a bias of one of the layers", "forms"):
        m, values = model(group=64, zeros=eight, scale=FLOATS), [i / 64 for i in range(FF)]
        tensors = {**m.tensors(put_plain), "model.layers.0.mlp.up_proj.bias": array("F32", [FF], values)}
        form("a bias of one of the layers", write_folder(tools.folder(), config(mlp_bias=True), tensors), {**m.worth(), "blk.0.ffn_up.bias": values})
    m = model(group=64, zeros=eight, scale=FLOATS)
    window = "llama.attention.sliding_window"
    for name, c, want in (
            ("mistral's window", config("mistral", sliding_window=4096), {window: 4096}),
            ("no window", config("mistral", sliding_window=None), {}),
            ("qwen2 without its window", config("qwen2", sliding_window=64, use_sliding_window=False), {}),
    ):
        if chosen(name, "other"):
            q = model(group=64, zeros=eight, scale=FLOATS, biases=c["model_type"] == "qwen2")
            folder = write_folder(tools.folder(), c, q.tensors(put_plain))
            metadata(name, folder, want, () if want else (window, "qwen2.attention.sliding_window"))


def rope() -> None:
    m = model(group=64, zeros=eight, scale=FLOATS)
    linear = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}
    yarn = {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0, "llama.rope.scaling.original_context_length": 128}
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    cases = [
        ("rope plain", {}, {"llama.rope.freq_base": 10000.0}, {}),
        ("rope type default", {"rope_scaling": {"rope_type": "default"}}, {}, {}),
        ("rope linear", {"rope_scaling": {"type": "linear", "factor": 4}}, linear, {}),
        ("rope linear, both names", {"rope_scaling": {"rope_type": "linear", "type": "linear", "factor": 4.0}}, linear, {}),
        ("rope yarn", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}}, yarn, {}),
        ("rope yarn, all of it", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128,
                                                   "attention_factor": 0.5, "beta_fast": 16, "beta_slow": 2}},
         {**yarn, "llama.rope.scaling.yarn_beta_fast": 16.0, "llama.rope.scaling.yarn_beta_slow": 2.0,
          "llama.rope.scaling.yarn_attn_factor": 0.5 / (0.1 * math.log(4) + 1)}, {}),
        ("rope llama3", {"rope_theta": 500000.0, "rope_scaling": scaling}, {"llama.rope.freq_base": 500000.0}, {}),
        ("rope_parameters", {"rope_theta": None, "rope_parameters": {**scaling, "rope_theta": 500000.0}}, {"llama.rope.freq_base": 500000.0}, {}),
        ("rope partial", {"partial_rotary_factor": 0.5}, {"llama.rope.dimension_count": 16}, {"n_rot": 16}),
        ("rope other head", {"head_dim": HEAD, "hidden_size": D}, {"llama.rope.dimension_count": HEAD}, {}),
    ]
    for name, change, want, how in cases:
        if not chosen(name, "forms"):
            continue
        worth = m.worth(**how)
        if "llama3" in str(change):
            worth["rope_freqs.weight"] = []
            for i in range(HEAD // 2):
                wave = 2 * math.pi * 500000.0 ** (2 * i / HEAD)
                t = (64 / wave - 1) / (4 - 1)
                worth["rope_freqs.weight"].append(1 if wave < 64 / 4 else 8 if wave > 64 / 1 else 1 / ((1 - t) / 8 + t))
            assert len({round(x, 3) for x in worth["rope_freqs.weight"]}) > 2  # all three zones
        folder = write_folder(tools.folder(), config(**change), m.tensors(put_plain))
        form(name, folder, worth, "llama3 rope" if "llama3" in str(change) else None, loose=("rope_freqs.weight",))
        metadata(name, folder, want)


# ---- 4 bits ---------------------------------------------------------------------------------------------------------


def quantised(method, put, how, extra=None, family="llama", beside=None, **more):
    q = {"quant_method": method, "bits": 4, **(extra or {})}
    c = config(family, **more) if beside else config(family, quantization_config=q, **more)
    if beside:
        q.pop("quant_method")
    return write_folder(tools.folder(), c, how.tensors(put), files={beside: q} if beside else None)


def ct(group, symmetric, actorder=None, **more):
    weights = {"num_bits": 4, "type": "int", "symmetric": symmetric, "strategy": "channel" if group == -1 else "group",
               "group_size": None if group == -1 else group, "actorder": actorder}
    return {"bits": None, "format": "pack-quantized", "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
            "ignore": ["lm_head"], **more}


def quark(dtype, pack="reorder", group=64):
    return {"bits": None, "global_quant_config": {"weight": {"dtype": dtype, "qscheme": "per_group", "group_size": group}},
            "export": {"pack_method": pack, "weight_format": "real_quantized"}, "exclude": ["lm_head"]}


def four_bits() -> None:
    """Each list is of forms that mean the same numbers, which the logits have to show."""
    for group in (32, 64, 128):
        sym, asym = model(group=group, zeros=eight), model(group=group, zeros=any_zero)
        named = {"group_size": group}
        kind = {"blk.0.ffn_gate.weight": f"u4g{group}"}
        v1, v2 = (lambda n, m: put_gptq(n, m)), (lambda n, m: put_gptq(n, m, less=0))
        cases = [
            ("awq gemm", asym, "awq", put_awq_gemm, {**named, "version": "gemm"}),
            ("awq GEMM, bf16 scales", asym, "awq", lambda n, m: put_awq_gemm(n, m, "BF16"), {**named, "version": "GEMM"}),
            ("awq without a group size", asym, "awq", put_awq_gemm, {}),
            ("awq exllama", asym, "awq", put_awq_gemm, {**named, "version": "exllama"}),
            ("gptq v1", asym, "gptq", v1, {**named, "sym": False, "checkpoint_format": "gptq"}),
            ("gptq v1, unlabelled, no g_idx", asym, "gptq", lambda n, m: put_gptq(n, m, g_idx=False), {**named, "sym": False}),
            ("gptq v1, a bias of 0 everywhere", asym, "gptq", lambda n, m: put_gptq(n, m, bias=True), {**named, "sym": False}),
            ("gptq v1, BF16 scales", asym, "gptq", lambda n, m: put_gptq(n, m, scale="BF16"), {**named, "sym": False}),
            ("gptq v2", asym, "gptq", v2, {**named, "sym": False, "checkpoint_format": "gptq_v2"}),
            ("gptq v2 of the newest", asym, "gptq", v2, {**named, "sym": False, "format": "gptq_v2", "quant_method": None, "method": "gptq"}),
            ("ct asym", asym, "compressed-tensors", lambda n, m: put_compressed(n, m, "packed"), ct(group, False)),
            ("ct asym, I8 zeros, F32 scales, I32 shape", asym, "compressed-tensors",
             lambda n, m: put_compressed(n, m, "I8", "F32", "I32"), ct(group, False)),
            ("quark uint4", asym, "quark", put_quark, quark("uint4", group=group)),
            ("quark uint4 in order", asym, "quark", lambda n, m: put_quark(n, m, order=False), quark("uint4", "order", group)),
            ("quark uint4, turned scales", asym, "quark", lambda n, m: put_quark(n, m, turned=True, scale="BF16"), quark("uint4", group=group)),
            ("quark int4", asym, "quark", lambda n, m: put_quark(n, m, signed=True), quark("int4", group=group)),
            ("awq sym", sym, "awq", put_awq_gemm, named),
            ("gptq v1 sym", sym, "gptq", v1, {**named, "sym": True, "checkpoint_format": "gptq"}),
            ("gptq v1 sym, mislabelled", sym, "gptq", v2, {**named, "sym": True, "checkpoint_format": "gptq"}),
            ("gptq v2 sym, mislabelled", sym, "gptq", v1, {**named, "sym": True, "checkpoint_format": "gptq_v2"}),
            ("gptq v2 sym", sym, "gptq", v2, {**named, "sym": True, "checkpoint_format": "gptq_v2"}),
            ("gptq v1 sym, desc_act and static groups", sym, "gptq", v1, {**named, "sym": True, "desc_act": True, "static_groups": True}),
            ("ct sym", sym, "compressed-tensors", put_compressed, ct(group, True)),
            ("ct sym, F16 scales", sym, "compressed-tensors", lambda n, m: put_compressed(n, m, scale="F16"), ct(group, True)),
            ("quark int4 sym", sym, "quark", lambda n, m: put_quark(n, m, signed=True, zeros=False), quark("int4", group=group)),
        ]
        fine = Model(seed=group, group=group, zeros=any_zero, scale=(1024, 2048, -18))  # all eleven bits of F16
        if FF % group == 0:  # these have no place for a short group
            cases += [("awq gemv", asym, "awq", put_awq_gemv, {**named, "version": "gemv"}),
                      ("awq gemv_fast", asym, "awq", put_awq_fast, {**named, "version": "gemv_fast"}),
                      ("llm-awq v2", asym, "awq", lambda n, m: put_awq_fast(n, m, "scaled_zeros"), named),
                      ("awq gemm, fine scales", fine, "awq", put_awq_gemm, named),
                      ("awq gemv_fast, fine scales", fine, "awq", put_awq_fast, named)]
        for name, how, method, put, extra in cases:
            name = f"{name}, g{group}"
            if "without a group" in name and FF % group:
                continue  # 96 and 96, or 128 and 64: nobody knows
            if group != 64 and ("turned" in name or "newest" in name or "desc_act" in name):
                continue
            if chosen(name, "forms"):
                folder = quantised(method, put, how, extra)
                form(name, folder, how.worth(), f"{'sym' if how is sym else 'asym' if how is asym else 'fine'} g{group}", kind)
    for beside, method, extra in (("quantize_config.json", "gptq", {"group_size": 64, "sym": False, "desc_act": False}),
                                  ("quant_config.json", "awq", {"w_bit": 4, "q_group_size": 64, "version": "GEMM", "zero_point": True})):
        if chosen(beside, "forms"):
            asym = model(group=64, zeros=any_zero)
            folder = quantised(method, put_gptq if method == "gptq" else put_awq_gemm, asym, extra, beside=beside)
            form(beside, folder, asym.worth(), "asym g64")
    row_forms()
    order_forms()
    odd_scales()
    said_symmetric()
    heads()


def row_forms() -> None:
    asym = model(group=-1, zeros=any_zero)
    sym = model(group=-1, zeros=eight)
    kind = {"blk.0.ffn_gate.weight": "u4g128", "blk.0.ffn_down.weight": "u4g64"}  # of 128 and of 192 inputs
    for name, how, method, put, extra in (
            ("awq, group -1", asym, "awq", put_awq_gemm, {"group_size": -1}),
            ("gptq, group -1", asym, "gptq", put_gptq, {"group_size": -1, "sym": False}),
            ("ct channel, asym", asym, "compressed-tensors", lambda n, m: put_compressed(n, m, "packed"), ct(-1, False)),
            ("gptq, group -1, sym", sym, "gptq", put_gptq, {"group_size": -1, "sym": True}),
            ("ct channel", sym, "compressed-tensors", put_compressed, ct(-1, True))):
        if chosen(name, "forms"):
            form(name, quantised(method, put, how, extra), how.worth(), f"rows {how is sym}", kind)


def order_forms() -> None:
    equal, differing = model(group=32, zeros=any_zero, order="equal"), model(group=32, zeros=any_zero, order="differing")
    extra = {"group_size": 32, "sym": False, "desc_act": True}
    if chosen("gptq act-order, equal", "forms"):
        form("gptq act-order, equal", quantised("gptq", put_gptq, equal, extra), equal.worth(), "equal",
             {f"blk.0.{r}.weight": "u4g32" for r in SHAPES})
    if chosen("ct act-order", "forms"):
        form("ct act-order", quantised("compressed-tensors", lambda n, m: put_compressed(n, m, "packed"), equal, ct(32, False, "group")),
             equal.worth(), "equal")
    if chosen("gptq act-order, differing", "forms"):
        folder = quantised("gptq", put_gptq, differing, extra)
        form("gptq act-order, differing", folder, differing.worth(), types={"blk.0.attn_q.weight": "u4g32", "blk.0.attn_k.weight": "f32",
                                                                           "blk.0.attn_v.weight": "f32", "blk.0.ffn_up.weight": "f32"})
    if chosen("gptq act-order, one of a group in order", "forms"):
        mixed = Model(seed=9, group=32, zeros=any_zero, order="equal")
        mixed.linear["attn_k"] = Linear(random.Random(3), *SHAPES["attn_k"], 32, any_zero)
        form("gptq act-order, one of a group in order", quantised("gptq", put_gptq, mixed, extra), mixed.worth(),
             types={"blk.0.attn_q.weight": "u4g32", "blk.0.attn_k.weight": "f32", "blk.0.attn_v.weight": "u4g32"})
    if chosen("g_idx of -1", "forms"):
        plain = model(group=32, zeros=any_zero)
        put = lambda n, m: {**put_compressed(n, m, "packed"), f"{n}.weight_g_idx": array("I32", [m.n_in], [-1] * m.n_in)}
        form("g_idx of -1", quantised("compressed-tensors", put, plain, ct(32, False, "group")), plain.worth(), "asym g32")


def odd_scales() -> None:
    small = model(group=64, zeros=any_zero, scale=(64, 128, -44))  # of BF16, below all of F16
    for name, put in (("BF16 scales below F16's, ct", lambda n, m: put_compressed(n, m, "packed", "BF16")),
                      ("F32 scales below F16's, ct", lambda n, m: put_compressed(n, m, "packed", "F32"))):
        if chosen(name, "forms"):
            form(name, quantised("compressed-tensors", put, small, ct(64, False)), small.worth(), "small scales", {"blk.0.attn_q.weight": "f32"})
    if chosen("F32 scales that are no F16", "forms"):
        m = Model(seed=4, group=64, zeros=any_zero)
        rng = random.Random(8)
        for linear in m.linear.values():
            linear.s = [[f32(x * (1 + rng.random() / 16)) for x in row] for row in linear.s]
        form("F32 scales that are no F16", quantised("compressed-tensors", lambda n, m: put_compressed(n, m, "packed", "F32"), m, ct(64, False)),
             m.worth(), None, {"blk.0.attn_q.weight": "f32"})
    for name, group in (("a group of 16", 16), ("a group of 48", 48)):
        if chosen(name, "forms"):  # no multiple of 32: floats
            m = Model(seed=6, group=group, zeros=any_zero)
            if group == 48:
                for role in list(m.linear):
                    if SHAPES[role][1] % 48:
                        m.linear[role] = Linear(random.Random(1), *SHAPES[role], 32, any_zero)
            form(name, quantised("gptq", put_gptq, m, {"group_size": group, "sym": False}), m.worth(), None, {"blk.0.ffn_down.weight": "f32"})
    if chosen("zeros that borrow", "forms"):  # runs of 0 beside 15, in both directions
        m = Model(seed=7, group=32, zeros=lambda rng: rng.choice((0, 0, 0, 15, 15, 1, 8)))
        a = quantised("gptq", put_gptq, m, {"group_size": 32, "sym": False, "checkpoint_format": "gptq"})
        form("zeros that borrow", a, m.worth(), "borrow")
        form("zeros that need not", quantised("awq", put_awq_gemm, m, {"group_size": 32}), m.worth(), "borrow")


def said_symmetric() -> None:
    name = "gptq, said to be symmetric and is not"
    if chosen(name, "forms"):
        m = model(group=64, zeros=any_zero)
        folder = quantised("gptq", put_gptq, m, {"group_size": 64, "sym": True, "checkpoint_format": "gptq"})
        form(name, folder, m.worth(), "asym g64")
        metadata(name, folder, {}, warns="zero points of 7 layers are neither 8 nor 8 less 1; they are read as checkpoint_format \"gptq\"")


def heads() -> None:
    for method, put, extra in (("gptq", put_gptq, {"group_size": 64, "sym": False, "lm_head": True}), ("awq", put_awq_gemm, {"group_size": 64})):
        name = f"{method}, lm_head too"
        if chosen(name, "forms"):
            m = model(seed=3, group=64, zeros=any_zero, head_group=64)
            form(name, quantised(method, put, m, extra), m.worth(), "head", {"output.weight": "u4g64"})
    if chosen("a layer that is not quantised", "forms"):
        m = Model(seed=12, group=64, zeros=any_zero)
        m.linear["ffn_up"] = Linear(random.Random(2), *SHAPES["ffn_up"], 64, eight, FLOATS)
        put = lambda n, x: (put_plain if "up_proj" in n else put_awq_gemm)(n, x)
        folder = quantised("awq", put, m, {"group_size": 64, "modules_to_not_convert": ["up_proj"]})
        form("a layer that is not quantised", folder, m.worth(), None, {"blk.0.ffn_up.weight": "f16", "blk.0.ffn_gate.weight": "u4g64"})


# ---- the tokenizer --------------------------------------------------------------------------------------------------


def tokens() -> None:
    m = model(group=64, zeros=eight, scale=FLOATS)
    tensors = m.tensors(put_plain)
    t, ends = "tokenizer.chat_template", "tokenizer.ggml.eos_token_ids"
    usual = {"bos_token": CONTROL[0], "eos_token": CONTROL[1]}
    named = [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]
    cases = [
        ("template in the configuration", {**usual, "chat_template": "old"}, {}, {t: "old"}, None),
        ("chat_template.jinja", usual, {"chat_template.jinja": "new"}, {t: "new"}, None),
        ("chat_template.jinja beside the same", {**usual, "chat_template": "new"}, {"chat_template.jinja": "new\n"}, {t: "new\n"}, None),
        ("chat_template.jinja beside another", {**usual, "chat_template": "old"}, {"chat_template.jinja": "new"}, {t: "new"},
         "chat_template.jinja is the chat template; another"),
        ("chat_template.json", usual, {"chat_template.json": {"chat_template": "json"}}, {t: "json"}, None),
        ("a list of templates", {**usual, "chat_template": named}, {}, {t: "D", t + ".tool_use": "T", t + "s": ["tool_use"]}, None),
        ("additional_chat_templates", usual, {"chat_template.jinja": "new", "additional_chat_templates/rag.jinja": "R"},
         {t: "new", t + ".rag": "R"}, None),
        ("ends in config.json", usual, {}, {ends: [257, 258, 259], "tokenizer.ggml.eos_token_id": 257}, None),
        ("no names of tokens", {}, {}, {ends: [257, 258, 259], "tokenizer.ggml.eos_token_id": 257, "tokenizer.ggml.bos_token_id": 256}, None),
        ("add_bos_token", {**usual, "add_bos_token": True}, {}, {"tokenizer.ggml.add_bos_token": True}, None),
        ("ends in generation_config.json", usual, {"generation_config.json": {"eos_token_id": [261]}}, {ends: [257, 258, 259, 261]}, None),
    ]
    for name, told, files, want, warns in cases:
        if not chosen(name, "other"):
            continue
        c = config(eos_token_id=[258, 257]) if "ends" in name else config()
        folder = write_folder(tools.folder(), c, tensors, tok_config=told, files=files)
        try:
            want = {k: sorted(v) if k == ends else v for k, v in want.items()}
            out, _ = run(tools.tessera, "inspect", folder, "--json", "--metadata-only", "--items", "100")
            got = json.loads(out)["metadata"].get(ends, {}).get("values")
            if ends in want:
                assert sorted(got) == want.pop(ends), f"ends are {got}"
            metadata(name, folder, want, warns=warns)
        except AssertionError as e:
            faults.append(f"{name}: {e}")
    if chosen("rows without a token", "other"):
        folder = write_folder(tools.folder(), config(), tensors)
        try:
            out, _ = run(tools.tessera, "inspect", folder, "--json", "--metadata-only", "--items", "300")
            have = json.loads(out)["metadata"]
            names, kinds = have["tokenizer.ggml.tokens"]["values"], have["tokenizer.ggml.token_type"]["values"]
            assert names[TOKENS:] == [f"[PAD{i}]" for i in range(TOKENS, VOCAB)] and kinds[TOKENS:] == [5] * (VOCAB - TOKENS), names[TOKENS:]
            out, _ = run(tools.tessera, "tokenize", "-m", folder, "--ids", "-p", "the th")
            assert out.strip().endswith("263,32,262"), out
            gap = [{"id": i, "content": c, "special": c != "user", "single_word": False, "lstrip": False, "rstrip": False}
                   for i, c in ((266, "user"), (268, CONTROL[2]))]  # behind a gap, and a text for the second time
            folder = write_folder(tools.folder(), config(), tensors, tok=tokenizer(gap))
            out, _ = run(tools.tessera, "inspect", folder, "--json", "--metadata-only", "--items", "300")
            names = json.loads(out)["metadata"]["tokenizer.ggml.tokens"]["values"]
            assert names[264:] == ["[PAD264]", "[PAD265]", "user", "[PAD267]", CONTROL[2], "[PAD269]", "[PAD270]", "[PAD271]"], names[264:]
            run(tools.tessera, "run", "-m", folder, "--raw", "-p", "a user", "-n", "2")
        except AssertionError as e:
            faults.append(f"rows without a token: {e}")


# ---- inspect --------------------------------------------------------------------------------------------------------


def inspecting() -> None:
    if not chosen("inspect", "other"):
        return
    asym = model(group=64, zeros=any_zero)
    folder = write_folder(tools.folder(), config(quantization_config={"quant_method": "gptq", "bits": 4, "group_size": 64, "sym": False}),
                          asym.tensors(put_gptq), shards=4)
    try:
        text, _ = run(tools.tessera, "inspect", folder)
        assert text.startswith(f"{folder}: 4 files, safetensors, GPTQ\n"), text[:200]
        for part in ("Architecture\n  family         llama\n", "u4g64", "in 4 parts", "  runs it        yes\n"):
            assert part in text, part
        report = json.loads(run(tools.tessera, "inspect", folder, "--json")[0])
        assert report["format"] == "safetensors" and report["version"] is None and report["quantization"] == "gptq"
        assert [pathlib.Path(f["path"]).name for f in report["files"]] == [f"model-{i:05}-of-00004.safetensors" for i in range(1, 5)]
        assert sum(f["bytes"] for f in report["files"]) == report["file_bytes"] == sum(p.stat().st_size for p in folder.glob("*.safetensors"))
        by_name = {t["name"]: t for t in report["tensors"]}
        up = by_name["blk.0.ffn_up.weight"]
        assert up["type"] == "u4g64" and up["shape"] == [D, FF], up
        raw = (folder / f"model-{up['file'] + 1:05}-of-00004.safetensors").read_bytes()
        words_ = asym.tensors(put_gptq)["model.layers.0.mlp.up_proj.qweight"][2]
        assert raw[up["offset"]:up["offset"] + len(words_)] == words_, "the offset is another"
        assert report["runs"] is True and report["totals"]["tensors"] == len(report["tensors"]) == len(asym.worth())
        plain = write_folder(tools.folder(), config(), model(group=64, zeros=eight, scale=FLOATS).tensors(put_plain), tok={"model": {"type": "Unigram"}})
        text, _ = run(tools.tessera, "inspect", plain)
        assert text.startswith(f"{plain}: 1 file, safetensors\n") and f"  runs it        no: {plain}/tokenizer.json: " in text, text[-300:]
        only = json.loads(run(tools.tessera, "inspect", "-m", folder / "model-00001-of-00004.safetensors", "--json", "--tensors")[0])
        assert len(only["tensors"]) == len(asym.worth()) and "metadata" not in only
    except AssertionError as e:
        faults.append(f"inspect: {e}")


# ---- what is wrong --------------------------------------------------------------------------------------------------


def changed(c=None, drop=(), put=put_plain, how=None, files=None, tok=True, **tensors):
    """A folder with other settings, without some tensors, with others (model.layers.0.X as layer_X)."""
    def make():
        all_ = (how or model(group=64, zeros=eight, scale=FLOATS)).tensors(put)
        all_ = {n: t for n, t in all_.items() if n not in drop}
        all_.update({n.replace("__", "."): t for n, t in tensors.items() if t is not None})
        return write_folder(tools.folder(), c if c is not None else config(), all_, files=files, tok=tok)
    return make


def wrong_configs() -> None:
    no = lambda key: {k: v for k, v in config().items() if k != key}
    for key, value, *words_ in (
            ("hidden_size", 0, '"hidden_size" is 0, not a whole number from 1 to'),
            ("hidden_size", -1, '"hidden_size" is -1'),
            ("hidden_size", 128.5, '"hidden_size" is 128.5'),
            ("hidden_size", "128", '"hidden_size" is "128"'),
            ("hidden_size", 2 ** 63, '"hidden_size" is 9223372036854775808'),
            ("hidden_size", [128], '"hidden_size" is [128]'),
            ("num_hidden_layers", 10 ** 9, '"num_hidden_layers" is 1000000000, not a whole number from 1 to 1024'),
            ("num_hidden_layers", 2, "model.layers.1.input_layernorm.weight is missing"),
            ("num_attention_heads", 0, '"num_attention_heads" is 0'),
            ("num_attention_heads", 3, "3 heads cannot share 2 KV heads evenly"),
            ("num_key_value_heads", 3, "4 heads cannot share 3 KV heads evenly"),
            ("num_attention_heads", 2, "k_proj.weight has shape 64 x 128, but config.json asks for 128 x 128"),
            ("head_dim", 64, "q_proj.weight has shape 128 x 128, but config.json asks for 256 x 128"),
            ("vocab_size", 2 ** 31, '"vocab_size" is 2147483648'),
            ("vocab_size", 271, "embed_tokens.weight has shape 272 x 128, but config.json asks for 271 x 128"),
            ("intermediate_size", 191, "gate_proj.weight has shape 192 x 128, but config.json asks for 191 x 128"),
            ("rms_norm_eps", 0, '"rms_norm_eps" is 0, not a positive number'),
            ("rms_norm_eps", "1e-5", '"rms_norm_eps" is "1e-5"'),
            ("rope_theta", -1, '"rope_theta" is -1'),
            ("hidden_act", "gelu", 'hidden_act "gelu"; Tessera computes silu'),
            ("num_local_experts", 8, "a mixture of 8 experts; Tessera runs dense models only"),
            ("model_type", "gemma3", 'model_type "gemma3" is not supported; Tessera runs llama, mistral, qwen2 and qwen3'),
            ("model_type", "phi3", 'model_type "phi3" is not supported'),
            ("model_type", "mixtral", 'model_type "mixtral" is not supported'),
            ("model_type", 5, '"model_type" is missing'),
            ("rope_scaling", {"rope_type": "longrope", "factor": 2}, 'rope scaling "longrope" is not supported; linear, yarn and llama3 are'),
            ("rope_scaling", {"rope_type": "llama3", "factor": 8}, '"original_max_position_embeddings" is missing'),
            ("rope_scaling", {"type": "linear"}, 'rope scaling without a "factor"'),
            ("rope_scaling", {"type": "linear", "factor": 0}, '"factor" is 0'),
            ("partial_rotary_factor", 0.01, "0 elements of a head are turned"),
            ("num_attention_heads", 1024, "cannot share" if False else "hidden_size 128 is not a multiple of 1024 heads"),
            ("max_position_embeddings", 10 ** 18, '"max_position_embeddings" is'),
    ):
        refused(f"config: {key} {value}", changed(config(**{key: value})), *words_, "config.json" if "missing" not in words_[0] else "")
    for key in ("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads", "vocab_size", "model_type"):
        refused(f"config: no {key}", changed(no(key)), f'config.json: "{key}" is missing')
    refused("config: layers of windows", changed(config("qwen2", use_sliding_window=True, sliding_window=64, max_window_layers=0,
                                                        num_hidden_layers=1, layer_types=["sliding_attention", "full_attention"])),
            "a sliding window in 1 of 2 layers")
    for name, text, word in (("not JSON", "{", "config.json: line 1"), ("a list", "[]", "config.json: not an object"), ("empty", "", "config.json: "),
                             ("deep", '{"a":' * 30000, "nested too deeply"), ("twice", '{"hidden_size":1,"hidden_size":2}', "a key that the object already has"),
                             ("not UTF-8", b'{"a":"\xff"}', "no UTF-8"), ("a page", "<!DOCTYPE html>", "config.json")):
        refused(f"config: {name}", changed(files={"config.json": text}), word)
    refused("config: none", lambda: write_folder(tools.folder(), None, model(group=64, zeros=eight, scale=FLOATS).tensors(put_plain)), "config.json")


def wrong_floats() -> None:
    at = "model.layers.0."
    one = array("F16", [1], [1])
    refused("a tensor too few", changed(drop=[at + "mlp.up_proj.weight"]), "tensor model.layers.0.mlp.up_proj.weight is missing")
    refused("no embedding", changed(drop=["model.embed_tokens.weight"]), "tensor model.embed_tokens.weight is missing")
    refused("no norm", changed(drop=["model.norm.weight"]), "tensor model.norm.weight is missing")
    refused("a tensor too many", changed(model__layers__0__mlp__more__weight=one), "mlp.more.weight is no part of the llama models")
    refused("a layer too many", changed(model__layers__1__mlp__up_proj__weight=one), "model.layers.1.mlp.up_proj.weight is no part")
    refused("a bias of another size", changed(model__layers__0__self_attn__q_proj__bias=one), "q_proj.bias has shape 1, but config.json asks for 128")
    refused("a norm of two dimensions", changed(model__norm__weight=array("F16", [1, D], [1] * D)), "model.norm.weight has shape 1 x 128")
    refused("a norm of integers", changed(model__norm__weight=array("I32", [D], [1] * D)), "model.norm.weight is of I32")
    refused("weights of integers", changed(model__layers__0__mlp__up_proj__weight=array("I8", [FF, D], [1] * (FF * D))),
            "mlp.up_proj.weight is of I8, which Tessera does not read as weights")
    refused("a weight that is no number", changed(model__layers__0__mlp__up_proj__weight=array("F32", [FF, D], [0.5] * 500 + [float("nan")] + [0.5] * (FF * D - 501))),
            "up", "not a number", "row 3, element 116")
    refused("fused q, k, v", changed(drop=[at + f"self_attn.{x}_proj.weight" for x in "qkv"],
                                     model__layers__0__self_attn__qkv_proj__weight=one), "q, k and v are one tensor (qkv_proj)")
    refused("Mistral's own names", changed(drop=["model.embed_tokens.weight"], tok_embeddings__weight=one, layers__0__attention__wq__weight=one),
            "take the folder in Hugging Face's form")
    refused("no tokenizer", changed(tok=False), "holds no tokenizer")


def wrong_bits() -> None:
    asym, at = model(group=64, zeros=any_zero), "model.layers.0.mlp.up_proj"
    base = {"quant_method": "gptq", "bits": 4, "group_size": 64, "sym": False}

    def case(name, change, *words_, put=put_gptq, q=None):
        def both(n, m):
            out = put(n, m)
            if n == at:
                change(out, m)
            return {k: v for k, v in out.items() if v is not None}
        refused(f"4 bits: {name}", changed(config(quantization_config={**base, **(q or {})}), put=both, how=asym), *words_)

    def set_(part, value):
        return lambda out, m: out.update({f"{at}.{part}": value})

    def edit(part, fn):
        return lambda out, m: out.update({f"{at}.{part}": fn(out[f"{at}.{part}"])})

    with_ = lambda t, i, raw: (t[0], t[1], t[2][:i] + raw + t[2][i + len(raw):])
    keep = lambda out, m: None
    half = lambda x: struct.pack("<e", x)
    case("group_size 0", keep, "group_size", q={"group_size": 0})
    case("group_size -5", keep, "group_size -5 with 128 inputs", q={"group_size": -5})
    case("group_size above inputs", keep, "group_size 256 with 128 inputs", q={"group_size": 256})
    case("bits 8", keep, "is quantised to 8 bits; Tessera reads 4-bit layers", q={"bits": 8})
    case("bits 3", keep, "is quantised to 3 bits", q={"bits": 3})
    case("qweight of another shape", set_("qweight", words([8, FF], [0] * 8 * FF)), f"tensor {at}.qweight has another shape")
    case("qweight of floats", edit("qweight", lambda t: ("F32", t[1], t[2])), f"{at}.qweight is of no type")
    case("no scales", set_("scales", None), f"tensor {at}.scales is missing")
    case("no zeros", set_("qzeros", None), f"tensor {at}.qzeros is missing")
    case("scales of another shape", set_("scales", array("F16", [2, 8], [1] * 16)), f"{at}.scales has another shape")
    case("scales of 3 groups", set_("scales", array("F16", [3, FF], [1] * 3 * FF)), f"{at}.scales fits no group size")
    case("zeros of another shape", set_("qzeros", words([1, FF // 8], [0] * (FF // 8))), f"{at}.qzeros has another shape than the scales")
    case("zeros of floats", edit("qzeros", lambda t: ("F32", t[1], t[2])), f"{at}.qzeros is not of 32-bit words")
    case("scales of integers", edit("scales", lambda t: ("I16", t[1], t[2])), f"{at}.scales is not of floats")
    for name, value in (("0", 0.0), ("infinite", float("inf")), ("NaN", float("nan"))):
        case(f"a scale that is {name}", edit("scales", lambda t, v=value: with_(t, 2 * (FF + 7), half(v))),
             f"{at}.scales: the scale of group 1, output 7 is", "the file is damaged")
    for name, index in (("negative", -3), ("too large", 2)):
        case(f"g_idx {name}", edit("g_idx", lambda t, v=index: with_(t, 40, struct.pack("<i", v))), f"{at}.g_idx names a group that is not there")
    case("g_idx uneven", edit("g_idx", lambda t: with_(t, 40, struct.pack("<i", 1))), f"{at}.g_idx gives a group more inputs than group_size")
    case("g_idx short", set_("g_idx", array("I32", [5], [0] * 5)), f"{at}.g_idx is not one whole number for each input")
    case("g_idx of floats", edit("g_idx", lambda t: ("F32", t[1], t[2])), f"{at}.g_idx is not one whole number")
    case("EXL3", set_("trellis", array("I16", [1], [1])), "EXL3")
    case("Marlin", set_("qweight", words([D // 16, FF * 2], [0] * (D // 16 * FF * 2))), "Marlin", put=put_awq_gemm, q={"quant_method": "awq"})
    packed = {"quant_method": "compressed-tensors", **ct(64, False)}
    zero = lambda n, m: put_compressed(n, m, "packed")
    case("weight_shape lies", set_("weight_shape", array("I64", [2], [D, FF])), f"{at}.weight_shape is not the shape", put=zero, q=packed)
    case("asymmetric without zeros", set_("weight_zero_point", None), f"{at}.weight_zero_point is missing", put=zero, q=packed)
    case("no weight_scale", set_("weight_scale", None), f"{at}.weight_scale is missing", put=zero, q=packed)
    case("ct zeros of another shape", set_("weight_zero_point", words([FF, 2], [0] * FF * 2)), "weight_zero_point has another shape", put=zero, q=packed)
    case("fp8", keep, 'format "float-quantized"; Tessera reads pack-quantized', put=zero, q={**packed, "format": "float-quantized"})
    case("quark without zeros", set_("weight_zero_point", None), f"{at}.weight_zero_point is missing", put=put_quark,
         q={"quant_method": "quark", **quark("uint4")})
    case("quark of 8 bits", keep, "is quantised to 8 bits", put=put_quark, q={"quant_method": "quark", **quark("uint8")})
    mixed = {"quant_method": "quark", **quark("uint4"), "layer_quant_config": {"*down_proj": {"weight": {"dtype": "int4", "group_size": 64}}}}
    case("quark of both signs", keep, "config.json: layers *down_proj are int4, the others uint4", put=put_quark, q=mixed)
    refused("4 bits: bitsandbytes", changed(config(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
                                            model__layers__0__mlp__up_proj__weight=array("U8", [FF * D // 2, 1], [0] * (FF * D // 2))),
            "up_proj.weight is of U8, quantised by bitsandbytes, which Tessera does not read")


def wrong_folders() -> None:
    m = model(group=64, zeros=eight, scale=FLOATS)
    tensors = m.tensors(put_plain)
    page = "<!DOCTYPE html><html>"
    lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 14244\n"

    def sharded(change):
        def make():
            folder = write_folder(tools.folder(), config(), tensors, shards=3)
            change(folder)
            return folder
        return make

    def edit_index(fn):
        def change(folder):
            path = folder / "model.safetensors.index.json"
            index = json.loads(path.read_text())
            fn(index["weight_map"])
            path.write_text(json.dumps(index))
        return sharded(change)

    second = "model-00002-of-00003.safetensors"
    norm = "model.norm.weight"
    refused("folder: a shard missing", sharded(lambda f: (f / second).unlink()), f"{second} is missing; named by model.safetensors.index.json")
    refused("folder: a shard missing, no index", sharded(lambda f: ((f / second).unlink(), (f / "model.safetensors.index.json").unlink())),
            "is one of 3 parts, but 2 are there")
    refused("folder: a shard alone, no index", sharded(lambda f: [p.unlink() for p in f.glob("model*") if "-00001-" not in p.name]),
            "model-00001-of-00003.safetensors is one of 3 parts; the others are not there")
    refused("folder: a shard that is an LFS pointer", sharded(lambda f: (f / second).write_text(lfs)), second, "Git LFS pointer", "git lfs pull")
    refused("folder: a shard that is a page", sharded(lambda f: (f / second).write_text(page)), second, "a web page", "fetch the file again")
    refused("folder: a shard cut off", sharded(lambda f: (f / second).write_bytes((f / second).read_bytes()[:-100])), second, "it is incomplete; fetch it again")
    refused("folder: a shard without data", sharded(lambda f: (f / second).write_bytes(b"")), second, "0 bytes")
    for name, where in (("a path", "../x.safetensors"), ("an absolute path", "/etc/passwd"), ("empty", ""), ("a dot", "."), ("two dots", ".."),
                        ("a backslash", "a\\b"), ("a NUL", "a\0b"), ("hidden", ".x"), ("a line", "a\nb"), ("long", "a" * 256)):
        refused(f"folder: index, {name}", edit_index(lambda w, v=where: w.update({norm: v})), "is not the name of a file in this folder",
                "model.safetensors.index.json")
    refused("folder: index, a number", edit_index(lambda w: w.update({norm: 5})), "5 is not the name of a file")
    refused("folder: index, another shard", edit_index(lambda w: w.update({norm: second if w[norm] != second else "model-00001-of-00003.safetensors"})),
            f"tensor {norm} is in", "as model.safetensors.index.json says")
    refused("folder: index, a tensor too many", edit_index(lambda w: w.update({"model.x": second})), "tensor model.x, which model.safetensors.index.json names, is in none")
    refused("folder: index, a tensor too few", edit_index(lambda w: w.pop(norm)), f"tensor {norm} in model-0000", "is not in model.safetensors.index.json")
    refused("folder: index, empty", edit_index(lambda w: w.clear()), "there is no weight_map with tensors")
    refused("folder: index, no JSON", sharded(lambda f: (f / "model.safetensors.index.json").write_text("x")), "index.json: line 1")
    refused("folder: index, a key twice", sharded(lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map":{"a":"b","\\u0061":"c"}}')),
            "a key that the object already has")
    refused("folder: index, an LFS pointer", sharded(lambda f: (f / "model.safetensors.index.json").write_text(lfs)), "index.json")

    both = "model.embed_tokens.weight"

    many = {f"t{i}": f"f{i % 4000:04}.safetensors" for i in range(300000)}  # soon, too
    refused("folder: index, 4,000 files", lambda: write_folder(tools.folder(), config(), None, files={"model.safetensors.index.json": {"weight_map": many}}),
            "f0000.safetensors is missing; named by")
    more = {f"t{i}": f"f{i}.safetensors" for i in range(4097)}
    refused("folder: index, 4,097 files", lambda: write_folder(tools.folder(), config(), None, files={"model.safetensors.index.json": {"weight_map": more}}),
            "an index of more than 4096 files")

    def twice(folder):
        (folder / second).write_bytes(safetensors({**{n: t for i, (n, t) in enumerate(tensors.items()) if i % 3 == 1}, both: tensors[both]}))
    refused("folder: a tensor in two shards", sharded(twice), f"tensor {both} is in model-0000", "and in model-0000")
    refused("folder: two models", lambda: write_folder(tools.folder(), config(), None, files={
        "a.safetensors": safetensors(tensors), "b.safetensors": safetensors(tensors)}),
            "a.safetensors and b.safetensors: which of them is the model? Name the file")
    refused("folder: an adapter", lambda: write_folder(tools.folder(), None, None, tok=False, files={
        "adapter_config.json": {"peft_type": "LORA"}, "adapter_model.safetensors": safetensors({"a": array("F16", [1], [1])})}),
            "an adapter (LoRA) without its model; merge it into the model first")
    refused("folder: of GGUF", lambda: write_folder(tools.folder(), None, None, tok=False, files={"x-q4.gguf": b"GGUF"}), "a folder of GGUF files; name one:", "x-q4.gguf")
    refused("folder: Mistral's own", lambda: write_folder(tools.folder(), None, None, files={"params.json": {}, "consolidated.safetensors": safetensors({})}),
            "in Meta's or Mistral's own form (consolidated.safetensors); take the folder in Hugging Face's form")
    refused("folder: config.json only", lambda: write_folder(tools.folder(), config(), None), "no model is there")
    refused("folder: empty", lambda: write_folder(tools.folder(), None, None, tok=False), "no model is there: neither a GGUF file nor *.safetensors")
    refused("folder: not there", tools.tmp / "nowhere", "nowhere")
    refused("folder: a file that is empty", lambda: write_folder(tools.folder(), config(), {}), "tensor model.embed_tokens.weight is missing")
    refused("folder: no arrays at all", lambda: write_folder(tools.folder(), config(), None, files={"model.safetensors": struct.pack("<Q", 2) + b"{}"}),
            "tensor model.embed_tokens.weight is missing")


def wrong_tokens() -> None:
    added = lambda **more: tokenizer([{"id": 264, "content": "<|new|>", "special": True, "single_word": False, "lstrip": False, "rstrip": False, **more}])
    many = tokenizer([{"id": 264 + i, "content": f"<{i}>", "special": False, "single_word": False, "lstrip": False, "rstrip": False} for i in range(300000)])
    merges = tokenizer()
    merges["model"]["merges"].append("th zz")
    cases = [
        ("an empty added token", added(content=""), "added token 264 has no content"),
        ("an added token beyond the rows", added(id=VOCAB, content="new", special=False), f"the vocabulary has {VOCAB + 1} tokens, but token_embd.weight only {VOCAB} rows"),
        ("an id of 2^40", added(id=2 ** 40), "1099511627776"),
        ("a negative id", added(id=-4), "-4"),
        ("300,000 added tokens", many, "the vocabulary has 300264 tokens"),
        ("an id twice", added(id=65), "added token 65 is both \"A\" and \"<|new|>\""),
        ("unigram", {"model": {"type": "Unigram", "vocab": []}}, "tokenizer.json"),
        ("a merge of nothing", merges, "tokenizer.json"),
        ("no tokenizer.json in it", {"a": 1}, "tokenizer.json"),
    ]
    for name, tok, *words_ in cases:
        refused(f"tokens: {name}", changed(tok=tok), *words_)
    for name, files, word in (("a template of 2 MiB", {"chat_template.jinja": "{# x #}" * 300000}, "chat_template.jinja: a chat template of 2100000 bytes; at most 1048576"),
                              ("a template in JSON that is none", {"chat_template.json": "{"}, "chat_template.json: line 1"),
                              ("ids of fractions", {"generation_config.json": '{"eos_token_id": 1.5}'}, "generation_config.json: line 1")):
        refused(f"tokens: {name}", changed(files=files), word)


def commands() -> None:
    """The programs' own words where a folder is not what it should be; one line, exit code 1."""
    (tools.tmp / "text").write_text("the " * 40)
    good = write_folder(tools.folder(), config(), model(group=64, zeros=eight, scale=FLOATS).tensors(put_plain))
    if chosen("commands", "other"):
        try:
            run(tools.tessera, "run", "-m", good, "--raw", "-p", "hello", "-n", "3", "--temp", "0")
            run(tools.tessera, "chat", "-m", good, "--chat-template", "llama3", "--temp", "0", "-n", "3", stdin="hello\n")
            run(tools.tessera, "eval", "-m", good, "-f", tools.tmp / "text")
            run(tools.tessera, "tokenize", "-m", good, "-p", "the")
        except AssertionError as e:
            faults.append(f"commands: {e}")
    empty, lonely = write_folder(tools.folder(), None, None, tok=False), write_folder(tools.folder(), config(), None, tok=False)
    for command in (["run", "-p", "x"], ["chat"], ["inspect"], ["eval", "-f", str(tools.tmp / "text")]):
        words_ = lambda m: [tools.tessera, command[0], "-m", m, *command[1:]]
        refused(f"{command[0]}: an empty folder", None, "no model is there", command=words_(empty))
        refused(f"{command[0]}: a folder with config.json only", None, "no model is there", command=words_(lonely))
        refused(f"{command[0]}: no such folder", None, "nowhere", command=words_(tools.tmp / "nowhere"))
        refused(f"{command[0]}: no such name", None, "nosuch", command=words_("nosuch"))
        for file in ("config.json", "tokenizer.json"):
            refused(f"{command[0]}: {file}", None, f"{file} is one file of a Hugging Face folder; give the folder: {good}", command=words_(good / file))
    refused("tokenize: an empty folder", None, "holds no tokenizer", command=[tools.tessera, "tokenize", "-m", empty, "-p", "x"])


def main(*parts_) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("dump")
    parser.add_argument("tessera")
    parser.add_argument("--only", default="")
    parser.add_argument("-v", action="store_true")
    args = parser.parse_args()
    tools.dump, tools.tessera, tools.only, tools.verbose = os.path.abspath(args.dump), os.path.abspath(args.tessera), args.only, args.v
    with tempfile.TemporaryDirectory() as tmp:
        tools.tmp = pathlib.Path(tmp)
        for part in parts_:
            part()
    for fault in faults:
        print(fault)
    print(", ".join(f"{n} {what}" for what, n in shown.items()) + f", {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(float_forms, names_and_heads, families, rope, four_bits, tokens, inspecting, wrong_configs, wrong_floats, wrong_bits,
                  wrong_folders, wrong_tokens, commands))
