"""Breaks the protocol in the way that the exhibit's name says."""

import struct
from collections.abc import Callable

import numpy as np

from forensic.media.libav import ExhibitFile
from forensic.media.reader import ExhibitReader
from forensic.media.sandbox.decoder import Outlet, main
from forensic.media.sandbox.order import Order

_SIZE = 176 * 144 * 3 // 2


def work(order: Order, file: ExhibitFile, outlet: Outlet) -> None:
    with ExhibitReader(file) as reader:
        facts = reader.facts.to_record()
        state = {"counts": reader.anomaly_counts, "statistics": reader.statistics}
    raw = outlet._pipe
    good = {"index": 0, "pts": 0, "synthesised": False, "flags": [], **state}
    plane = memoryview(np.zeros(_SIZE, np.uint8))

    def opened(**changed: object) -> None:
        outlet.say("opened", facts=facts | changed, **state)

    def framed(payload: memoryview = plane, **changed: object) -> None:
        opened()
        outlet.say("frame", (payload,), **(good | changed))

    def header(length: int, payload: int = 0, text: bytes = b"") -> None:
        raw.write(struct.pack(">IQ", length, payload) + text)

    statistics = reader.statistics
    lies: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "frame-first": lambda: outlet.say("frame", (plane,), **good),
        "header-huge": lambda: header(1 << 31),
        "header-cut": lambda: header(100, 0, b'{"kind":'),
        "header-garbage": lambda: header(5, 0, b"\xff\xfe\x00{}"),
        "header-deep": lambda: header(200_000, 0, b"[" * 200_000),
        "header-list": lambda: header(2, 0, b"[]"),
        "header-nan": lambda: header(26, 0, b'{"kind":"opened","a":NaN}\n'),
        "kind-unknown": lambda: outlet.say("pickle"),
        "opened-twice": lambda: (opened(), opened()),
        "payload-huge": lambda: (opened(), header(16, 1 << 40, b'{"kind":"frame"}')),
        "payload-short": lambda: framed(plane[:-1]),
        "payload-on-text": lambda: outlet.say("opened", (plane,), facts=facts, **state),
        "facts-missing": lambda: outlet.say("opened", **state),
        "facts-size": lambda: opened(size=5),
        "facts-geometry": lambda: opened(geometry=facts["geometry"] | {"width": 1 << 20}),
        "facts-layout": lambda: opened(geometry=facts["geometry"] | {"pixel_format": "gray"}),
        "facts-conversion": lambda: opened(conversion=facts["conversion"] | {"how": "invented"}),
        "facts-time-base": lambda: opened(time_base="1/0"),
        "facts-float": lambda: opened(duration_us=0.5),
        "facts-extra": lambda: opened(extra=1),
        "facts-escape": lambda: opened(tags={"title": "\x1b[31m"}),
        "facts-bidi": lambda: opened(container_name="\u202e"),
        "facts-deep": lambda: opened(image={"a": [[[[[[1]]]]]]}),
        "index": lambda: framed(index=7),
        "index-true": lambda: framed(index=False),
        "pts-text": lambda: framed(pts="0"),
        "flags": lambda: framed(flags=["trusted"]),
        "flags-lists": lambda: framed(flags=[[]]),
        "counts": lambda: framed(counts={"invented": 1}),
        "statistics": lambda: framed(statistics=statistics | {"frames": -1}),
        "findings-kind": lambda: (opened(), outlet.say("findings", listed=[["invented", 0, 0, ""]])),
        "findings-many": lambda: (
            opened(), [outlet.say("findings", listed=[["duplicate", 0, 0, "x"]] * 5000) for _ in range(3)]
        ),
        "error-foreign": lambda: outlet.say("error", code="ledger.lost", message="", remedy=""),
        "error-wordless": lambda: outlet.say("error", code="media.x"),
        "endless-text": lambda: [outlet.say("note", text="x" * 1000) for _ in range(100_000)],
    }  # fmt: skip
    lies[order.label.strip("'").removesuffix(".mp4")]()


LIES = (
    "nothing", "frame-first", "header-huge", "header-cut", "header-garbage", "header-deep", "header-list",
    "header-nan", "kind-unknown", "opened-twice", "payload-huge", "payload-short", "payload-on-text", "facts-missing",
    "facts-size", "facts-geometry", "facts-layout", "facts-conversion", "facts-time-base", "facts-float",
    "facts-extra", "facts-escape", "facts-bidi", "facts-deep", "index", "index-true", "pts-text", "flags",
    "flags-lists", "counts", "statistics", "findings-kind", "findings-many", "error-foreign", "error-wordless",
    "endless-text",
)  # fmt: skip

if __name__ == "__main__":
    raise SystemExit(main(work))
