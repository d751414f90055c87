"""Time light-x4 on video-sized planes against interpolation and luma-residual-x2, in turns, in one run.

    python models/light-x4/speed.py [--workers 2] [--rounds 5]

Every method enlarges 320 x 180 luma planes, one frame per thread, as the program's workers do; models come
through their cards. Rounds go through all methods in turn, so that what else the machine does falls on all
alike; the fastest and the median round are printed, in frames a second.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import cv2
import numpy as np

from forensic.registry.cards import load_card
from forensic.registry.loading import load_model
from forensic.stages.kernels import KERNELS
from forensic.stages.resampling import AxisMap, resample

HEIGHT, WIDTH, SCALE = 180, 320, 4
FRAMES = 12


def methods() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Every method, from float32 [180, 320]."""
    light, older = load_model(load_card("light-x4")), load_model(load_card("luma-residual-x2"))
    step = Fraction(1, SCALE)
    rows, columns = (AxisMap(SCALE * side, step, (step - 1) / 2) for side in (HEIGHT, WIDTH))
    return {
        "bicubic x4 (stage resize)": lambda plane: resample(plane, rows, columns, KERNELS["bicubic"]),
        "luma-residual-x2 (x2)": lambda plane: older.upscale_luma_tiled(plane, 512, 16),
        "light-x4 (x4)": lambda plane: light.upscale_luma_tiled(plane, 512, light.radius),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(1)
    planes = [rng.uniform(0, 255, (HEIGHT, WIDTH)).astype(np.float32) for _ in range(FRAMES)]
    tools = methods()
    rates: dict[str, list[float]] = {name: [] for name in tools}
    processor: dict[str, list[float]] = {name: [] for name in tools}
    with ThreadPoolExecutor(arguments.workers) as pool:
        for _ in range(arguments.rounds + 1):  # the first round warms up
            for name, upscale in tools.items():
                wall, cpu = time.perf_counter(), time.process_time()
                list(pool.map(upscale, planes))
                rates[name].append(FRAMES / (time.perf_counter() - wall))
                processor[name].append((time.process_time() - cpu) / FRAMES)
    for name in tools:
        found, spent = rates[name][1:], processor[name][1:]
        print(
            f"{name}: fastest {max(found):.1f}, median {statistics.median(found):.1f} frames/s with "
            f"{arguments.workers} workers; {1000 * min(spent):.0f} ms of processor time a frame at the least"
        )


if __name__ == "__main__":
    main()
