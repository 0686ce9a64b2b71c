#!/usr/bin/env python3
"""Train the bundled model on the dialogues that corpus.py wrote. Seeded, can be stopped and resumed.

    train.py --data DIR --out DIR [--device cpu|cuda] [--steps N] [--minutes M] [--resume] [--workers 2] [--dtype bf16|f32]

DIR of --data holds train.jsonl, test.jsonl and tokenizer.json. --out receives checkpoint.pt (every few minutes),
model.pt (at the end) and loss.csv. On a CPU each worker is a process with one thread that takes its share of every batch;
they meet twice a step, so a busy machine slows them down but does not make them spin. On a GPU (--device cuda) one process
does the same steps on the same batches in the same order. Hidden matrices are trained with Muon
(momentum, then the nearest orthogonal matrix by five Newton-Schulz steps), everything else with Adam; the rate falls
linearly to zero. The last part of the run lets every second step see its matrices rounded to 4 bits, so that the 4-bit
file loses little."""
import argparse
import csv
import json
import os
import pathlib
import random
import signal
import sys
import time

if "MALLOC_TOP_PAD_" not in os.environ:  # keep freed memory: giving it back after each step costs a third of the time
    os.environ.update(MALLOC_TOP_PAD_=str(1 << 28), MALLOC_MMAP_MAX_="0", MALLOC_TRIM_THRESHOLD_=str(1 << 40),
                      OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    os.execv(sys.executable, [sys.executable, *sys.argv])

import numpy as np
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F

import bpe
from model import CONFIG, Llama, Loss, q4_round

OTHER_WEIGHT = 0.5   # of a token that the model did not write, where it counts at all
OTHER_SHARE = 0.15   # how many of these count
ROUNDED_FROM = 0.70  # part of the run after which every second step rounds to 4 bits
DTYPES = {"bf16": torch.bfloat16, "f32": torch.float32}
NONE = 255           # there is no next token
CHECKPOINT_S = 240
EVALUATE = 250


def read_tokenizer(path: pathlib.Path) -> None:
    global tok  # of a process that tokenizes
    tok = bpe.Tokenizer.load(path)


def tokenize(line: str) -> tuple[np.ndarray, np.ndarray]:
    d = json.loads(line)
    ids, mine = tok.dialogue(d["system"], d["turns"])
    return np.array(ids, dtype=np.uint16), np.array(mine, dtype=np.uint8)


def pack(data: pathlib.Path, name: str, context: int, jobs: int):
    """All dialogues of a split as one array of ids, one of flags and the starts; kept beside the text."""
    cache, text = data / f"{name}.npz", data / f"{name}.jsonl"
    if cache.exists() and cache.stat().st_mtime > max(text.stat().st_mtime, (data / "tokenizer.json").stat().st_mtime):
        z = np.load(cache)
        return z["ids"], z["mine"], z["starts"]
    with mp.get_context("fork").Pool(jobs, read_tokenizer, (data / "tokenizer.json",)) as pool, open(text, encoding="utf-8") as lines:
        all_ids, all_mine = zip(*pool.imap(tokenize, lines, chunksize=1000))
    fits = [len(i) <= context for i in all_ids]
    dropped = fits.count(False)
    starts = np.cumsum([0] + [len(i) for i, fit in zip(all_ids, fits) if fit])
    ids = np.concatenate([i for i, fit in zip(all_ids, fits) if fit])
    mine = np.concatenate([m for m, fit in zip(all_mine, fits) if fit])
    np.savez(cache, ids=ids, mine=mine, starts=starts)
    print(f"{name}: {len(starts) - 1} dialogues, {len(ids)} tokens, {dropped} too long", flush=True)
    return ids, mine, starts


class Batches:
    """Batches of dialogues of similar length, about `budget` tokens each with the padding; the order is a function of the
    seed. Lengths are rounded up to multiples of 8 and each length has one number of rows, so that few shapes occur."""

    def __init__(self, data, budget: int, seed: int, multiple: int):
        self.ids, self.mine, self.starts = data
        self.budget, self.seed, self.multiple = budget, seed, multiple

    def length(self, d: int) -> int:
        return (int(self.starts[d + 1] - self.starts[d]) + 7) // 8 * 8

    def rows(self, n: int) -> int:
        return max(1, self.budget // n // self.multiple) * self.multiple

    def epoch(self, e: int):
        rng = random.Random(f"{self.seed}-{e}")
        order = list(range(len(self.starts) - 1))
        rng.shuffle(order)
        rest: dict[int, list[int]] = {}  # by length: what did not fill a batch waits for the next window
        for w in range(0, len(order), 8192):
            batches = []
            for d in order[w:w + 8192]:
                n = self.length(d)
                waiting = rest.setdefault(n, [])
                waiting.append(d)
                if len(waiting) == self.rows(n):
                    batches.append(waiting)
                    rest[n] = []
            rng.shuffle(batches)
            yield from batches

    def all(self):
        """Every dialogue once, for evaluation."""
        order = sorted(range(len(self.starts) - 1), key=self.length)
        while order:
            rows = self.rows(self.length(order[0]))
            yield order[:rows]
            order = order[rows:]

    def tensors(self, batch):
        n = max(self.length(d) for d in batch)
        ids = np.zeros((len(batch), n), dtype=np.int64)
        kind = np.full((len(batch), n), NONE, dtype=np.int64)  # weight of the *next* token: 0 not the model's, NONE padding
        for r, d in enumerate(batch):
            a, b = self.starts[d], self.starts[d + 1]
            ids[r, :b - a] = self.ids[a:b]
            kind[r, :b - a - 1] = self.mine[a + 1:b]
        return torch.from_numpy(ids), torch.from_numpy(kind)


def orthogonal(g: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The nearest (semi-)orthogonal matrix to each of g [n, rows <= cols], roughly: five Newton-Schulz steps of degree five
    (Jordan et al., Muon, 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = (g / (g.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(dtype)
    for _ in range(5):
        s = torch.bmm(x, x.transpose(1, 2))
        x = torch.baddbmm(x, torch.baddbmm(s, s, s, beta=b, alpha=c), x, beta=a)
    return x.float()


class Optimizer:
    """Each worker updates its share of the parameters; all state lies in shared memory."""

    def __init__(self, model: Llama, args):
        self.params, self.dtype = model.p, DTYPES[args.dtype]
        self.rate, self.adam_rate, self.decay = args.rate, args.adam_rate, args.decay
        hidden = [n for n, p in model.p.items() if p.dim() == 2 and n != "embd"]
        others = [n for n in model.p if n not in hidden]
        shapes: dict[tuple[int, int], list[str]] = {}  # matrices of one shape are worked on together
        for n in hidden:
            shapes.setdefault(tuple(sorted(model.p[n].shape)), []).append(n)
        self.muon = [[names[r::args.workers] for names in shapes.values()] for r in range(args.workers)]
        self.adam = [others[r::args.workers] for r in range(args.workers)]
        self.first = {n: torch.zeros_like(p.data).share_memory_() for n, p in model.p.items()}
        self.second = {n: torch.zeros_like(model.p[n].data).share_memory_() for n in others}

    def mine(self, rank: int) -> list[str]:
        return [n for names in self.muon[rank] for n in names] + self.adam[rank]

    @torch.no_grad()
    def step(self, grads: dict[str, torch.Tensor], step: int, scale: float, rank: int) -> None:
        for names in self.muon[rank]:
            wide = []
            for n in names:
                self.first[n].mul_(0.95).add_(grads[n])
                g = torch.add(grads[n], self.first[n], alpha=0.95)
                wide.append(g if g.shape[0] <= g.shape[1] else g.t())
            for n, update in zip(names, orthogonal(torch.stack(wide), self.dtype)):
                p = self.params[n].data
                tall = p.shape[0] > p.shape[1]
                p.mul_(1 - self.rate * scale * self.decay)
                p.add_(update.t() if tall else update, alpha=-self.rate * scale * max(1, p.shape[0] / p.shape[1]) ** 0.5)
        for n in self.adam[rank]:
            p, g, m, v = self.params[n].data, grads[n], self.first[n], self.second[n]
            m.mul_(0.9).add_(g, alpha=0.1)
            v.mul_(0.95).addcmul_(g, g, value=0.05)
            p.addcdiv_(m / (1 - 0.9 ** (step + 1)), (v / (1 - 0.95 ** (step + 1))).sqrt_().add_(1e-8), value=-self.adam_rate * scale)

    def state(self) -> dict:
        return {"first": self.first, "second": self.second}

    def load(self, state: dict) -> None:
        for mine, other in ((self.first, state["first"]), (self.second, state["second"])):
            for n in mine:
                mine[n].copy_(other[n])


@torch.no_grad()
def evaluate(model: Llama, batches: Batches, other: bool = True) -> tuple[float, float]:
    """Mean loss of the model's own tokens and of all other tokens of the test split."""
    total, count = [0.0, 0.0], [0, 0]
    copies = model.copies()
    for batch in batches.all():
        ids, kind = batches.tensors(batch)
        flat = kind.reshape(-1)
        pick = ((flat != NONE) if other else (flat != NONE) & (flat > 0)).nonzero()[:, 0]
        ids, flat, pick = (t.to(model.cos.device) for t in (ids, flat, pick))
        loss = Loss.apply(model(ids, pick=pick, copies=copies), torch.roll(ids, -1, 1).reshape(-1)[pick])
        own = flat[pick] > 0
        for i, select in enumerate((own, ~own)):
            total[i] += float(loss[select].sum())
            count[i] += int(select.sum())
    return total[0] / max(1, count[0]), total[1] / max(1, count[1])


def on_cpu(tensors: dict) -> dict:
    return {n: t.cpu() for n, t in tensors.items()}


class Shared:
    """What the workers have in common: the model, the optimizer's state, one buffer of gradients each, counters."""

    def __init__(self, args, config):
        self.args, self.config = args, config
        self.model = Llama(config, args.seed).to(args.device)
        self.model.share_memory()  # means nothing to a GPU's memory, here and below
        self.opt = Optimizer(self.model, args)
        self.grads = [{n: torch.zeros_like(p.data).share_memory_() for n, p in self.model.p.items()} for _ in range(args.workers)]
        self.loss = torch.zeros(args.workers, 2, dtype=torch.float64).share_memory_()  # sum over own tokens, their number
        self.cpu = torch.zeros(args.workers, dtype=torch.float64).share_memory_()
        self.stop = torch.zeros(1, dtype=torch.int64).share_memory_()
        self.meet = mp.get_context("fork").Barrier(args.workers)


def work(rank: int, s: Shared, train: Batches, test: Batches, steps: int, step: int, before: dict) -> None:
    torch.set_num_threads(1)
    args, model, opt = s.args, s.model, s.opt
    model.dtype = DTYPES[args.dtype]
    begin, saved, tokens, average = time.time(), time.time(), before["tokens"], None
    # an interrupt ends the run after the step, with a checkpoint
    asked_to_stop: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, (lambda n, frame: asked_to_stop.append(n)) if rank == 0 else signal.SIG_IGN)
    if rank == 0:
        log = open(args.out / "loss.csv", "a" if step else "w", newline="")
        table = csv.writer(log)
        if not step:
            table.writerow(["step", "tokens", "train_loss", "test_loss", "test_other_loss", "test_loss_4bit", "seconds", "cpu_seconds"])

    def batches_from(at: int):
        e = 0
        while True:
            for b in train.epoch(e):
                if at > 0:
                    at -= 1
                else:
                    yield b
            e += 1

    def seconds() -> float:
        return time.time() - begin + before["seconds"]

    def cpu_seconds() -> float:
        return float(s.cpu.sum()) + before["cpu"]

    for batch in batches_from(step):
        if step >= steps or int(s.stop):
            break
        scale = min(1.0, (step + 1) / 100) * (1 - step / steps)
        model.rounding = q4_round if step >= ROUNDED_FROM * steps and step % 2 else None
        gen = torch.Generator().manual_seed(args.seed * 1000003 + step)
        ids, kind = train.tensors(batch)
        lot = torch.rand(kind.shape, generator=gen)
        owns = int((kind[kind != NONE] > 0).sum())
        tokens += int((kind != NONE).sum()) + len(batch)
        part = slice(rank, None, args.workers)
        ids, flat, lot = ids[part], kind[part].reshape(-1), lot[part].reshape(-1)
        pick = ((flat != NONE) & ((flat > 0) | (lot < OTHER_SHARE))).nonzero()[:, 0]
        own = flat[pick] > 0
        weight = torch.where(own, flat[pick].float(), torch.tensor(OTHER_WEIGHT))
        fill = -len(pick) % 128  # again: few shapes
        pick, weight, own = F.pad(pick, (0, fill)), F.pad(weight, (0, fill)), F.pad(own, (0, fill))
        ids, pick, weight, own = (t.to(args.device) for t in (ids, pick, weight, own))
        loss = Loss.apply(model(ids, pick=pick), torch.roll(ids, -1, 1).reshape(-1)[pick])
        ((loss * weight).sum() / owns).backward()
        s.loss[rank, 0], s.loss[rank, 1] = float(loss.detach()[own].sum()), int(own.sum())
        for n, p in model.p.items():
            s.grads[rank][n].copy_(p.grad)
            p.grad = None
        s.meet.wait()
        now = float(s.loss[:, 0].sum() / s.loss[:, 1].sum())
        total = {n: s.grads[0][n] for n in opt.mine(rank)}
        for other in s.grads[1:]:
            total = {n: g + other[n] for n, g in total.items()}
        opt.step(total, step, scale, rank)
        s.cpu[rank] = time.process_time()
        step += 1
        if rank == 0 and (asked_to_stop or seconds() - before["seconds"] > args.minutes * 60):
            s.stop.fill_(1)
        s.meet.wait()
        if rank:
            continue
        average = now if average is None else 0.98 * average + 0.02 * now
        if step % 20 == 0:
            print(f"step {step}/{steps} loss {average:.4f} {tokens / 1e6:.2f} M tokens {seconds():.0f} s, {cpu_seconds():.0f} s CPU", flush=True)
        if step % EVALUATE == 0 or step == steps:
            model.rounding = None
            own_loss, other_loss = evaluate(model, test)
            model.rounding = q4_round
            own_4bit, _ = evaluate(model, test, other=False)
            table.writerow([step, tokens, f"{average:.4f}", f"{own_loss:.4f}", f"{other_loss:.4f}", f"{own_4bit:.4f}", f"{seconds():.0f}", f"{cpu_seconds():.0f}"])
            log.flush()
            print(f"  test {own_loss:.4f}, other tokens {other_loss:.4f}, with 4 bits {own_4bit:.4f}", flush=True)
        if time.time() - saved > CHECKPOINT_S or step == steps or int(s.stop):
            # the other workers may be at the next step already, but change nothing before they meet this one
            state = {"model": on_cpu(model.state_dict()), "opt": {k: on_cpu(v) for k, v in opt.state().items()}, "step": step, "seconds": seconds(), "cpu": cpu_seconds(), "tokens": tokens, "config": s.config}
            torch.save(state, args.out / "checkpoint.tmp")
            os.replace(args.out / "checkpoint.tmp", args.out / "checkpoint.pt")
            saved = time.time()
    if rank == 0 and step >= steps:
        torch.save({"model": on_cpu(model.state_dict()), "config": s.config}, args.out / "model.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=0, help="0: one pass over the data")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this much time, with a checkpoint")
    parser.add_argument("--budget", type=int, default=3072, help="tokens a step, padding included")
    parser.add_argument("--rate", type=float, default=0.02)
    parser.add_argument("--adam-rate", type=float, default=0.003)
    parser.add_argument("--decay", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--workers", type=int, help="processes that share a step; default 2, on a GPU 1")
    parser.add_argument("--jobs", type=int, default=2, help="processes that tokenize, before the training")
    parser.add_argument("--dtype", choices=["bf16", "f32"], default="bf16", help="of the matrix products")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=N", help="another number in the model's configuration")
    args = parser.parse_args()
    if args.device == "cuda" and (args.workers or 1) != 1:
        parser.error("--device cuda works with one process: leave --workers out")
    args.workers = args.workers or (1 if args.device == "cuda" else 2)
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)

    config = dict(CONFIG, **{k: int(v) for k, v in (s.split("=") for s in args.set)})
    train = Batches(pack(args.data, "train", config["context"], args.jobs), args.budget, args.seed, args.workers)
    test = Batches(pack(args.data, "test", config["context"], args.jobs), args.budget // 2 if args.device == "cpu" else 8 * args.budget, 0, 1)
    s = Shared(args, config)
    steps = args.steps or sum(1 for _ in train.epoch(0))
    print(f"{sum(p.numel() for p in s.model.parameters())} parameters, {steps} steps", flush=True)
    step, before = 0, {"seconds": 0.0, "cpu": 0.0, "tokens": 0}
    if args.resume and (args.out / "checkpoint.pt").exists():
        state = torch.load(args.out / "checkpoint.pt", map_location="cpu")
        s.model.load_state_dict(state["model"])
        s.opt.load(state["opt"])
        step, before = state["step"], {k: state[k] for k in before}
        print(f"resumed at step {step}", flush=True)
    others = [mp.get_context("fork").Process(target=work, args=(r, s, train, test, steps, step, before)) for r in range(1, args.workers)]
    for p in others:
        p.start()
    work(0, s, train, test, steps, step, before)
    for p in others:
        p.join()


if __name__ == "__main__":
    main()
