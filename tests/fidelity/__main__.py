"""``python -m tests.fidelity``: measure cells of the benchmark and write the tables of ``docs/fidelity.md``.

    python -m tests.fidelity --cells x4:jitter:28 --methods fuse,bicubic --scenes 20 --minutes 9
    python -m tests.fidelity --cells plates --methods bicubic,fuse     # needs an OCR, see docs/fidelity.md
    python -m tests.fidelity --cells flicker,cost,rate,step,set5,holding
    python -m tests.fidelity --write                                   # the document from the scores

Scores lie in ``docs/fidelity/``, a file a cell; a call goes on where the last one stopped. Exit code 0 when
all that was asked for is there, 75 when the time ran out before (call again), 1 where nothing could be done.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import cv2

from tests.fidelity import cost, document, flicker, holding, methods, plates, rate, scenes, scores, set5, steps, tables
from tests.fidelity.cells import ALL, Cell
from tests.fidelity.measuring import measure

UNFINISHED = 75
EXTRAS = ("plates", "flicker", "cost", "rate", "step", "set5", "holding")


def _chosen(text: str) -> tuple[list[Cell], list[str]]:
    """Cells and extras of ``--cells``; ``x4``, ``x4:jitter`` stand for all cells that begin so."""
    found: list[Cell] = []
    extras: list[str] = []
    for word in text.split(","):
        if word in EXTRAS:
            extras.append(word)
            continue
        begin = word.replace(":", "-")
        matching = [cell for cell in ALL if word == "all" or cell.name == begin or cell.name.startswith(begin + "-")]
        if not matching:
            raise SystemExit(f"{word!r} is no cell: write x4:jitter:28, x4:jitter, x4, all, or {', '.join(EXTRAS)}")
        found += matching
    return found, extras


def _built(names: list[str], factor: int) -> list[methods.Method]:
    built = []
    for name in names:
        try:
            built.append(methods.method(name, factor))
        except methods.NotAvailable as reason:
            print(f"x{factor} {name}: not measured: {reason}", file=sys.stderr)
    return built


def _one_thread() -> None:
    """Times are of one thread, whatever the machine has."""
    import torch

    torch.set_num_threads(1)


def main() -> int:
    """Measure what is asked for and not yet there."""
    parser = argparse.ArgumentParser(prog="python -m tests.fidelity")
    parser.add_argument("--cells", default="all", help="cells and extras, separated by commas")
    parser.add_argument("--methods", help="methods, separated by commas; default all there are")
    parser.add_argument("--scenes", type=int, default=20, help="number of scenes in each cell")
    parser.add_argument("--minutes", type=float, help="stop before a scene that begins later than this")
    parser.add_argument("--synthetic", action="store_true", help="drawn scenes instead of the photographs")
    parser.add_argument("--folder", type=Path, help="folder of scores instead of docs/fidelity")
    parser.add_argument("--forget", action="store_true", help="drop these methods' scores in these cells, and stop")
    parser.add_argument("--write", action="store_true", help="only write docs/fidelity.md's tables")
    options = parser.parse_args()
    if options.write:
        document.write()
        return 0
    cv2.setNumThreads(1)
    _one_thread()
    until = None if options.minutes is None else time.monotonic() + 60 * options.minutes
    names = options.methods.split(",") if options.methods else [*methods.available(), *methods.LOCKED]
    whole = [name for name in names if name not in methods.LOCKED]
    chosen = (scenes.synthetic if options.synthetic else lambda count: scenes.listed()[:count])(options.scenes)
    found, extras = _chosen(options.cells)
    if options.forget:
        for cell in found:
            scores.forget(cell.name, names, options.folder)
        for extra in extras:
            tables.forget(extra, names, options.folder)
        return 0
    finished = True
    try:
        for cell in found:
            finished &= measure(cell, _built(whole, cell.factor), chosen, folder=options.folder, until=until)
        for extra, run in (
            ("plates", plates), ("flicker", flicker), ("cost", cost), ("rate", rate), ("step", steps), ("set5", set5),
            ("holding", holding),
        ):  # fmt: skip
            if extra in extras:
                finished &= run.measure(
                    _built(names if run is plates else whole, 4), options.scenes, folder=options.folder, until=until
                )
    except scenes.SceneMissing as reason:
        print(f"cannot go on: {reason}", file=sys.stderr)
        return 1
    return 0 if finished else UNFINISHED


if __name__ == "__main__":
    raise SystemExit(main())
