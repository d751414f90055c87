"""Processor time and memory of a 320x180 frame enlarged 4 times, each method in a process of its own, one thread."""

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
import numpy as np

from tests.fidelity import tables
from tests.fidelity.cells import FRAMES, MIDDLE
from tests.fidelity.methods import Method, digest, method
from tests.fidelity.synthetic import dead_leaves

COLUMNS = ("method", "settings", "seconds", "memory_mb", "processor")
ROWS, COLS, FACTOR, REPEATS = 180, 320, 4, 3


def _resident() -> float | None:
    """Largest resident memory of this process so far in MB, where the system tells."""
    try:  # Linux: of this program alone (what getrusage gives begins with the parent's, from before exec)
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS


def footage(count: int) -> list[np.ndarray]:
    """``count`` frames of a drawn scene, float64 [180, 320] of whole levels, shaken and with noise."""
    scene = dead_leaves(ROWS + 16, COLS + 16, 1)
    rng = np.random.default_rng(0)
    return [
        np.clip(np.rint(scene[8 + dy : 8 + dy + ROWS, 8 + dx : 8 + dx + COLS] + rng.normal(0, 2, (ROWS, COLS))), 0, 255)
        for dy, dx in rng.integers(-2, 3, (count, 2))
    ]


def measure_here(name: str) -> dict[str, object]:
    """Median processor seconds of ``REPEATS`` frames after a first one, and the memory that the method added.

    Processor time, because other work on the machine hardly touches it.
    """
    cv2.setNumThreads(1)
    frames = footage(FRAMES)
    before = _resident()
    built = method(name, FACTOR)
    built(frames, (MIDDLE, MIDDLE + 1))  # loads what there is to load
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        built(frames, (MIDDLE, MIDDLE + 1))
        seconds.append(time.process_time() - start)
    after = _resident()
    memory = None if before is None or after is None else after - before
    return {"seconds": statistics.median(seconds), "memory_mb": memory}


def processor() -> str:
    """Model of the processor, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def measure(methods: Sequence[Method], count: int, *, folder: Path | None = None, until: float | None = None) -> bool:
    """Measure every method anew (``count`` plays no part): times belong to one machine and one day."""
    for one in methods:
        if until is not None and time.monotonic() > until:
            return False
        done = subprocess.run(
            [sys.executable, "-m", "tests.fidelity.cost", one.name], check=True, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        found = json.loads(done.stdout.splitlines()[-1])
        memory = "" if found["memory_mb"] is None else f"{found['memory_mb']:.0f}"
        row = {"method": one.name, "settings": digest(one.settings), "seconds": f"{found['seconds']:.4f}",
               "memory_mb": memory, "processor": processor()}  # fmt: skip
        tables.merge("cost", COLUMNS, ("method",), [row], folder)
        print(f"cost {one.name}: {row['seconds']} s, {memory or 'not measured'} MB", flush=True)
    return True


if __name__ == "__main__":
    print(json.dumps(measure_here(sys.argv[1])))
