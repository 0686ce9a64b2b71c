"""The bundled model in PyTorch: a Llama (RMSNorm, rotary positions, grouped queries, SwiGLU, tied embeddings).

Parameters are float32. For training on a CPU the matrix products run in bfloat16 when asked to (about four times as fast
where the processor has bfloat16 products), with the gradients of the weights added up in float32. Rotary pairs are the
two halves of a head here; export.py reorders the rows to the neighbouring pairs that GGUF's "llama" means."""
import torch
import torch.nn.functional as F

CONFIG = {"dim": 256, "hidden": 768, "layers": 6, "heads": 8, "kv_heads": 4, "vocab": 2048, "context": 1024, "eps": 1e-5, "theta": 10000.0}


def q4_round(w: torch.Tensor) -> torch.Tensor:
    """w as a Q4_0 file would give it back: blocks of 32, scale = the value of largest magnitude / -8, rounded to nearest."""
    b = w.reshape(-1, 32)
    top = b.gather(1, b.abs().argmax(1, keepdim=True))
    d = top / -8
    inv = torch.where(d == 0, torch.zeros_like(d), 1 / d)
    q = (b * inv + 8.5).floor_().clamp_(0, 15) - 8
    return (q * d.half().float()).reshape(w.shape)


class Linear(torch.autograd.Function):
    """x w^T with a copy of the weights in another precision or rounding; the gradient goes straight through to w."""
    @staticmethod
    def forward(ctx, x, w, copy):
        ctx.save_for_backward(x, copy)
        return x @ copy.t()

    @staticmethod
    def backward(ctx, g):
        x, copy = ctx.saved_tensors
        rows = g.reshape(-1, g.shape[-1])
        return g @ copy, (rows.t() @ x.reshape(-1, x.shape[-1])).float(), None


class Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, eps, out):
        r = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
        n = x * r
        ctx.save_for_backward(n, r, w)
        return (n * w).to(out)

    @staticmethod
    def backward(ctx, g):
        n, r, w = ctx.saved_tensors
        g = g.float()
        gw = (g * n).reshape(-1, n.shape[-1]).sum(0)
        g = g * w
        return r * (g - n * (g * n).mean(-1, keepdim=True)), gw, None, None


class Rope(torch.autograd.Function):
    @staticmethod
    def turn(x, cos, sin):
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)

    @staticmethod
    def forward(ctx, x, cos, sin):
        ctx.save_for_backward(cos, sin)
        return Rope.turn(x, cos, sin)

    @staticmethod
    def backward(ctx, g):
        cos, sin = ctx.saved_tensors
        return Rope.turn(g, cos, -sin), None, None


class SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, g, u):
        s = torch.sigmoid(g)
        h = g * s
        ctx.save_for_backward(u, s, h)
        return h * u

    @staticmethod
    def backward(ctx, d):
        u, s, h = ctx.saved_tensors
        dh = d * u
        return dh * (s + h - h * s), d * h


class Loss(torch.autograd.Function):
    """Cross entropy of each row. Written out because log_softmax is ten times slower than softmax in some builds."""
    @staticmethod
    def forward(ctx, logits, target):
        top = logits.max(-1, keepdim=True)[0]
        p = (logits - top).exp_()
        total = p.sum(-1, keepdim=True)
        loss = (total.log() + top - logits.gather(1, target[:, None]))[:, 0]
        p /= total
        p[torch.arange(len(target), device=target.device), target] -= 1
        ctx.save_for_backward(p)
        return loss

    @staticmethod
    def backward(ctx, g):
        return ctx.saved_tensors[0] * g[:, None], None


class Llama(torch.nn.Module):
    def __init__(self, config: dict, seed: int = 1):
        super().__init__()
        self.c = c = config
        gen = torch.Generator().manual_seed(seed)
        self.hd = hd = c["dim"] // c["heads"]

        def matrix(rows, cols, scale=1.0):
            return torch.nn.Parameter(torch.randn(rows, cols, generator=gen) * scale * cols ** -0.5)
        self.p = torch.nn.ParameterDict()
        self.p["embd"] = torch.nn.Parameter(torch.randn(c["vocab"], c["dim"], generator=gen) * 0.02)
        for i in range(c["layers"]):
            out = (2 * c["layers"]) ** -0.5
            self.p[f"{i}_norm1"] = torch.nn.Parameter(torch.ones(c["dim"]))
            self.p[f"{i}_q"] = matrix(c["heads"] * hd, c["dim"])
            self.p[f"{i}_k"] = matrix(c["kv_heads"] * hd, c["dim"])
            self.p[f"{i}_v"] = matrix(c["kv_heads"] * hd, c["dim"])
            self.p[f"{i}_o"] = matrix(c["dim"], c["heads"] * hd, out)
            self.p[f"{i}_norm2"] = torch.nn.Parameter(torch.ones(c["dim"]))
            self.p[f"{i}_gate"] = matrix(c["hidden"], c["dim"])
            self.p[f"{i}_up"] = matrix(c["hidden"], c["dim"])
            self.p[f"{i}_down"] = matrix(c["dim"], c["hidden"], out)
        self.p["norm"] = torch.nn.Parameter(torch.ones(c["dim"]))
        freq = c["theta"] ** (-torch.arange(0, hd, 2, dtype=torch.float64) / hd)
        angle = torch.arange(c["context"], dtype=torch.float64)[:, None] * freq
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)
        self.dtype = torch.float32
        self.rounding = None  # q4_round: train as if the matrices were stored with 4 bits

    def matrices(self):
        return [p for n, p in self.p.items() if p.dim() == 2 and n != "embd"]

    def copies(self) -> dict[str, torch.Tensor]:
        """The weights as the products of this step see them."""
        out = {}
        for n, p in self.p.items():
            if p.dim() == 2:
                w = p.detach()
                if self.rounding and n != "embd":
                    w = self.rounding(w)
                out[n] = w.to(self.dtype)
        return out

    def forward(self, ids, pick=None, past=None, copies=None):
        """Logits [rows, vocab] of ids [batch, n]; `pick`: only of these flat positions. `past`: a list that keeps keys and
        values between calls (batch 1)."""
        c, p, hd = self.c, self.p, self.hd
        b, n = ids.shape
        w = copies or self.copies()
        heads, kv = c["heads"], c["kv_heads"]
        group = heads // kv
        start = past[0][0].shape[2] if past and past[0] is not None else 0
        cos, sin = (t[start:start + n].to(self.dtype) for t in (self.cos, self.sin))
        total = start + n
        # exp(-inf) takes a slow path in bfloat16; exp(-80) is as good as nothing
        never = float("-inf") if self.dtype == torch.float32 else -80.0
        mask = torch.full((n, total), never, device=ids.device).triu(1 + start).to(self.dtype).repeat(group, 1).unsqueeze(0)
        x = F.embedding(ids, p["embd"])
        for i in range(c["layers"]):
            h = Norm.apply(x, p[f"{i}_norm1"], c["eps"], self.dtype)
            q = Linear.apply(h, p[f"{i}_q"], w[f"{i}_q"]).view(b, n, heads, hd).transpose(1, 2)
            k = Linear.apply(h, p[f"{i}_k"], w[f"{i}_k"]).view(b, n, kv, hd).transpose(1, 2)
            v = Linear.apply(h, p[f"{i}_v"], w[f"{i}_v"]).view(b, n, kv, hd).transpose(1, 2)
            q, k = Rope.apply(q, cos, sin), Rope.apply(k, cos, sin)
            if past is not None:
                if past[i] is not None:
                    k, v = torch.cat([past[i][0], k], 2), torch.cat([past[i][1], v], 2)
                past[i] = (k, v)
            a = torch.baddbmm(mask, q.reshape(b * kv, group * n, hd), k.reshape(b * kv, total, hd).transpose(1, 2), alpha=hd ** -0.5)
            o = a.softmax(-1) @ v.reshape(b * kv, total, hd)
            o = o.view(b, heads, n, hd).transpose(1, 2).reshape(b, n, heads * hd)
            x = x + Linear.apply(o, p[f"{i}_o"], w[f"{i}_o"])
            h = Norm.apply(x, p[f"{i}_norm2"], c["eps"], self.dtype)
            h = SwiGLU.apply(Linear.apply(h, p[f"{i}_gate"], w[f"{i}_gate"]), Linear.apply(h, p[f"{i}_up"], w[f"{i}_up"]))
            x = x + Linear.apply(h, p[f"{i}_down"], w[f"{i}_down"])
        x = x.reshape(b * n, -1)
        if pick is not None:
            x = x[pick]
        x = Norm.apply(x, p["norm"], c["eps"], self.dtype)
        return Linear.apply(x, p["embd"], w["embd"]).float()

    @torch.no_grad()
    def generate(self, ids: list[int], ends: set[int], temperature: float, limit: int, gen: torch.Generator) -> list[int]:
        past, out = [None] * self.c["layers"], []
        copies = self.copies()
        now = torch.tensor([ids])
        while len(out) < limit and len(ids) + len(out) < self.c["context"]:
            logits = self(now, pick=torch.tensor([now.shape[1] - 1]), past=past, copies=copies)[0]
            if temperature > 0:
                t = int(torch.multinomial((logits / temperature).softmax(-1), 1, generator=gen))
            else:
                t = int(logits.argmax())
            if t in ends:
                break
            out.append(t)
            now = torch.tensor([[t]])
        return out
