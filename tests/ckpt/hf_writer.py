"""Writes small random models as Hugging Face folders, in every form that is read: safetensors, configurations, tokenizers,
and linear layers in the 4-bit forms. Plain Python, written from the formats' descriptions and not from the reader.

A model is made once (Model); a form says how it is stored (put_* below return tensors: name -> (dtype, shape, bytes)).
What every tensor is worth is computed beside it, so that a test compares numbers, not files."""
import io
import json
import pathlib
import random
import struct
import zipfile

AWQ = [0, 2, 4, 6, 1, 3, 5, 7]  # nibble i of a word is this one of its eight columns


# ---- numbers --------------------------------------------------------------------------------------------------------


def f32(x: float) -> float:
    return struct.unpack("<f", struct.pack("<f", x))[0]


def to_bytes(dtype: str, values) -> bytes:
    values = list(values)
    n = len(values)
    if dtype == "BF16":  # values are such numbers already, so that the upper half is all of it
        raw = struct.pack(f"<{n}f", *values)
        assert not any(raw[0::4]) and not any(raw[1::4]), "no numbers of BF16"
        return b"".join(raw[i + 2:i + 4] for i in range(0, 4 * n, 4))
    if dtype == "U32":
        return struct.pack(f"<{n}I", *values)
    return struct.pack(f"<{n}{ {'F16': 'e', 'F32': 'f', 'F64': 'd', 'I32': 'i', 'I64': 'q', 'I8': 'b', 'I16': 'h', 'U8': 'B'}[dtype]}", *values)


def array(dtype: str, shape, values):
    return dtype, list(shape), to_bytes(dtype, values)


def words(shape, values):
    """I32 from numbers below 2^32."""
    return "I32", list(shape), to_bytes("U32", values)


def nibbles(eight) -> int:
    w = 0
    for i, v in enumerate(eight):
        w |= v << 4 * i
    return w


# ---- safetensors ----------------------------------------------------------------------------------------------------


def safetensors(tensors, metadata=None, pad=True) -> bytes:
    head, at = ({"__metadata__": metadata} if metadata else {}), 0
    for name, (dtype, shape, raw) in tensors.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(raw)]}
        at += len(raw)
    text = json.dumps(head, separators=(",", ":")).encode()
    if pad:
        text += b" " * (-len(text) % 8)
    elif (len(text) + 8) % 2 == 0:
        text += b" "  # numbers at odd addresses
    return struct.pack("<Q", len(text)) + text + b"".join(raw for _, _, raw in tensors.values())


# ---- PyTorch's files ------------------------------------------------------------------------------------------------

STORAGE = {"F16": ("Half", 2), "BF16": ("BFloat16", 2), "F32": ("Float", 4), "I8": ("Char", 1), "U8": ("Byte", 1), "I16": ("Short", 2),
           "I32": ("Int", 4), "I64": ("Long", 8)}


def pickled_text(s: str) -> bytes:
    return b"X" + struct.pack("<I", len(s.encode())) + s.encode()


def pickled_int(n: int) -> bytes:
    return b"J" + struct.pack("<i", n)


def pickled(key: str, dtype: str, shape, raw: bytes) -> bytes:
    """A tensor that has its storage to itself."""
    kind, width = STORAGE[dtype]
    steps = [1]
    for d in shape[:0:-1]:
        steps.insert(0, steps[0] * d)
    numbers = lambda v: b"(" + b"".join(map(pickled_int, v)) + b"t"
    storage = b"(" + pickled_text("storage") + f"ctorch\n{kind}Storage\n".encode() + pickled_text(key) + pickled_text("cpu") + pickled_int(len(raw) // width) + b"tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + pickled_int(0) + numbers(shape) + numbers(steps[:len(shape)]) + b"\x89NtR"


def torch_zip(root: bytes, storages: dict[str, bytes]) -> bytes:
    """`root`: what the pickle leaves, in opcodes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, content in {"data.pkl": b"\x80\x02" + root + b".", "byteorder": b"little", **{f"data/{k}": v for k, v in storages.items()},
                              "version": b"3\n"}.items():
            z.writestr(zipfile.ZipInfo(f"model/{name}"), content)
    return out.getvalue()


def pickled_dict(values: dict[str, bytes]) -> bytes:
    return b"}(" + b"".join(pickled_text(k) + v for k, v in values.items()) + b"u"


def torch_file(tensors, wrap=None) -> bytes:
    """A state dict. The storage of tensor i is i."""
    root = pickled_dict({n: pickled(str(i), *t) for i, (n, t) in enumerate(tensors.items())})
    return torch_zip(pickled_dict({wrap: root}) if wrap else root, {str(i): t[2] for i, t in enumerate(tensors.values())})


def torch_module(tensors, modules: dict[str, dict[str, int]]) -> bytes:
    """A whole model, with modules QLinearPerGrp that have their tensors and such integers as plain attributes."""
    opaque = lambda name, state: f"c{name}\n".encode().replace(b".", b"\n", 1) + b")\x81" + state + b"b"
    made = {n: pickled(str(i), *t) for i, (n, t) in enumerate(tensors.items())}

    def module(path: str) -> bytes:
        inside = {n[len(path):]: v for n, v in made.items() if n.startswith(path)}
        own = {n: v for n, v in inside.items() if "." not in n}
        below = dict.fromkeys(n.split(".")[0] for n in inside if "." in n)
        parts = pickled_dict({n: module(f"{path}{n}.") for n in below})
        if path[:-1] in modules:
            return opaque("qlinear.QLinearPerGrp", pickled_dict({"_modules": parts, **own, **{n: pickled_int(v) for n, v in modules[path[:-1]].items()}}))
        return opaque("net.Module", pickled_dict({"_parameters": pickled_dict(own), "_modules": parts}))

    return torch_zip(module(""), {str(i): t[2] for i, t in enumerate(tensors.values())})


def storage_at(file: bytes, i: int) -> int:
    """Where the bytes of storage i begin."""
    info = zipfile.ZipFile(io.BytesIO(file)).getinfo(f"model/data/{i}")
    return info.header_offset + 30 + sum(struct.unpack("<HH", file[info.header_offset + 26:info.header_offset + 30]))


def write_weights(folder: pathlib.Path, tensors, shards=1, index=True, pad=True, metadata=None) -> None:
    if shards == 1:
        (folder / "model.safetensors").write_bytes(safetensors(tensors, metadata or {"format": "pt"}, pad))
        return
    names, where = list(tensors), {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = {n: tensors[n] for n in names[i::shards]}
        where.update(dict.fromkeys(part, file))
        (folder / file).write_bytes(safetensors(part, None, pad))
    if index:
        text = {"metadata": {"total_size": 7}, "weight_map": where}
        (folder / "model.safetensors.index.json").write_text(json.dumps(text))


# ---- linear layers --------------------------------------------------------------------------------------------------


class Linear:
    """q [out][in] 0..15, z and s [out][groups], g [in] the group of an input."""

    def __init__(self, rng, n_out, n_in, group, zeros, scale=(64, 128, -14), order=None):
        self.n_out, self.n_in = n_out, n_in
        self.group = n_in if group == -1 else group
        self.n_groups = -(-n_in // self.group)
        self.q = [bytes(b & 15 for b in rng.randbytes(n_in)) for _ in range(n_out)]
        self.z = [[zeros(rng) for _ in range(self.n_groups)] for _ in range(n_out)]
        # seven bits: numbers of F16 and of BF16
        self.s = [[rng.randrange(*scale[:2]) * 2.0 ** scale[2] for _ in range(self.n_groups)] for _ in range(n_out)]
        self.g = [i // self.group for i in range(n_in)]
        if order:
            self.g = [order[i] // self.group for i in range(n_in)]
        self.ordered = order is not None

    def rows(self):
        for q, z, s in zip(self.q, self.z, self.s):
            table = [[f32(s[g] * (v - z[g])) for v in range(16)] for g in range(self.n_groups)]
            yield [table[g][v] for g, v in zip(self.g, q)]

    def by_input(self):  # [in] -> [out]
        return zip(*self.q)


def by_group(rows, n_groups):
    return [[row[g] for row in rows] for g in range(n_groups)]


def put_awq_gemm(name, m, scale="F16"):
    zero = by_group(m.z, m.n_groups)
    pack = lambda row: [nibbles(row[c + k] for k in AWQ) for c in range(0, m.n_out, 8)]
    return {f"{name}.qweight": words([m.n_in, m.n_out // 8], [w for row in m.by_input() for w in pack(row)]),
            f"{name}.qzeros": words([m.n_groups, m.n_out // 8], [w for row in zero for w in pack(row)]),
            f"{name}.scales": array(scale, [m.n_groups, m.n_out], [x for row in by_group(m.s, m.n_groups) for x in row])}


def zero_words(m) -> int:
    most = {32: 4, 64: 2}.get(m.group, 1)
    return -(-(-(-m.n_groups // 8)) // most) * most


def put_awq_gemv(name, m):
    width = zero_words(m)
    pad = 8 * width - m.n_groups
    pack = lambda row: [nibbles(row[c:c + 8]) for c in range(0, len(row), 8)]
    return {f"{name}.qweight": words([m.n_out, m.n_in // 8], [w for row in m.q for w in pack(row)]),
            f"{name}.qzeros": words([m.n_out, width], [w for row in m.z for w in pack(row + [0] * pad)]),
            f"{name}.scales": array("F16", [m.n_out, 8 * width], [x for row in m.s for x in row + [0.0] * pad])}


def put_bytes(name, m):
    """AMD's QLinearPerGrp."""
    return {f"{name}.qweight": ("I8", [m.n_out, m.n_in], b"".join(m.q)),
            f"{name}.qzeros": ("I8", [m.n_out, m.n_groups], bytes(z for row in m.z for z in row)),
            f"{name}.scales": array("BF16", [m.n_out, m.n_groups], [x for row in m.s for x in row])}


def put_awq_fast(name, m, zeros="qzeros"):
    """Four outputs a row; of 64 inputs each, in an order of their own, four to a word, one output after the other."""
    rows = 8 * zero_words(m)
    order = [0] * 32
    for i in range(32):  # [a][b][c] of sizes 4, 4, 2 becomes [b][a][c]
        a, b, c = i // 8, i % 8 // 2, i % 2
        order[b * 8 + a * 2 + c] = i
    order = [order[i // 8 * 8 + AWQ[i % 8]] for i in range(32)]
    out = []
    for o in range(0, m.n_out, 4):
        for k in range(0, m.n_in, 64):
            for q in m.q[o:o + 4]:
                run = [q[k + h + order[i]] for h in (0, 32) for i in range(32)]
                out += [nibbles(run[i:i + 4]) for i in range(0, 64, 4)]
    scale = [x for row in by_group(m.s, m.n_groups) for x in row] + [0.0] * ((rows - m.n_groups) * m.n_out)
    scaled = [-m.s[o][g] * m.z[o][g] for g in range(m.n_groups) for o in range(m.n_out)]
    scaled += [0.0] * ((rows - m.n_groups) * m.n_out)
    return {f"{name}.qweight": ("I16", [m.n_out // 4, m.n_in], struct.pack(f"<{len(out)}H", *out)),
            f"{name}.scales": array("F16", [rows, m.n_out], scale),
            f"{name}.{zeros}": array("F16", [rows, m.n_out], scaled)}


def put_gptq(name, m, less=0x11111111, g_idx=True, scale="F16", bias=False):
    """`less`: what stored zero points are less than the true ones, of whole words, as its writers subtract."""
    zero = [(nibbles(row[c:c + 8]) - less) % 2 ** 32 for row in by_group(m.z, m.n_groups) for c in range(0, m.n_out, 8)]
    columns = list(m.by_input())
    weight = [nibbles(columns[r + i][o] for i in range(8)) for r in range(0, m.n_in, 8) for o in range(m.n_out)]
    out = {f"{name}.qweight": words([m.n_in // 8, m.n_out], weight),
           f"{name}.qzeros": words([m.n_groups, m.n_out // 8], zero),
           f"{name}.scales": array(scale, [m.n_groups, m.n_out], [x for row in by_group(m.s, m.n_groups) for x in row])}
    if g_idx:
        out[f"{name}.g_idx"] = array("I32", [m.n_in], m.g)
    if bias:
        out[f"{name}.bias"] = array("F16", [m.n_out], [0.0] * m.n_out)
    return out


def put_compressed(name, m, zeros="none", scale="BF16", shape="I64"):
    pack = lambda row: [nibbles(row[c:c + 8]) for c in range(0, m.n_in, 8)]
    out = {f"{name}.weight_packed": words([m.n_out, m.n_in // 8], [w for row in m.q for w in pack(row)]),
           f"{name}.weight_scale": array(scale, [m.n_out, m.n_groups], [x for row in m.s for x in row]),
           f"{name}.weight_shape": array(shape, [2], [m.n_out, m.n_in])}
    if zeros == "packed":
        out[f"{name}.weight_zero_point"] = words(
            [m.n_out // 8, m.n_groups],
            [nibbles(m.z[o + i][g] for i in range(8)) for o in range(0, m.n_out, 8) for g in range(m.n_groups)])
    elif zeros == "I8":
        out[f"{name}.weight_zero_point"] = array("I8", [m.n_out, m.n_groups], [z - 8 for row in m.z for z in row])
    if m.ordered:
        out[f"{name}.weight_g_idx"] = array("I32", [m.n_in], m.g)
    return out


def put_quark(name, m, order=True, signed=False, turned=False, scale="F16", zeros=True):
    of, flip = (AWQ if order else range(8)), 8 if signed else 0
    pack = lambda row: [nibbles(row[c + k] ^ flip for k in of) for c in range(0, m.n_out, 8)]
    s = [x for row in (m.s if turned else by_group(m.s, m.n_groups)) for x in row]
    out = {f"{name}.weight": words([m.n_in, m.n_out // 8], [w for row in m.by_input() for w in pack(row)]),
           f"{name}.weight_scale": array(scale, [m.n_out, m.n_groups] if turned else [m.n_groups, m.n_out], s)}
    if zeros:
        zero = [w for row in by_group(m.z, m.n_groups) for w in pack(row)]
        out[f"{name}.weight_zero_point"] = words([m.n_groups, m.n_out // 8], zero)
    return out


def put_plain(name, m, dtype="F16"):
    """The numbers themselves, which must be some of this type."""
    return {f"{name}.weight": array(dtype, [m.n_out, m.n_in], [x for row in m.rows() for x in row])}


# ---- a model --------------------------------------------------------------------------------------------------------

ROLES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
D, FF, HEADS, KV, HEAD, VOCAB, TOKENS = 128, 192, 4, 2, 32, 272, 264
SHAPES = {"attn_q": (HEADS * HEAD, D), "attn_k": (KV * HEAD, D), "attn_v": (KV * HEAD, D), "attn_output": (D, HEADS * HEAD),
          "ffn_gate": (FF, D), "ffn_up": (FF, D), "ffn_down": (D, FF)}
GROUPS = [("attn_q", "attn_k", "attn_v"), ("attn_output",), ("ffn_gate", "ffn_up"), ("ffn_down",)]


def eight(rng) -> int:
    return 8


def any_zero(rng) -> int:
    return rng.randrange(16)


def config(family="llama", **more):
    c = {"model_type": family, "architectures": [f"{family.title()}ForCausalLM"], "hidden_size": D, "intermediate_size": FF,
         "num_hidden_layers": 1, "num_attention_heads": HEADS, "num_key_value_heads": KV, "vocab_size": VOCAB,
         "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
         "torch_dtype": "float16", "tie_word_embeddings": False, "bos_token_id": 256, "eos_token_id": 257}
    c.update(more)
    return c


FLOATS = (16, 32, -12)  # such scales make, with z = 8, weights that F16 and BF16 hold


class Model:
    """Numbers of a model of one layer. `linear` by GGUF's role; the rest as lists of numbers of seven bits."""

    def __init__(self, seed=1, group=64, zeros=any_zero, scale=(64, 128, -14), order=None, biases=False, norms=False, head_group=0):
        rng = random.Random(seed)
        number = lambda n, one=0.0: [one + rng.randrange(-63, 64) / (64 if not one else 256) for _ in range(n)]
        self.embed = [x / 4 for x in number(VOCAB * D)]
        self.head = [x / 16 for x in number(VOCAB * D)]
        self.norm = {n: [1 + rng.randrange(-16, 16) / 64 for _ in range(D)] for n in ("attn_norm", "ffn_norm", "output_norm")}
        self.head_norm = {n: [1 + rng.randrange(-16, 16) / 64 for _ in range(HEAD)] for n in ("attn_q_norm", "attn_k_norm")}
        self.head_norm = self.head_norm if norms else {}
        self.bias = {r: [x / 8 for x in number(SHAPES[r][0])] for r in ("attn_q", "attn_k", "attn_v")} if biases else {}
        self.linear = {}
        for roles in GROUPS:
            n_in = SHAPES[roles[0]][1]
            shared = rng.sample(range(n_in), n_in)
            for role in roles:
                own = rng.sample(range(n_in), n_in)
                self.linear[role] = Linear(rng, *SHAPES[role], group, zeros, scale,
                                           {None: None, "equal": shared, "differing": own}[order])
        self.head_linear = Linear(rng, VOCAB, D, head_group, zeros) if head_group else None

    def tensors(self, put, plain="F16", head=True, embed_dtype=None):
        """As they are stored: put(name, linear) for linear layers."""
        out = {"model.embed_tokens.weight": array(embed_dtype or plain, [VOCAB, D], self.embed),
               "model.norm.weight": array(plain, [D], self.norm["output_norm"])}
        at = "model.layers.0."
        out[at + "input_layernorm.weight"] = array(plain, [D], self.norm["attn_norm"])
        out[at + "post_attention_layernorm.weight"] = array(plain, [D], self.norm["ffn_norm"])
        for name, values in self.head_norm.items():
            out[f"{at}self_attn.{name[5:]}.weight"] = array(plain, [HEAD], values)
        for name, role in ROLES.items():
            out.update(put(at + name, self.linear[role]))
            if role in self.bias:
                out[f"{at}{name}.bias"] = array(plain, [len(self.bias[role])], self.bias[role])
        if head and self.head_linear:
            out.update(put("lm_head", self.head_linear))
        elif head:
            out["lm_head.weight"] = array(plain, [VOCAB, D], self.head)
        return out

    def worth(self, family="llama", head=True, n_rot=HEAD):
        """GGUF's name -> numbers in GGUF's order of rows."""
        def turn(rows, role):
            if family not in ("llama", "mistral") or role not in ("attn_q", "attn_k"):
                return rows
            half = n_rot // 2
            inside = [r // 2 + half * (r % 2) if r < n_rot else r for r in range(HEAD)]
            return [rows[h + r] for h in range(0, len(rows), HEAD) for r in inside]

        out = {"token_embd.weight": self.embed, "output_norm.weight": self.norm["output_norm"],
               "blk.0.attn_norm.weight": self.norm["attn_norm"], "blk.0.ffn_norm.weight": self.norm["ffn_norm"]}
        out.update({f"blk.0.{n}.weight": v for n, v in self.head_norm.items()})
        for role, m in self.linear.items():
            out[f"blk.0.{role}.weight"] = [x for row in turn(list(m.rows()), role) for x in row]
        for role, values in self.bias.items():
            out[f"blk.0.{role}.bias"] = turn(values, role)
        if head:
            out["output.weight"] = [x for row in self.head_linear.rows() for x in row] if self.head_linear else self.head
        return out


# ---- a tokenizer ----------------------------------------------------------------------------------------------------

CONTROL = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|pad|>", "<|x|>"]


def byte_names():
    seen = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255]
    rest = iter(range(256, 512))
    return [chr(b if b in seen else next(rest)) for b in range(256)]


def tokenizer(extra=()):
    """256 bytes, two merges behind the control tokens, which lie inside."""
    names = byte_names()
    vocab = {n: i for i, n in enumerate(names)}
    vocab.update({"th": 262, "the": 263})
    added = [{"id": 256 + i, "content": c, "special": True, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False} for i, c in enumerate(CONTROL)] + list(extra)
    split = ("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
             "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
            "post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": vocab, "merges": ["t h", "th e"]}}


def write_folder(folder, settings, tensors, tok=True, tok_config=None, files=None, **weights) -> pathlib.Path:
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    if settings is not None:
        (folder / "config.json").write_text(json.dumps(settings))
    if tensors is not None:
        write_weights(folder, tensors, **weights)
    if tok:
        (folder / "tokenizer.json").write_text(json.dumps(tok if isinstance(tok, dict) else tokenizer()))
        told = {"bos_token": CONTROL[0], "eos_token": {"content": CONTROL[1]}} if tok_config is None else tok_config
        (folder / "tokenizer_config.json").write_text(json.dumps(told))
    for name, content in (files or {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else
                         (content if isinstance(content, str) else json.dumps(content)).encode())
    return folder
