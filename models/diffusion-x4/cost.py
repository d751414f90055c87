"""Measure what a picture costs: processor time of one thread for a megapixel of the result, and the process's memory.

    python models/diffusion-x4/cost.py METHOD [...] --out FILE

METHOD: ``bicubic``, a model of luma, ``real-esrgan-x4``, or ``diffusion-x4:STEPS``. Each runs in a process of its own,
on drawn noise of 192x144 pixels (bicubic and models of luma: on three planes, and on luma alone), with the recipes'
tiles. Memory is the largest of the process, libraries included. Writes FILE.
"""

from __future__ import annotations

import argparse
import csv
import resource
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from forensic.registry.cards import load_card
from forensic.registry.loading import load_model
from forensic.registry.pictures import enlarged_picture
from forensic.registry.sampling import sampled_picture
from forensic.stages.kernels import KERNELS
from forensic.stages.resampling import AxisMap, resample

SIZE, SCALE = (144, 192), 4


def measured(method: str) -> tuple[float, float]:
    """Seconds of processor time for a megapixel of the result, and MiB."""
    torch.set_num_threads(1)
    picture = np.random.default_rng(0).random((3, *SIZE), np.float32)
    name, _, steps = method.partition(":")
    model = None if name == "bicubic" else load_model(load_card(name))
    step = Fraction(1, SCALE)
    rows, columns = (AxisMap(SCALE * side, step, (step - 1) / 2) for side in SIZE)
    begun = time.process_time()
    if model is None:
        for plane in picture:
            resample(plane, rows, columns, KERNELS["bicubic"])
    elif steps:
        sampled_picture(model, picture, int(steps), 0, 0, 192, 32)
    elif model.card.channels == "rgb":
        enlarged_picture(model, picture, 128, 32)
    else:
        model.upscale_luma(255 * picture[0])
    spent = time.process_time() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return 1e6 * spent / (SCALE * SCALE * SIZE[0] * SIZE[1]), memory


def main() -> None:
    """Command line; with ``--one`` it is the process of one method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="+")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", action="store_true")
    arguments = parser.parse_args()
    if arguments.one:
        print(*measured(arguments.methods[0]))
        return
    with arguments.out.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("method", "seconds_per_megapixel", "peak_memory_mib"))
        for method in arguments.methods:
            done = subprocess.run(
                [sys.executable, __file__, "--one", method], capture_output=True, text=True, check=True
            )
            seconds, memory = (float(value) for value in done.stdout.split())
            name, _, steps = method.partition(":")
            shown = f"{name}, {steps} step{'s' * (steps != '1')}" if steps else name
            writer.writerow((shown, f"{seconds:.1f}", f"{memory:.0f}"))
            stream.flush()


if __name__ == "__main__":
    main()
