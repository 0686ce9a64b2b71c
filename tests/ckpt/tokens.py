"""Tokenizers of Hugging Face folders, written here: tokens that files beside the vocabulary add, what a conversion to GGUF must
not change, keys that are there twice, more tokens than rows. The ids are worked out by hand from the rules of the format.

Usage: tokens.py IMPORT_DUMP TESSERA [--only TEXT] [-v]"""
import json
import struct
import sys

import forms
from forms import chosen, faults, metadata, model, refused, run, tools
from hf_writer import *  # noqa: F403

BLOCK = "\u2581"
USUAL = {"bos_token": CONTROL[0], "eos_token": CONTROL[1]}


def tensors():
    return model(group=64, zeros=forms.eight, scale=forms.FLOATS).tensors(put_plain)


def added(id, content, special=True, **how):
    return {"id": id, "content": content, "special": special, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, **how}


def ids(path, text, *more):
    out, _ = run(tools.tessera, "tokenize", "-m", path, "--ids", "-p", text, *more)
    return [int(x) for x in out.strip().split(",")] if out.strip() else []


def told(path):
    out, _ = run(tools.tessera, "inspect", path, "--json", "--metadata-only", "--items", "300")
    return {k.removeprefix("tokenizer.ggml."): v.get("value", v.get("values")) for k, v in json.loads(out)["metadata"].items()}


def case(name):
    """A test that says what is wrong by an AssertionError."""
    def take(fn):
        if chosen(name, "other"):
            try:
                fn()
            except AssertionError as e:
                faults.append(f"{name}: {e}")
    return take


def equal(got, want, what=""):
    assert got == want, f"{what}{' ' if what else ''}{got}, not {want}"


# ---- a SentencePiece model, written from its protocol ---------------------------------------------------------------


def varint(n):
    out = b""
    while True:
        out += bytes([n & 127 | (128 if n > 127 else 0)])
        n >>= 7
        if not n:
            return out


def message(number, raw):
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def spm_model():
    """0 to 2 are control tokens, 3 to 258 bytes, then what PIECES says: 264 and 265 are free."""
    pieces = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3)] + [(f"<0x{b:02X}>", 0, 6) for b in range(256)]
    pieces += [(BLOCK + "a", -1, 1), (BLOCK, -2, 1), ("a", -3, 1), ("b", -4, 1), ("ab", -5, 1)]
    each = lambda text, score, kind: message(1, message(1, text.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18" + varint(kind))
    trainer = b"\x18\x02" + varint(35 << 3) + b"\x01"
    return b"".join(each(*p) for p in pieces) + message(2, trainer) + message(3, message(1, b"identity"))


# ---- tokens that are added ------------------------------------------------------------------------------------------


def more_tokens() -> None:
    t = tensors()
    base = {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True}
    pair = tokenizer()["model"]
    byte_pair = {"vocab.json": pair["vocab"], "merges.txt": "#version: 0.2\n" + "\n".join(pair["merges"]) + "\n"}
    im = {"<|im_end|>": 265, "<|im_start|>": 264}
    decoder = {str(i): {k: v for k, v in added(i, c).items() if k != "id"} for c, i in im.items()}

    def spm(config_=None, **files):
        files = {k.replace("__", "."): v for k, v in files.items()}
        return write_folder(tools.folder(), config(bos_token_id=1, eos_token_id=2), t, tok=False,
                            files={"tokenizer.model": spm_model(), "tokenizer_config.json": config_ or base, **files})

    @case("SentencePiece: added_tokens.json")
    def _():
        folder = spm(added_tokens__json=im)
        equal(ids(folder, "ab<|im_end|>", "--parse-special"), [1, 259, 262, 265])
        equal(ids(folder, "ab<|im_end|>")[:3], [1, 259, 262])
        assert 265 not in ids(folder, "ab<|im_end|>"), "text becomes a control token"
        have = told(folder)
        equal(have["tokens"][264:266] + have["token_type"][264:266], ["<|im_start|>", "<|im_end|>", 3, 3])
        equal((have["eos_token_id"], sorted(have["eos_token_ids"])), (2, [2, 265]))
        equal(have["eot_token_id"], 265)
        run(tools.tessera, "convert", folder, tools.tmp / "c.gguf", "--quiet")
        equal(ids(tools.tmp / "c.gguf", "ab<|im_end|>", "--parse-special"), [1, 259, 262, 265], "converted:")

    @case("SentencePiece: added_tokens_decoder")
    def _():
        folder = spm({**base, "eos_token": "<|im_end|>", "added_tokens_decoder": {**decoder, "2": {"content": "</s>", "special": True},
                      "270": {"content": "<tool>", "special": False, "rstrip": True}}})
        have = told(folder)
        equal(have["eos_token_id"], 265)
        equal((have["tokens"][265], have["tokens"][266], have["tokens"][270]), ("<|im_end|>", "[PAD266]", "<tool>"))
        equal([have["token_type"][i] for i in (0, 2, 3, 264, 265, 266, 270)], [2, 3, 6, 3, 3, 5, 4])
        equal(ids(folder, "a<tool> a"), [1, 259, 270, 259])

    @case("SentencePiece: special_tokens_map.json")
    def _():
        equal(told(spm({"bos_token": "<s>"}, added_tokens__json=im, special_tokens_map__json={"eos_token": {"content": "<|im_end|>"}}))["eos_token_id"], 265)
        equal(told(spm(added_tokens__json=im, special_tokens_map__json={"eos_token": "<|im_end|>"}))["eos_token_id"], 2)
        have = told(spm(added_tokens__json={"[PAD]": 264, "[X]": 265, "[Y]": 266},
                        special_tokens_map__json={"pad_token": "[PAD]", "additional_special_tokens": ["[X]"]}))
        equal(have["token_type"][264:267], [3, 3, 4])
        equal(have["padding_token_id"], 264)

    for name, files, say in (("added_tokens.json", {"added_tokens.json": im}, USUAL),
                             ("added_tokens_decoder", {}, {**USUAL, "added_tokens_decoder": decoder})):
        @case(f"vocab.json and merges.txt: {name}")
        def _():
            # quantize_config.json maps names to numbers, and so do others: none of them is the vocabulary
            folder = write_folder(tools.folder(), config("qwen2"), model(biases=True).tensors(put_plain), tok=False, files={
                **byte_pair, **files, "tokenizer_config.json": say, "quantize_config.json": {"bits": 4, "group_size": 128, "sym": True}})
            equal(ids(folder, "the<|im_end|>", "--parse-special"), [263, 265])
            equal(ids(folder, "the 12"), [263, 32, 49, 50])
            have = told(folder)
            equal((have["pre"], have["token_type"][264:266], have["eot_token_id"]), ("qwen2", [3, 3], 265))

    @case("vocab.json and merges.txt: how text is split")
    def _():
        by_class = {**USUAL, "tokenizer_class": "Qwen2Tokenizer"}
        folder = write_folder(tools.folder(), config(), t, tok=False, files={**byte_pair, "tokenizer_config.json": by_class})
        equal(told(folder)["pre"], "qwen2")
        equal(ids(folder, "the", "--pre", "gpt-2"), [263])

    @case("special_tokens_map.json beside tokenizer.json")
    def _():
        bare = {k: v for k, v in config().items() if "token_id" not in k}
        folder = write_folder(tools.folder(), bare, t, tok_config={}, files={
            "special_tokens_map.json": {"bos_token": CONTROL[5], "eos_token": {"content": CONTROL[4]}}})
        have = told(folder)
        equal((have["bos_token_id"], have["eos_token_id"]), (261, 260))

    @case("kinds of added tokens")
    def _():
        folder = write_folder(tools.folder(), config(), t, tok=tokenizer([
            added(264, "<|fim|>", False), added(265, "<\uff5cx\uff5c>", False), added(266, "<unused0>", False), added(267, "<pad>", False),
            added(268, "<tool>", False), added(269, "<unusedx>", False), added(270, "[A]")]))
        equal(told(folder)["token_type"][264:271], [3, 3, 3, 3, 4, 4, 3])

    @case("ends have keys of their own")
    def _():
        have = told(write_folder(tools.folder(), config(), t))
        equal((have["eot_token_id"], have["eom_token_id"]), (258, 259))

    def wrong(name, words, **files):
        refused(name, lambda: spm(**{k: v for k, v in files.items()}), *words)
    wrong("added_tokens.json: a fraction", ["added_tokens.json: line 1"], added_tokens__json='{"<x>": 1.5}')
    wrong("added_tokens.json: another text", ["tokenizer.model: added_tokens.json: added token 263 is both \"ab\" and \"<x>\""], added_tokens__json={"<x>": 263})
    wrong("added_tokens.json: no text", ["added_tokens.json: added token 264 has no content"], added_tokens__json={"": 264})
    wrong("added_tokens.json: beyond all", ["added_tokens.json: token id 9999999999 is outside"], added_tokens__json={"<x>": 9999999999})
    wrong("added_tokens_decoder: no id", ["tokenizer_config.json: line 1", "no token's id"], config_={"added_tokens_decoder": {"x": {"content": "<x>"}}})
    wrong("added_tokens_decoder: a word", ["single word"], config_={"added_tokens_decoder": {"264": {"content": "<x>", "single_word": True}}})


# ---- conversions ----------------------------------------------------------------------------------------------------

QWEN = ("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
        "\\s+(?!\\S)|\\s+")


def byte_level(ignore_merges, qwen=False, extra=()):
    """With "abc" as an entry that no merge makes."""
    t = tokenizer(extra)
    t["model"]["vocab"]["abc"] = 264
    t["model"]["ignore_merges"] = ignore_merges
    if ignore_merges is None:
        del t["model"]["ignore_merges"]
    if qwen:
        t["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = QWEN
    return t


def like_spm(normalizer=None, pre=None, merges=None):
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"<0x{b:02X}>": 3 + b for b in range(256)}}
    for text in (BLOCK, "a", "b", "c", BLOCK + "a", BLOCK + "ab", "ab", BLOCK * 2, "bc", "abc"):
        vocab[text] = len(vocab)  # from 259
    controls = [added(i, c) for i, c in ((0, "<unk>"), (1, "<s>"), (2, "</s>"), (269, "[INST]"))]
    usual = [f"{BLOCK} a", f"{BLOCK} {BLOCK}", "a b", "b c", f"{BLOCK}a b", "ab c"]
    begin = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}
    return {"version": "1.0", "added_tokens": controls, "normalizer": normalizer, "pre_tokenizer": pre, "post_processor": begin,
            "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "vocab": vocab, "merges": merges or usual}}


def conversions() -> None:
    t = tensors()
    meta = lambda scheme, split=False: {"type": "Metaspace", "replacement": BLOCK, "prepend_scheme": scheme, "split": split}
    to_block = {"type": "Replace", "pattern": {"String": " "}, "content": BLOCK}
    legacy = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": BLOCK}, to_block]}
    strips = tokenizer([added(264, "<|ls|>", lstrip=True), added(265, "<|rs|>", rstrip=True), added(266, "<b>", False, lstrip=True, rstrip=True)])
    # name, tokenizer, {text: what it becomes}
    cases = [
        ("Llama 3's split, merges", byte_level(False), {"abc": [97, 98, 99], "the abc": [263, 32, 97, 98, 99]}),
        ("Llama 3's split, ignore_merges not said", byte_level(None), {"abc": [97, 98, 99]}),
        ("Llama 3's split, ignore_merges", byte_level(True), {"abc": [264]}),
        ("Qwen's split, merges", byte_level(False, True), {"abc": [97, 98, 99]}),
        ("Qwen's split, ignore_merges", byte_level(True, True), {"abc": [264], "abc abc": [264, 32, 97, 98, 99]}),
        ("tokens that take white space", strips, {"the  <|ls|> the": [263, 264, 32, 263], "the <|rs|>  the": [263, 32, 265, 263], "a <b> c": [97, 266, 99]}),
        ("Prepend and Replace", like_spm(legacy), {"ab": [1, 264], " ab": [1, 259, 264], "[INST]ab": [1, 269, 264]}),
        ("Replace alone", like_spm(to_block), {"ab": [1, 265], " ab": [1, 264]}),
        ("Metaspace first", like_spm(pre=meta("first")), {"ab": [1, 264], " ab": [1, 264], "[INST]ab": [1, 269, 265], "[INST] ab[INST]ab": [1, 269, 264, 269, 265]}),
        ("Metaspace always", like_spm(pre=meta("always")), {"ab": [1, 264], " ab": [1, 264], "[INST]ab": [1, 269, 264], "[INST] ab": [1, 269, 264]}),
        ("Metaspace never", like_spm(pre=meta("never")), {"ab": [1, 265], " ab": [1, 264]}),
        ("Metaspace with a split", like_spm(pre=meta("first", True)), {"a  b": [1, 263, 259, 259, 261]}),
        ("Metaspace without a split", like_spm(pre=meta("first")), {"a  b": [1, 263, 266, 261]}),
        ("an order of merges that scores do not say", like_spm(legacy, merges=["b c", "a b", f"{BLOCK} a", f"{BLOCK}a b", "a bc", "ab c"]), {"abc": [1, 263, 267]}),
        ("entries without a merge", like_spm(legacy, merges=["a b", f"{BLOCK} ab"]), {"a": [1, 259, 260], "ab": [1, 264], "bc": [1, 259, 261, 262]}),
    ]
    for name, tok, texts in cases:
        @case(f"converted: {name}")
        def _():
            spm = "byte_fallback" in tok["model"] and tok["model"]["byte_fallback"]
            folder = write_folder(tools.folder(), config(bos_token_id=1, eos_token_id=2) if spm else config(), t, tok=tok,
                                  tok_config={"bos_token": "<s>", "eos_token": "</s>"} if spm else USUAL)
            made, small = (tools.tmp / f"{tools.n}-{x}.gguf" for x in ("made", "small"))
            run(tools.tessera, "convert", folder, made, "--quiet")
            run(tools.tessera, "quantize", made, small, "-q", "q8_0", "--quiet")
            some = ["", "ab", " ab", "  ab", "ab abc", "a  b", "\nab", "bc bc", BLOCK + "ab", "<s>ab</s>", "the abc", "[INST] ab [INST]"]
            for text in [*texts, *some]:
                want = ids(folder, text, "--parse-special")
                equal(want, texts.get(text, want), f"{text!r}:")
                for path in (made, small):
                    equal(ids(path, text, "--parse-special"), want, f"{path.stem}: {text!r}:")

    @case("converted: keys of our own")
    def _():
        keys = lambda tok: sorted(k for k in told(write_folder(tools.folder(), config(), t, tok=tok)) if k.startswith("tessera.tokenizer."))
        equal(keys(byte_level(True)), [])  # as any reader takes it
        equal(keys(byte_level(False, True)), [])
        equal(keys(byte_level(False)), ["tessera.tokenizer.ignore_merges"])


# ---- twice ----------------------------------------------------------------------------------------------------------


def twice() -> None:
    t = tensors()
    text = json.dumps(tokenizer())
    again = lambda key, value: text[:-1] + f', "{key}": {value}' + "}"
    inside = lambda old, new: text.replace(old, new, 1)
    assert '"the": 263' in text and '"unk_token": null' in text

    def wrong(name, words, tok=None, **files):
        files = {k.replace("__", "."): v for k, v in files.items()}
        if tok:
            files["tokenizer.json"] = tok
        refused(f"twice: {name}", lambda: write_folder(tools.folder(), config(), t, tok=not tok, files=files), *words)

    here = "tokenizer.json: "
    key = "a key that the object already has: "
    wrong("an entry", [here + 'the vocabulary has "the" twice: as token 263 and as token 264'], inside('"the": 263', '"the": 263, "the": 264'))
    wrong("an entry, escaped", [here + 'the vocabulary has "the" twice'], inside('"the": 263', '"the": 263, "\\u0074he": 264'))
    wrong("an entry and its id", [here + 'the vocabulary has token 263 twice: "the" and "the"'], inside('"the": 263', '"the": 263, "the": 263'))
    wrong("an id", [here + 'the vocabulary has token 263 twice: "the" and "zz"'], inside('"the": 263', '"the": 263, "zz": 263'))
    for section in ("added_tokens", "pre_tokenizer", "normalizer", "post_processor", "model"):
        wrong(section, [here, key + f'"{section}"'], again(section, "[]" if section == "added_tokens" else "null"))
    wrong("a key of the model", [here, key + '"unk_token"'], inside('"unk_token": null', '"unk_token": null, "unk_token": "a"'))
    wrong("the merges", [here, key + '"merges"'], inside('"merges": [', '"merges": [], "merges": ['))
    wrong("a key of an added token", [here, key + '"content"'], inside('"content": ', '"content": "a", "content": '))
    wrong("a key of the split", [here, key + '"behavior"'], inside('"behavior": ', '"behavior": "Removed", "behavior": '))
    wrong("tokenizer_config.json", ["tokenizer_config.json: ", key + '"bos_token"'], tokenizer_config__json='{"bos_token":"<|x|>","bos_token":"<|pad|>"}')
    wrong("deep in tokenizer_config.json", ["tokenizer_config.json: ", key + '"content"'], tokenizer_config__json='{"eos_token":{"content":"a","content":"b"}}')
    wrong("generation_config.json", ["generation_config.json: ", key + '"eos_token_id"'], generation_config__json='{"eos_token_id":256,"eos_token_id":257}')
    wrong("added_tokens.json", ["added_tokens.json: ", key + '"<x>"'], added_tokens__json='{"<x>":264,"<x>":265}')
    wrong("special_tokens_map.json", ["special_tokens_map.json: ", key + '"eos_token"'], special_tokens_map__json='{"eos_token":"a","eos_token":"b"}')
    wrong("chat_template.json", ["chat_template.json: ", key + '"chat_template"'], chat_template__json='{"chat_template":"a","chat_template":"b"}')

    def pair(vocab):
        return write_folder(tools.folder(), config(), t, tok=False, files={"vocab.json": vocab, "merges.txt": "t h\nth e\n", "tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer"}})
    vocab = json.dumps(tokenizer()["model"]["vocab"])
    refused("twice: an entry of vocab.json", lambda: pair(vocab.replace('"the": 263', '"the": 263, "the": 264')), "vocab.json", 'the vocabulary has "the" twice')
    refused("twice: an id of vocab.json", lambda: pair(vocab.replace('"the": 263', '"the": 263, "zz": 263')), "vocab.json", "the vocabulary has token 263 twice")


# ---- rows, and files that are none ----------------------------------------------------------------------------------


def rows() -> None:
    t = tensors()

    @case("one control token too many")
    def _():
        folder = write_folder(tools.folder(), config(), t, tok=tokenizer([added(VOCAB, "<|image|>")]))
        have = told(folder)
        equal((len(have["tokens"]), have["tokens"][-1]), (VOCAB, f"[PAD{VOCAB - 1}]"))
        metadata("one control token too many", folder, {}, warns=f"token {VOCAB} has no row in the model and is left out")
        _, err = run(tools.tessera, "run", "-m", folder, "--raw", "-p", "the <|image|>", "-n", "2")
        assert "left out" in err, err
        run(tools.tessera, "convert", folder, tools.tmp / "one.gguf", "--quiet")
        out, _ = run(tools.tessera, "inspect", tools.tmp / "one.gguf", "--json", "--items", "0")
        assert json.loads(out)["runs"] is True, out

    beyond = "the vocabulary has {} tokens, but token_embd.weight only " + f"{VOCAB} rows"
    for name, more, eos in (("two control tokens too many", [added(VOCAB, "<|i|>"), added(VOCAB + 1, "<|j|>")], None),
                            ("one other token too many", [added(VOCAB, "<i>", False)], None),
                            ("an end too many", [added(VOCAB, "<|im_end|>")], None)):
        words = beyond.format(VOCAB + len(more))
        make = lambda: write_folder(tools.folder(), config(), t, tok=tokenizer(more))
        refused(f"{name}: runs", make, words)
        if chosen(f"{name}: converts, inspects", "other"):
            try:
                folder = make()
                _, err = run(tools.tessera, "convert", folder, tools.tmp / "many.gguf", "--quiet", code=1)
                assert words in err and not (tools.tmp / "many.gguf").exists(), err
                report = json.loads(run(tools.tessera, "inspect", folder, "--json")[0])
                assert report["runs"] is False and words in report["refusal"], report["refusal"]
            except AssertionError as e:
                faults.append(f"{name}: {e}")

    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 14244\n"
    for name in ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "added_tokens.json"):
        refused(f"a pointer as {name}", lambda: write_folder(tools.folder(), config(), t, tok="tokenizer." not in name, files={name: pointer}),
                f"{name}: a Git LFS pointer", "git lfs pull")
    refused("a web page as tokenizer.json", lambda: write_folder(tools.folder(), config(), t, files={"tokenizer.json": "\n<!doctype html>\n<html>"}),
            "tokenizer.json: a web page")
    refused("a pointer as vocab.json", lambda: write_folder(tools.folder(), config(), t, tok=False, files={"vocab.json": pointer, "merges.txt": "t h\n"}),
            "vocab.json", "a Git LFS pointer")


if __name__ == "__main__":
    sys.exit(forms.main(more_tokens, conversions, twice, rows))
