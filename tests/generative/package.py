"""Side by side in one run with the public package realesrgan-ncnn-py 2.0.0: the same pictures, processor, one thread.

The package lives in an environment of its own (``--python``); it runs on the processor (``gpuid=-1``) with its own tile
size, in a process of its own, which gets the pictures as PNG. It needs ``libomp.so.5`` on the loader's path. Ours runs
with the recipe's tiles. Processor time of enlarging alone is counted, after a first picture; both by turns, set by
set.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from tests.fidelity.cost import processor
from tests.fidelity.statistics import share_left
from tests.generative import engines

PACKAGE, OURS, MODEL = "realesrgan-ncnn-py 2.0.0", "real-esrgan-x4", "4"
RECIPE = "creative-gan"
FIELDS = (
    "engine", "set", "picture", "megapixels", "seconds", "memory_mb", "psnr_y", "ssim_y", "lpips", "mean_difference",
    "processor",
)  # fmt: skip


def _theirs(python: Path, folder: Path, chosen: Sequence[engines.Picture]) -> tuple[dict[str, np.ndarray], dict]:  # type: ignore[type-arg]
    source, target = folder / "in", folder / "out"
    source.mkdir()
    target.mkdir()
    for number, picture in enumerate(chosen):
        planes = [np.rint(plane).astype(np.uint8) for plane in picture.frame.planes]
        rgb = np.stack(planes if len(planes) == 3 else planes * 3, axis=-1)
        cv2.imwrite(str(source / f"{number:03d}.png"), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    worker = Path(__file__).with_name("package_worker.py")
    command = [str(python), str(worker), MODEL, "0", str(source), str(target)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    told = json.loads(done.stdout.splitlines()[-1])
    made = {}
    for number, picture in enumerate(chosen):
        rgb = cv2.cvtColor(cv2.imread(str(target / f"{number:03d}.png")), cv2.COLOR_BGR2RGB)
        gray = len(picture.frame.planes) == 1
        made[picture.name] = rgb.astype(np.float64) @ [0.299, 0.587, 0.114] if gray else engines.luma_of(rgb)
    spent = {picture.name: told["seconds"][f"{number:03d}.png"] for number, picture in enumerate(chosen)}
    return made, {"seconds": spent, "memory": told["memory"]}


def measure(out: Path, python: Path, sets: Sequence[str], largest: int) -> None:
    """Measure both on ``sets``, but for pictures of more than ``largest`` recorded pixels, and print the ratio.

    Raises ``CalledProcessError`` where the package does not run.
    """
    import torch

    torch.set_num_threads(1)
    pipeline = engines.pipeline(RECIPE)
    rows = []
    for name in sets:
        chosen = [picture for picture in engines.pictures(name) if picture.frame.luma.size <= largest]
        with tempfile.TemporaryDirectory() as folder:
            theirs, told = _theirs(python, Path(folder), chosen)
        pipeline.process_window([chosen[0].frame], 0)
        ours, spent = {}, {}
        for picture in chosen:
            begun = time.process_time()
            result = pipeline.process_window([picture.frame], 0)
            spent[picture.name] = time.process_time() - begun
            ours[picture.name] = engines.luma(result)
        memory = engines.peak_memory()
        for engine, results, seconds, peak in (
            (PACKAGE, theirs, told["seconds"], told["memory"]), (OURS, ours, spent, memory),
        ):  # fmt: skip
            for picture in chosen:
                luma = results[picture.name]
                apart = np.abs(np.rint(ours[picture.name]) - np.rint(theirs[picture.name])).mean()
                rows.append(
                    {
                        "engine": engine, "set": name, "picture": picture.name,
                        "megapixels": f"{luma.size / 1e6:.6f}", "seconds": f"{seconds[picture.name]:.4f}",
                        "memory_mb": "" if peak is None else f"{peak / 1e6:.0f}",
                        **engines.score(luma, picture), "mean_difference": f"{apart:.3f}", "processor": processor(),
                    }
                )  # fmt: skip
    with out.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print("\n".join(told_of(rows)))


def told_of(rows: Sequence[dict[str, str]]) -> list[str]:
    """Seconds a megapixel of both, the ratio with its interval, and both qualities, set by set."""
    lines = []
    for name in dict.fromkeys(row["set"] for row in rows):
        seconds, cells = {}, []
        for engine in (PACKAGE, OURS):
            own = [row for row in rows if (row["engine"], row["set"]) == (engine, name)]
            rate = {row["picture"]: float(row["seconds"]) / float(row["megapixels"]) for row in own}
            seconds[engine] = rate
            psnr, lpips = (float(np.mean([float(row[key]) for row in own])) for key in ("psnr_y", "lpips"))
            cells.append(f"{engine}: {np.mean(list(rate.values())):.2f} s/MP, {psnr:.2f} dB, LPIPS {lpips:.3f}")
        ratio = share_left(seconds[OURS], seconds[PACKAGE])
        lines.append(f"{name}: {'; '.join(cells)}; ratio {'–' if ratio is None else ratio.shown(2, sign=False)}")
    return lines
