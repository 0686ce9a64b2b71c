#!/usr/bin/env python3
"""A second implementation of the Llama and Qwen forward pass, in NumPy double precision, to check the engine by.

Usage: exact_llama.py MODEL.gguf --ids 1,2,3|@FILE --out LOGITS.f32 [--kv f16] [--int8]
Run it (through make_vectors.py) when a model family, a tensor type or a rule of docs/numerics.md is added.

Nothing is shared with the C code: the file format, the block formats and the mathematics are written down a second time
here, plainly and slowly. Output: logits f32 [position][vocabulary].

By default every operation is double precision on dequantised weights: what the model means. --int8 rounds the inputs of
quantised layers as the numeric contract does (rule 1 of docs/numerics.md), so that what remains between this and
the engine is f32 rounding alone. --kv f16 rounds keys and values to f16."""
import argparse
import math
import pathlib
import struct
import sys

import numpy as np

# ---- the file ---------------------------------------------------------------------------------------------------------

SCALAR = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9


class Gguf:
    """Metadata as a dictionary, tensors as (type, shape [rows, columns], bytes)."""

    def __init__(self, path: str):
        self.data = pathlib.Path(path).read_bytes()
        self.at = 0
        magic, version, n_tensors, n_kv = (self.take(f) for f in ("4s", "<I", "<Q", "<Q"))
        assert magic == b"GGUF" and version in (2, 3)
        self.meta = {}
        for _ in range(n_kv):
            key = self.string()
            self.meta[key] = self.value(self.take("<I"))
        infos = []
        for _ in range(n_tensors):
            name, n_dims = self.string(), self.take("<I")
            dims = [self.take("<Q") for _ in range(n_dims)]
            infos.append((name, dims, self.take("<I"), self.take("<Q")))
        align = self.meta.get("general.alignment", 32)
        base = -(-self.at // align) * align
        self.tensors = {}
        for name, dims, kind, offset in infos:
            elements, block_bytes, _ = BLOCK[kind]
            n = math.prod(dims)
            size = n // elements * block_bytes
            self.tensors[name] = (kind, dims[::-1], self.data[base + offset:base + offset + size])

    def take(self, fmt: str):
        size = struct.calcsize(fmt)
        self.at += size
        return struct.unpack_from(fmt, self.data, self.at - size)[0]

    def string(self) -> str:
        n = self.take("<Q")
        self.at += n
        return self.data[self.at - n:self.at].decode("utf-8", "replace")

    def value(self, kind: int):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            elem, n = self.take("<I"), self.take("<Q")
            return [self.value(elem) for _ in range(n)]
        return self.take(SCALAR[kind])


# ---- block formats: bytes [blocks, bytes of a block] to values [blocks, elements], exact in double ------------------------

def f16(b: np.ndarray) -> np.ndarray:
    """A 2-byte field of each block: [blocks, 1]."""
    return b.copy().view("<f2").astype(np.float64)


def nibbles(qs: np.ndarray) -> np.ndarray:
    """Low nibbles of all bytes, then the high ones."""
    return np.concatenate([qs & 15, qs >> 4], axis=1).astype(np.int64)


def fifth_bits(qh: np.ndarray) -> np.ndarray:
    """Bit i of a 32-bit field for element i, as 0 or 16."""
    word = qh.copy().view("<u4").astype(np.int64)
    return (word >> np.arange(32) & 1) << 4


def q4_0(b):
    return f16(b[:, :2]) * (nibbles(b[:, 2:]) - 8)


def q4_1(b):
    return f16(b[:, :2]) * nibbles(b[:, 4:]) + f16(b[:, 2:4])


def q5_0(b):
    return f16(b[:, :2]) * ((nibbles(b[:, 6:]) | fifth_bits(b[:, 2:6])) - 16)


def q5_1(b):
    return f16(b[:, :2]) * (nibbles(b[:, 8:]) | fifth_bits(b[:, 4:8])) + f16(b[:, 2:4])


def q8_0(b):
    return f16(b[:, :2]) * b[:, 2:].view(np.int8).astype(np.int64)


NONLINEAR = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113])
FP4 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12])  # E2M1 values, doubled


def iq4_nl(b):
    return f16(b[:, :2]) * NONLINEAR[nibbles(b[:, 2:])]


def mxfp4(b):
    e = b[:, :1].astype(np.int64) - 128
    return np.where(e < -50, 0.0, np.ldexp(1.0, e)) * FP4[nibbles(b[:, 1:])]


def planes(qs: np.ndarray, bits: int) -> np.ndarray:
    """[n, 256 * bits / 8] bytes that are cut into runs of 32: a run holds 8 / bits times 32 elements, one after the other,
    in ascending bit positions of the same bytes."""
    n = len(qs)
    shifts = np.arange(0, 8, bits).reshape(1, 1, -1, 1)
    return (qs.reshape(n, -1, 1, 32) >> shifts & (1 << bits) - 1).reshape(n, 256).astype(np.int64)


def high_plane(qh: np.ndarray) -> np.ndarray:
    """32 bytes whose bit j belongs to elements 32 j .. 32 j + 31."""
    return (qh.reshape(len(qh), 1, 32) >> np.arange(8).reshape(1, 8, 1) & 1).reshape(len(qh), 256).astype(np.int64)


def six_bit_pairs(s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """12 bytes: eight 6-bit scales and eight 6-bit minimums (Q4_K, Q5_K)."""
    s = s.astype(np.int64)
    low, mid, high = s[:, 0:4], s[:, 4:8], s[:, 8:12]
    scale = np.concatenate([low & 63, (high & 15) | (low >> 6) << 4], axis=1)
    minimum = np.concatenate([mid & 63, (high >> 4) | (mid >> 6) << 4], axis=1)
    return scale, minimum


def q2_k(b):
    scales, qs = b[:, :16].astype(np.int64), planes(b[:, 16:80], 2)
    d, dmin = f16(b[:, 80:82]), f16(b[:, 82:84])
    return d * np.repeat(scales & 15, 16, axis=1) * qs - dmin * np.repeat(scales >> 4, 16, axis=1)


def q3_k(b):
    q = planes(b[:, 32:96], 2) + 4 * high_plane(b[:, :32]) - 4
    s = b[:, 96:108].astype(np.int64)
    low = np.concatenate([s[:, :8] & 15, s[:, :8] >> 4], axis=1)
    high = np.concatenate([s[:, 8:] >> 2 * i & 3 for i in range(4)], axis=1)
    return f16(b[:, 108:110]) * np.repeat((low | high << 4) - 32, 16, axis=1) * q


def q4_k(b):
    scale, minimum = six_bit_pairs(b[:, 4:16])
    return (f16(b[:, :2]) * np.repeat(scale, 32, axis=1) * planes(b[:, 16:144], 4)
            - f16(b[:, 2:4]) * np.repeat(minimum, 32, axis=1))


def q5_k(b):
    scale, minimum = six_bit_pairs(b[:, 4:16])
    q = planes(b[:, 48:176], 4) + 16 * high_plane(b[:, 16:48])
    return f16(b[:, :2]) * np.repeat(scale, 32, axis=1) * q - f16(b[:, 2:4]) * np.repeat(minimum, 32, axis=1)


def q6_k(b):
    n = len(b)
    ql, qh = b[:, :128].reshape(n, 2, 1, 64), b[:, 128:192].reshape(n, 2, 1, 32)
    low = (ql >> np.array([0, 4]).reshape(1, 1, 2, 1) & 15).reshape(n, 256).astype(np.int64)
    high = (qh >> np.array([0, 2, 4, 6]).reshape(1, 1, 4, 1) & 3).reshape(n, 256).astype(np.int64)
    scale = b[:, 192:208].view(np.int8).astype(np.int64)
    return f16(b[:, 208:210]) * np.repeat(scale, 16, axis=1) * (low + 16 * high - 32)


def iq4_xs(b):
    low = b[:, 4:8].astype(np.int64)
    low = np.stack([low & 15, low >> 4], axis=2).reshape(len(b), 8)
    high = b[:, 2:4].copy().view("<u2").astype(np.int64) >> 2 * np.arange(8) & 3
    qs = b[:, 8:136].reshape(len(b), 8, 16)
    q = NONLINEAR[np.concatenate([qs & 15, qs >> 4], axis=2)].reshape(len(b), 256)
    return f16(b[:, :2]) * np.repeat((low | high << 4) - 32, 32, axis=1) * q


def floats(b):
    return b.copy().view("<f4").astype(np.float64)


def brain_floats(b):
    return (b.copy().view("<u2").astype(np.uint32) << 16).view("<f4").astype(np.float64)


# GGUF's number of the type: elements of a block, bytes of a block, decoder
BLOCK = {0: (1, 4, floats), 1: (1, 2, f16), 30: (1, 2, brain_floats), 2: (32, 18, q4_0), 3: (32, 20, q4_1), 6: (32, 22, q5_0),
         7: (32, 24, q5_1), 8: (32, 34, q8_0), 10: (256, 84, q2_k), 11: (256, 110, q3_k), 12: (256, 144, q4_k),
         13: (256, 176, q5_k), 14: (256, 210, q6_k), 20: (32, 18, iq4_nl), 23: (256, 136, iq4_xs), 39: (32, 17, mxfp4)}
# how many inputs share a scale where the contract rounds them to int8; float weights take theirs as they are
ACT_BLOCK = {2: 32, 3: 32, 6: 32, 7: 32, 8: 32, 20: 32, 39: 32, 10: 256, 11: 256, 12: 256, 13: 256, 14: 256, 23: 256}


def decode(kind: int, shape: list[int], data: bytes) -> np.ndarray:
    blocks = np.frombuffer(data, np.uint8).reshape(-1, BLOCK[kind][1])
    return BLOCK[kind][2](blocks).reshape(shape)


# ---- the model ----------------------------------------------------------------------------------------------------------

def to_int8(x: np.ndarray, block: int) -> tuple[np.ndarray, float]:
    """Inputs of a quantised layer as the contract sees them: multiples of amax * (1 / 127) in blocks. And how close the
    nearest of them came to a rounding boundary, in steps: an implementation whose inputs differ by less must round
    every one of them alike."""
    x = x.astype(np.float32).reshape(-1, block)
    amax = np.abs(x).max(axis=1, keepdims=True)
    amax[amax < 2.0 ** -40] = 0
    inverse = np.divide(np.float32(127), amax, out=np.zeros_like(amax), where=amax > 0)
    steps = (x * inverse).astype(np.float64)
    margin = np.abs(np.abs(steps - np.floor(steps)) - 0.5).min()
    return np.clip(np.rint(steps), -127, 127) * (amax * (np.float32(1) / np.float32(127))).astype(np.float64), margin


class Linear:
    """y = W x + b"""

    def __init__(self, model: "Model", name: str):
        self.kind, self.w = model.matrix(name + ".weight")
        self.b = model.vector(name + ".bias")
        self.model = model

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if self.model.int8 and self.kind in ACT_BLOCK:
            rounded, margin = to_int8(x, ACT_BLOCK[self.kind])
            x, self.model.margin = rounded.reshape(x.shape), min(self.model.margin, margin)
        y = x @ self.w.T
        return y if self.b is None else y + self.b


class Model:
    def __init__(self, path: str, int8: bool = False, kv_f16: bool = False):
        self.file, self.int8, self.kv_f16 = Gguf(path), int8, kv_f16
        self.margin = 0.5  # of the last run: see to_int8
        meta = self.file.meta
        arch = meta["general.architecture"]

        def get(key, default=None):
            value = meta.get(f"{arch}.{key}", default)
            assert value is not None, key
            return value

        self.n_layer, self.d_model = get("block_count"), get("embedding_length")
        self.n_head = get("attention.head_count")
        self.n_kv_head = get("attention.head_count_kv", self.n_head)
        self.head_dim = get("attention.key_length", self.d_model // self.n_head)
        self.eps = get("attention.layer_norm_rms_epsilon")
        self.window = get("attention.sliding_window", 0)
        self.halves = arch in ("qwen2", "qwen3")
        self.n_rot = get("rope.dimension_count", self.head_dim)
        self.frequency, self.rope_scale = self.rope(
            get("rope.freq_base", 10000.0), get("rope.scaling.type", "none"), get("rope.scaling.factor", 1.0),
            get("rope.scaling.original_context_length", get("context_length")))
        self.embedding = self.matrix("token_embd.weight")[1]
        self.out_norm = self.vector("output_norm.weight")
        self.head = Linear(self, "output" if "output.weight" in self.file.tensors else "token_embd")
        self.layers = [{name: Linear(self, f"blk.{i}.{name}") for name in
                        ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")} |
                       {name: self.vector(f"blk.{i}.{name}.weight") for name in
                        ("attn_norm", "ffn_norm", "attn_q_norm", "attn_k_norm")} for i in range(self.n_layer)]

    def matrix(self, name: str) -> tuple[int, np.ndarray]:
        kind, shape, data = self.file.tensors[name]
        return kind, decode(kind, shape, data)

    def vector(self, name: str) -> np.ndarray | None:
        return self.matrix(name)[1] if name in self.file.tensors else None

    def rope(self, base: float, scaling: str, factor: float, trained: int) -> tuple[np.ndarray, float]:
        """Radians per position of each pair, and what cos and sin are multiplied with."""
        pair = np.arange(self.n_rot // 2)
        f = base ** (-2.0 * pair / self.n_rot)
        divisors = self.vector("rope_freqs.weight")
        if divisors is not None:
            f = f / divisors
        if scaling == "linear":
            return f / factor, 1.0
        if scaling != "yarn":
            return f, 1.0

        def pair_that_turns(times):
            return self.n_rot * math.log(trained / (times * 2 * math.pi)) / (2 * math.log(base))

        low, high = max(math.floor(pair_that_turns(32)), 0), min(math.ceil(pair_that_turns(1)), self.n_rot - 1)
        ramp = np.clip((pair - low) / max(high - low, 0.001), 0, 1)
        return f / factor * ramp + f * (1 - ramp), 0.1 * math.log(factor) + 1

    def norm(self, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + self.eps) * weight

    def rotate(self, x: np.ndarray) -> np.ndarray:
        """x [position, head, head_dim]"""
        angle = np.arange(len(x))[:, None, None] * self.frequency
        cos, sin = np.cos(angle) * self.rope_scale, np.sin(angle) * self.rope_scale
        half = self.n_rot // 2
        first, second = (slice(0, half), slice(half, self.n_rot)) if self.halves else (slice(0, self.n_rot, 2), slice(1, self.n_rot, 2))
        out = x.copy()
        out[..., first] = x[..., first] * cos - x[..., second] * sin
        out[..., second] = x[..., first] * sin + x[..., second] * cos
        return out

    def attention(self, layer: dict, x: np.ndarray) -> np.ndarray:
        n, group = len(x), self.n_head // self.n_kv_head
        q = layer["attn_q"](x).reshape(n, self.n_head, self.head_dim)
        k = layer["attn_k"](x).reshape(n, self.n_kv_head, self.head_dim)
        v = layer["attn_v"](x).reshape(n, self.n_kv_head, self.head_dim)
        if layer["attn_q_norm"] is not None:
            q, k = self.norm(q, layer["attn_q_norm"]), self.norm(k, layer["attn_k_norm"])
        q, k = self.rotate(q), self.rotate(k)
        if self.kv_f16:
            k, v = (a.astype(np.float32).astype(np.float16).astype(np.float64) for a in (k, v))
        distance = np.arange(n)[:, None] - np.arange(n)[None, :]
        visible = (distance >= 0) & (distance < (self.window or n))
        out = np.empty_like(q)
        for h in range(self.n_head):
            score = q[:, h] @ k[:, h // group].T / math.sqrt(self.head_dim)
            score = np.where(visible, score, -np.inf)
            p = np.exp(score - score.max(axis=1, keepdims=True))
            out[:, h] = p @ v[:, h // group] / p.sum(axis=1, keepdims=True)
        return layer["attn_output"](out.reshape(n, -1))

    def logits(self, ids: list[int]) -> np.ndarray:
        self.margin = 0.5
        x = self.embedding[ids]
        for layer in self.layers:
            x = x + self.attention(layer, self.norm(x, layer["attn_norm"]))
            h = self.norm(x, layer["ffn_norm"])
            gate = layer["ffn_gate"](h)
            x = x + layer["ffn_down"](gate / (1 + np.exp(-gate)) * layer["ffn_up"](h))
        return self.head(self.norm(x, self.out_norm))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--ids", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--kv", choices=("f16", "f32"), default="f32")
    parser.add_argument("--int8", action="store_true")
    args = parser.parse_args()
    ids = pathlib.Path(args.ids[1:]).read_text() if args.ids.startswith("@") else args.ids
    model = Model(args.model, args.int8, args.kv == "f16")
    model.logits([int(i) for i in ids.split(",")]).astype("<f4").tofile(args.out)


if __name__ == "__main__":
    sys.exit(main())
