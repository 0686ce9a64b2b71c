"""Folders that are damaged, that lie about themselves, or hold more than one model: each is read rightly or refused in one line.
Needs no shared test data.

Usage: odd.py IMPORT_DUMP TESSERA [--only TEXT] [-v]"""
import json
import os
import random
import struct
import sys
import tempfile

from forms import *  # noqa: F403
from forms import chosen, config, faults, form, main, metadata, model, quantised, refused, run, tools  # noqa: F401
from hf_writer import *  # noqa: F403

PLAIN = {"group": 64, "zeros": eight, "scale": FLOATS}


def says(name, folder, *words_, level="warning") -> None:
    """A run of the folder goes well, and says this."""
    if not chosen(name, "other"):
        return
    try:
        _, err = run(tools.tessera, "inspect", folder() if callable(folder) else folder, "--metadata-only")
        for w in words_:
            assert w in err, f"{err!r} does not mention {w!r}"
        assert words_ or not err, f"standard error is {err!r}"
    except AssertionError as e:
        faults.append(f"{name}: {e}")


def right(name, make, worth, same=None) -> None:
    if chosen(name, "forms"):
        form(name, make(), worth, same)


def pt(settings, file, tok=True, name="pytorch_model.bin", **files):
    return write_folder(tools.folder(), settings, None, tok=tok, files={name: file, **{n.replace("__", "."): x for n, x in files.items()}})


# ---- damage ---------------------------------------------------------------------------------------------------------


def storages() -> None:
    """A bit in any storage of PyTorch's files: a run and a conversion end, and say so."""
    q = {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": False, "desc_act": True}
    cases = [
        ("plain", config(), model(**PLAIN).tensors(put_plain)),
        ("biases", config("qwen2"), model(**PLAIN, biases=True).tensors(put_plain)),
        ("norms of heads", config("qwen3"), model(**PLAIN, norms=True).tensors(put_plain)),
        ("gptq", config(quantization_config=q), model(group=32, zeros=any_zero, order="equal").tensors(put_gptq)),
        ("compressed-tensors", config(quantization_config={"quant_method": "compressed-tensors", **ct(64, False)}),
         model(group=64, zeros=any_zero).tensors(lambda n, m: put_compressed(n, m, "packed"))),
    ]
    for name, settings, tensors in cases:
        file = torch_file(tensors)
        for i, (tensor, (_, _, raw)) in enumerate(tensors.items()):
            case = f"damage, {name}: {tensor}"
            if not chosen(case, "refusals"):
                continue
            bad, at = bytearray(file), storage_at(file, i)
            if tensor.endswith("g_idx"):  # still an order that may be
                other = next(k for k in range(4, len(raw), 4) if raw[k:k + 4] != raw[:4])
                bad[at:at + 4], bad[at + other:at + other + 4] = bad[at + other:at + other + 4], bad[at:at + 4]
            else:
                bad[at] ^= 1
            try:
                folder = pt(settings, bytes(bad))
                for command in (["run", "-m", folder, "--raw", "-p", "x", "-n", "1"], ["convert", folder, tools.tmp / "x.gguf", "--type", "f32", "--quiet"]):
                    _, err = run(tools.tessera, *command, code=1)
                    want = "weight_shape" if tensor.endswith("weight_shape") else "do not have the CRC"
                    assert want in err.splitlines()[-1] and not (tools.tmp / "x.gguf").exists(), err
            except AssertionError as e:
                faults.append(f"{case}: {e}")


# ---- what is said and what is there ---------------------------------------------------------------------------------


def groups() -> None:
    """Forms with room for more groups than there are: the numbers tell how many, not the configuration."""
    for true in (32, 64, -1):
        m = model(group=true, zeros=any_zero)
        for what, put in (("gemv", put_awq_gemv), ("gemv_fast", put_awq_fast), ("llm-awq v2", lambda n, x: put_awq_fast(n, x, "scaled_zeros"))):
            for said in (32, 64, 128, -1, None):
                right(f"{what} of groups of {true}, said to be {said}",
                      lambda: quantised("awq", put, m, {"version": "gemv"} if said is None else {"group_size": said, "version": "gemv"}), m.worth())

    def crowded(n, x):  # a scale where groups of 64 have none
        out = put_awq_gemv(n, x)
        dtype, shape, raw = out[f"{n}.scales"]
        raw = bytearray(raw)
        raw[2 * x.n_groups:2 * x.n_groups + 2] = struct.pack("<e", 0.5)
        return {**out, f"{n}.scales": (dtype, shape, bytes(raw))}

    def wider(n, x):
        out = put_awq_gemv(n, x)
        dtype, shape, raw = out[f"{n}.scales"]
        step, zeros = 2 * shape[1], out[f"{n}.qzeros"]
        rows = [raw[i:i + step] + bytes(16) for i in range(0, len(raw), step)]
        words_ = [zeros[2][i:i + step // 4] + bytes(4) for i in range(0, len(zeros[2]), step // 4)]
        return {**out, f"{n}.scales": (dtype, [shape[0], shape[1] + 8], b"".join(rows)),
                f"{n}.qzeros": (zeros[0], [zeros[1][0], zeros[1][1] + 1], b"".join(words_))}
    m = model(group=64, zeros=any_zero)
    refused("a group too many", lambda: quantised("awq", crowded, m, {"group_size": 64}), "scales fits no group size")
    refused("room for too many groups", lambda: quantised("awq", wider, m, {"group_size": 64}), "scales fits no group size: there is room for more")
    # a layer has another size than the configuration says of all
    head = Model(seed=3, group=-1, zeros=any_zero, head_group=32)
    for method, put, extra in (("gptq", put_gptq, {"group_size": -1, "sym": False}), ("awq", put_awq_gemm, {"group_size": -1}),
                               ("quark", put_quark, quark("uint4", group=-1)),
                               ("compressed-tensors", lambda n, x: put_compressed(n, x, "packed"), ct(-1, False))):
        right(f"{method}, rows and a head of groups of 32", lambda: quantised(method, put, head, extra), head.worth())
    mixed = Model(seed=22, group=64, zeros=any_zero)
    mixed.linear["ffn_down"] = Linear(random.Random(5), *SHAPES["ffn_down"], 128, any_zero)
    dynamic = {"group_size": 64, "sym": False, "dynamic": {"+:.*down_proj": {"group_size": 128}}}
    right("gptq, a layer of 128 and 64 inputs", lambda: quantised("gptq", put_gptq, mixed, dynamic), mixed.worth())
    refused("gptq, the same without g_idx", lambda: quantised("gptq", lambda n, x: put_gptq(n, x, g_idx=False), mixed, dynamic),
            "down_proj.scales fits several group sizes")
    square = model(group=64, zeros=any_zero)
    right("gemv without a version", lambda: quantised("awq", put_awq_gemv, square, {"group_size": 64}), square.worth(), "square")
    right("gemm that is said to be gemv", lambda: quantised("awq", put_awq_gemm, square, {"group_size": 64, "version": "gemv"}), square.worth(), "square")


def zeros() -> None:
    sym = model(group=64, zeros=eight)
    for stored, less in ((7, 0x11111111), (8, 0)):
        right(f"gptq, nothing said of symmetry, stored as {stored}", lambda: quantised("gptq", lambda n, x: put_gptq(n, x, less=less), sym, {"group_size": 64}),
              sym.worth(), "sym")
        right(f"no configuration, stored as {stored}", lambda: write_folder(tools.folder(), config(), sym.tensors(lambda n, x: put_gptq(n, x, less=less))),
              sym.worth(), "sym")
    v2 = {"group_size": 64, "sym": False, "checkpoint_format": "gptq_v2"}
    asym = model(group=64, zeros=any_zero)
    quiet = lambda less, extra, m=asym: lambda: quantised("gptq", lambda n, x: put_gptq(n, x, less=less), m, extra)
    says("gptq, not symmetric and all 8 in v1", quiet(0, {"group_size": 64, "sym": False}, sym),
         "said not to be symmetric, but zero points of 7 layers are all stored as 8", 'checkpoint_format "gptq" has them, as 9')
    says("gptq, not symmetric and all 7 in v2", quiet(0x11111111, v2, sym), "all stored as 7", 'checkpoint_format "gptq_v2" has them, as 7')
    says("gptq, not symmetric", quiet(0x11111111, {"group_size": 64, "sym": False}))
    says("gptq, nothing said of symmetry", quiet(0x11111111, {"group_size": 64}))
    borrow = Model(seed=7, group=32, zeros=lambda rng: rng.choice((0, 0, 0, 15, 15, 1, 8)))
    says("gptq, zeros that borrow", lambda: quantised("gptq", put_gptq, borrow, {"group_size": 32, "sym": False}))
    usual = Model(seed=8, group=64, zeros=lambda rng: rng.choice((6, 7, 8, 9)))

    def smear(*places):
        def put(n, x):
            out = put_gptq(n, x)
            if n.endswith("up_proj"):
                dtype, shape, raw = out[f"{n}.qzeros"]
                words_ = list(struct.unpack(f"<{len(raw) // 4}I", raw))
                for word, nibble in places:
                    words_[word] |= 0xffffffff << 4 * nibble & 0xffffffff
                out[f"{n}.qzeros"] = words(shape, words_)
            return out
        return put
    lost = "zero points of 1 layers look as an old AutoGPTQ damaged them"
    says("gptq, a smeared word", lambda: quantised("gptq", smear((0, 2)), asym, {"group_size": 64, "sym": False}), lost)
    says("gptq, words smeared a little", lambda: quantised("gptq", smear((1, 6), (2, 7)), usual, {"group_size": 64, "sym": False}), lost)
    says("gptq, a 15 at the end of a word", lambda: quantised("gptq", smear((1, 7)), usual, {"group_size": 64, "sym": False}))
    says("gptq v2, all 15 in a word", lambda: quantised("gptq", lambda n, x: {**put_gptq(n, x, less=0)}, Model(seed=8, group=64, zeros=lambda rng: 15), v2))


def pickled_models() -> None:
    parts = {f"model.layers.0.{n}": r for n, r in ROLES.items()}
    for group in (32, 64, 128):
        m = model(group=group, zeros=any_zero)
        ints = {n: {"group_size": group, "w_bit": 4} for n in parts}
        right(f"QLinearPerGrp, groups of {group}", lambda: pt(config(), torch_module(m.tensors(put_bytes, "BF16"), ints), name="x.pt"), m.worth())
    m = model(group=64, zeros=any_zero)
    ints = {n: {"group_size": 32 if "up_proj" in n else 64} for n in parts}
    refused("QLinearPerGrp, groups that are not there", lambda: pt(config(), torch_module(m.tensors(put_bytes, "BF16"), ints), name="x.pt"),
            "up_proj.scales has 2 groups of 128 inputs, but the layer's group_size is 32")


def scales() -> None:
    """s z beyond F16: that matrix becomes F32, as no block of GGUF's holds it."""
    for name, zero, scale, kind in (("large", any_zero, 8192, "f32"), ("large, symmetric", eight, 60000, "q4_0"),
                                    ("just small enough", lambda rng: 15, 4364, "u4g64"), ("just too large", lambda rng: 15, 4368, "f32")):
        if not chosen(f"scales that are {name}", "forms"):
            continue
        m = Model(seed=5, group=64, zeros=zero)
        m.linear["attn_k"].s = [[float(scale) for _ in row] for row in m.linear["attn_k"].s]
        folder, file = quantised("awq", put_awq_gemm, m, {"group_size": 64}), tools.tmp / "scales.gguf"
        form(f"scales that are {name}", folder, m.worth(), None, {"blk.0.attn_k.weight": "u4g64"})
        try:
            run(tools.tessera, "convert", folder, file, "--quiet")
            form(f"scales that are {name}, converted", file, m.worth(), None, {"blk.0.attn_k.weight": kind})
        except AssertionError as e:
            faults.append(f"scales that are {name}, converted: {e}")


# ---- folders --------------------------------------------------------------------------------------------------------


def more_than_one() -> None:
    m, other = model(**PLAIN), Model(seed=77, **PLAIN)
    tensors, stale = m.tensors(put_plain), other.tensors(put_plain)
    index, names = "model.safetensors.index.json", list(tensors)
    half = lambda t, i: {n: t[n] for n in names[i::2]}
    parts = lambda t, stem: {f"{stem}-{i + 1:05}-of-00002.safetensors": safetensors(half(t, i)) for i in (0, 1)}
    map_ = lambda stem, ext="safetensors": {"weight_map": {n: f"{stem}-{i % 2 + 1:05}-of-00002.{ext}" for i, n in enumerate(names)}}
    beside = [
        ("an index of files that are not there", {index: map_("model")}),
        ("an index that is none", {index: "{"}),
        ("a part of something", {"model-00001-of-00002.safetensors": safetensors(half(stale, 0))}),
        ("a part of something and its index", {"model-00001-of-00002.safetensors": safetensors(half(stale, 0)), index: map_("model")}),
        ("a variant", {"model.fp16.safetensors": safetensors(stale)}),
        ("a variant in parts", {"model.fp16.safetensors.index.json": map_("model.fp16"), **parts(stale, "model.fp16")}),
        ("an index of a variant that is not there", {"model.fp16.safetensors.index.json": map_("model.fp16")}),
        ("something of no name", {"other.safetensors": b"no safetensors"}),
        ("PyTorch's files", {"pytorch_model.bin": b"none", "pytorch_model.bin.index.json": "{", "scaler.pt": b"x"}),
    ]
    for name, files in beside:
        right(f"one file beside {name}", lambda: write_folder(tools.folder(), config(), tensors, files=files), m.worth(), "plain")
    right("parts and their index beside a stale file",
          lambda: write_folder(tools.folder(), config(), stale, files={index: map_("model"), **parts(tensors, "model")}), m.worth(), "plain")
    for name, files in (("a variant's index", {"model.fp16.safetensors.index.json": map_("model.fp16"), "a.fp16.safetensors.index.json": "{"}),
                        ("a variant", parts(stale, "model.fp16"))):
        right(f"parts beside {name}", lambda: write_folder(tools.folder(), config(), None, files={index: map_("model"), **parts(tensors, "model"), **files}),
              m.worth(), "plain")
        right(f"parts without index beside {name}", lambda: write_folder(tools.folder(), config(), None, files={**parts(tensors, "model"), **(
            files if "index" not in name else {})}), m.worth(), "plain")
    right("a part that is named, beside those of another model", lambda: write_folder(tools.folder(), config(), None, files={
        index: map_("model"), **parts(stale, "model"), "model.x.safetensors.index.json": map_("model.x"), **parts(tensors, "model.x")})
          / "model.x-00002-of-00002.safetensors", m.worth(), "plain")
    right("a part that is named, without index", lambda: write_folder(tools.folder(), config(), None, files={**parts(stale, "model"), **parts(tensors, "x")})
          / "x-00001-of-00002.safetensors", m.worth(), "plain")
    file = torch_file(tensors)
    for name in ("scaler.pt", "tokenizer.bin", "optimizer.bin", "training_args.bin", "pytorch_model.fp16.bin", "rng_state_0.pth", "other.pt"):
        right(f"pytorch_model.bin beside {name}", lambda: pt(config(), file, **{name.replace(".", "__"): b"none"}), m.worth(), "plain")
    for name in ("scaler.pt", "tokenizer.bin"):
        right(f"x.pt beside {name}", lambda: pt(config(), file, name="x.pt", **{name.replace(".", "__"): b"none"}), m.worth(), "plain")
    right("pytorch_model.bin beside an index of safetensors", lambda: pt(config(), file, **{index.replace(".", "__"): map_("model")}), m.worth(), "plain")
    for ext in ("bin", "pth"):
        torch_parts = {f"pytorch_model-{i + 1:05}-of-00002.{ext}": torch_file(half(tensors, i)) for i in (0, 1)}
        for name, more in (("", {}), (" and their index", {f"pytorch_model.{ext}.index.json": map_("pytorch_model", ext)})):
            right(f"parts .{ext}{name}", lambda: write_folder(tools.folder(), config(), None, files={**torch_parts, **more, "scaler.pt": b"x"}), m.worth(), "plain")
    tied = model(group=64, zeros=any_zero, seed=3, head_group=64)
    right("tied, and a head of 4 bits", lambda: quantised("gptq", put_gptq, tied, {"group_size": 64, "sym": False}, tie_word_embeddings=True), tied.worth(head=False))


def inspected() -> None:
    """A folder that is no model for Tessera is shown all the same."""
    fp8 = {**model(**PLAIN).tensors(put_plain), "model.layers.0.mlp.up_proj.weight": ("F8_E4M3", [FF, D], bytes(FF * D))}
    quantised_ = config(quantization_config={"quant_method": "fp8", "fmt": "e4m3"})
    for name, settings, word, words_ in (("FP8", quantised_, "no: tensor model.layers.0.mlp.up_proj.weight is of F8_E4M3, quantised by fp8", "F8_E4M3"),
                                         ("another family", config(model_type="gpt2"), 'no: ', 'model_type "gpt2" is not supported'),
                                         ("no config.json", None, "no: ", "config.json")):
        if not chosen(f"inspect, {name}", "other"):
            continue
        try:
            folder = write_folder(tools.folder(), settings, fp8, shards=2)
            out, err = run(tools.tessera, "inspect", folder)
            assert f"runs it        {word}" in out and words_ in out and "model.layers.0.mlp.up_proj.weight " in out and not err, out + err
            report = json.loads(run(tools.tessera, "inspect", folder, "--json")[0])
            assert report["runs"] is False and word[4:] in report["refusal"] and report["format"] == "safetensors" and len(report["files"]) == 2
            up = {t["name"]: t for t in report["tensors"]}["model.layers.0.mlp.up_proj.weight"]
            assert len(report["tensors"]) == len(fp8) and up["type"] == "F8_E4M3" and up["shape"] == [D, FF] and up["bytes"] == FF * D, up
            only = json.loads(run(tools.tessera, "inspect", folder, "--json", "--tensors")[0])
            assert only["tensors"] == report["tensors"] and "runs" not in only
            run(tools.tessera, "inspect", folder, "--metadata-only", code=1)
        except AssertionError as e:
            faults.append(f"inspect, {name}: {e}")
    refused("run, FP8", None, "is of F8_E4M3, quantised by fp8", command=[tools.tessera, "run", "-m", write_folder(tools.folder(), quantised_, fp8), "-p", "x"])


def names_and_words() -> None:
    m = model(**PLAIN)
    tensors = m.tensors(put_plain)
    index = "model.safetensors.index.json"
    lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 14244\n"
    page, error = "<!DOCTYPE html><html>", '{"error": "Access to model a/b is restricted"}'

    def named(key):
        def make():
            folder = write_folder(tools.folder(), config(), tensors, shards=2)
            said = json.loads((folder / index).read_text())
            said["weight_map"][key] = "model-00001-of-00002.safetensors"
            (folder / index).write_text(json.dumps(said))
            return folder
        return make
    for what, key in (("one with a NUL in it", "model.norm.weight\0x"), ("one with a NUL in it", "\0"), ("empty", ""), ("longer than 64 KiB", "n" * 65537)):
        refused(f"index: a name that is {what}", named(key), f"{index}: ", f"is no name of a tensor: it is {what}")
    for what, text_, word in (("an LFS pointer", lfs, "a Git LFS pointer, not the file itself; run: git lfs pull"), ("a page", page, "a web page, not the file itself"),
                              ("an answer", error, "an answer of a server that gives no access")):
        refused(f"config.json: {what}", lambda: write_folder(tools.folder(), None, tensors, files={"config.json": text_}), f"config.json: {word}")
        refused(f"index: {what}", lambda: write_folder(tools.folder(), config(), None, files={index: text_}), f"{index}: {word}")
        refused(f"pytorch_model.bin: {what}", lambda: pt(config(), text_.encode()), f"pytorch_model.bin: {word}")
        refused(f"quantize_config.json: {what}", lambda: write_folder(tools.folder(), config(), tensors, files={"quantize_config.json": text_}),
                f"quantize_config.json: {word}")
    refused("an adapter that is named", lambda: write_folder(tools.folder(), config(), tensors, files={"adapter_model.safetensors": safetensors({})})
            / "adapter_model.safetensors", "adapter_model.safetensors: an adapter (LoRA), not a model")

    def dangling():
        folder = write_folder(tools.folder(), config(), None)
        (folder / "model.safetensors").symlink_to("../../blobs/0123")
        return folder
    refused("a link to nothing", dangling, "model.safetensors is a link to a file that is not there; fetch the model again")
    for what, value in (("a word", "linear"), ("a list", ["linear", 2]), ("true", True)):
        for key in ("rope_scaling", "rope_parameters"):
            refused(f"config: {key} that is {what}", lambda: write_folder(tools.folder(), config(**{key: value}), tensors), f'config.json: "{key}" is {json.dumps(value, separators=(", ", ": "))}, not an object')
    for dtype in ("uint99999999999999999999", "int8"):
        refused(f"config: weights of {dtype}", lambda: quantised("quark", put_quark, model(group=64, zeros=any_zero), quark(dtype)), "is quantised to")
    refused("EXL2", lambda: write_folder(tools.folder(), config(), {**{n: t for n, t in tensors.items() if "up_proj" not in n}, "model.layers.0.mlp.up_proj.q_weight": words([4], [0] * 4)}),
            "is in an EXL2 form, which Tessera does not read")
    refused("a checkpoint's own word for its weights", lambda: pt(config(), torch_file(tensors, "model_state_dict")), '"model_state_dict"')
    for key in ("state_dict", "model"):
        right(f"weights under {key}", lambda: pt(config(), torch_file(tensors, key)), m.worth(), "plain")


if __name__ == "__main__":
    sys.exit(main(storages, groups, zeros, pickled_models, scales, more_than_one, inspected, names_and_words))
