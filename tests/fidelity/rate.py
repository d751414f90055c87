"""Frames a second of a video of 320x180, enlarged 4 times, whole pipeline, on two processor cores: wall clock.

The machine has to be idle otherwise. Unlike everything else that is measured here a second run gives other numbers:
the median of several passes is kept, with the slowest and the fastest.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2

from tests.fidelity import tables
from tests.fidelity.cost import FACTOR, footage, processor
from tests.fidelity.methods import Method, coded, digest, method

COLUMNS = ("method", "settings", "cores", "frames", "per_second", "slowest", "fastest", "processor")
CORES, LENGTH, PASSES = 2, 48, 5


def measure_here(name: str) -> dict[str, float]:
    """Frames a second of ``PASSES`` passes over ``LENGTH`` frames after a first pass: median, slowest, fastest."""
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):  # Linux: no more cores than said, however many there are
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    frames = coded(footage(LENGTH))
    pipeline = method(name, FACTOR).pipeline
    passes = []
    for _ in range(PASSES + 1):
        start = time.perf_counter()
        made = sum(1 for _ in pipeline.run(iter(frames), workers=CORES))
        passes.append(made / (time.perf_counter() - start))
    passes = passes[1:]
    return {"per_second": statistics.median(passes), "slowest": min(passes), "fastest": max(passes)}


def measure(methods: Sequence[Method], count: int, *, folder: Path | None = None, until: float | None = None) -> bool:
    """Measure every method anew (``count`` plays no part), each in a process of its own."""
    for one in methods:
        if until is not None and time.monotonic() > until:
            return False
        done = subprocess.run(
            [sys.executable, "-m", "tests.fidelity.rate", one.name], check=True, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        found = json.loads(done.stdout.splitlines()[-1])
        row = {"method": one.name, "settings": digest(one.settings), "cores": str(CORES), "frames": str(LENGTH),
               **{name: f"{value:.2f}" for name, value in found.items()}, "processor": processor()}  # fmt: skip
        tables.merge("rate", COLUMNS, ("method",), [row], folder)
        print(f"rate {one.name}: {row['per_second']} frames/s ({row['slowest']} to {row['fastest']})", flush=True)
    return True


if __name__ == "__main__":
    print(json.dumps(measure_here(sys.argv[1])))
