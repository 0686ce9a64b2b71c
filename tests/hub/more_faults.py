"""Faults for the fake hub of the shared test data, beside its own: the runner loads this file as a plugin (--plugin) and puts `fakehub` in
its names. more.json uses them."""
import gzip

import fakehub  # the runner's module, found beside run.py


@fakehub.fault("shift")
def _shift(hub, q, a, r):
    """Ranges begin `by` bytes too late; with `honest` the header says so."""
    if a.status == 206:
        lo = a.offset + r["by"]
        size = int(a.get("Content-Range").rsplit("/", 1)[1])
        a.body = a.body[r["by"]:] + b"\0" * (0 if r.get("honest") else r["by"])
        if r.get("honest"):
            a.set("Content-Range", "bytes %d-%d/%d" % (lo, size - 1, size))
    return a


@fakehub.fault("total")
def _total(hub, q, a, r):
    if a.status == 206:
        a.set("Content-Range", a.get("Content-Range").rsplit("/", 1)[0] + "/%s" % r["total"])
    return a


@fakehub.fault("compress")
def _compress(hub, q, a, r):
    """What was not asked for; `bomb`: so many zeros in the place of the body."""
    if a.status in (200, 206):
        a.body = gzip.compress(b"\0" * r["bomb"] if "bomb" in r else a.body)
        a.set("Content-Encoding", "gzip")
        a.chunked = True
    return a


@fakehub.fault("append")
def _append(hub, q, a, r):
    """More bytes than the file has; `open`: without a length, and then silence."""
    if a.status in (200, 206):
        a.body += b"!" * r["bytes"]
        if r.get("open"):
            a.length = False
            a.stall = (len(a.body) - 1, 30)
    return a


@fakehub.fault("header")
def _header(hub, q, a, r):
    a.set(r["name"], r["value"].format(HUB=hub.url["hub"], CDN=hub.url["cdn"], OTHER=hub.url["other"], PATH=q.target))
    return a


@fakehub.fault("flood")
def _flood(hub, q, a, r):
    a.headers += [("X-Filler-%d" % i, "x" * 1000) for i in range(r["n"])]
    return a


@fakehub.fault("raw")
def _raw(hub, q, a, r):
    a.raw = r["text"].encode("latin-1")
    return a


@fakehub.fault("early")
def _early(hub, q, a, r):
    """1xx answers in front of the real one, with headers that are not its own."""
    a.pre = b"HTTP/1.1 103 Early Hints\r\nLocation: http://127.0.0.9/\r\nContent-Encoding: gzip\r\n\r\n" * r.get("n", 1)
    return a


@fakehub.fault("late")
def _late(hub, q, a, r):
    a.before = r["seconds"]
    return a


@fakehub.fault("reset")
def _reset(hub, q, a, r):
    a.cut, a.reset = r["after"], True
    return a


@fakehub.fault("body")
def _body(hub, q, a, r):
    """Another text with this status; with ranges asked for, too."""
    b = fakehub.Answer(r.get("code", 200), r["text"].encode(), [("Content-Type", r.get("type", "text/plain"))])
    b.offset = 0
    return b


@fakehub.fault("other_page", early=True)
def _other_page(hub, q, a, r):
    """The stranger answers as the hub would: an empty list, so that who follows without a token goes on."""
    return fakehub.Answer(200, b"[]", [("Content-Type", "application/json")])
