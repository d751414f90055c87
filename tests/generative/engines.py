"""Every way to enlarge four times on the same pictures: LPIPS, PSNR-Y, SSIM-Y, processor time, memory.

Each engine runs in a process of its own, on one thread, picture by picture through the program's pipeline; a picture
that is in the table already, measured with the same settings, is not made again. Luma is ITU-R BT.601, 16 to 235, for
the colour pictures of Set5 and Set14 (reduced four times by the antialiased cubic kernel of MATLAB's ``imresize``), and
the recorded luma for the recordings of BSDS500 test (``tests/fidelity/cells.py``, nothing moves). LPIPS is of luma.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from forensic.case.cost import peak_memory
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry, WorkingFrame
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.stages.catalogue import build
from forensic.stages.pipeline import Pipeline
from forensic.stages.recipe import load_recipe, recipe_names
from forensic.validation.fidelity import inside, psnr, ssim
from tests.fidelity import scenes
from tests.fidelity.cells import BORDER, MIDDLE, Cell
from tests.fidelity.cost import processor
from tests.fidelity.statistics import bootstrap, difference
from tests.footage import shared_data

FACTOR = 4
BICUBIC = "bicubic"
#: In the order of the table; those whose recipe or weights are not here are left out, and said to be.
ENGINES = (
    BICUBIC, "light", "single", "creative-gan", "creative-gan (bfloat16)", "creative-gan-drawn",
    "creative-diffusion", "creative-diffusion (4 steps)", "creative-diffusion (bfloat16)",
)  # fmt: skip
#: What the words in brackets change, in the stage that has such a parameter.
VARIANTS: dict[str, dict[str, Any]] = {"bfloat16": {"precision": "bfloat16"}, "4 steps": {"steps": 4}}
SETS = ("set5", "recorded-none", "recorded-28", "set14")
RECORDED = 12  # scenes of BSDS500 test
FIELDS = (
    "engine", "settings", "set", "picture", "megapixels", "seconds", "memory_mb", "psnr_y", "ssim_y", "lpips",
    "processor",
)  # fmt: skip
Row = dict[str, str]


@dataclass(frozen=True)
class Picture:
    """What an engine gets, and the luma that is true; ``border``: output pixels that are not compared."""

    name: str
    frame: WorkingFrame
    truth: np.ndarray
    border: int


def frame_of(planes: tuple[np.ndarray, ...], layout: str) -> WorkingFrame:
    """Whole 8-bit samples as a decoded frame, full range."""
    geometry = Geometry(planes[0].shape[1], planes[0].shape[0], LAYOUTS[layout])
    colour, timing = ColourSpec(full_range=True), FrameTiming(0, 0, Fraction(1, 25))
    coded = tuple(np.ascontiguousarray(plane, np.uint8) for plane in planes)
    return CodedFrame(coded, geometry, colour, timing, StageClass.PRESENTATION).to_working()


def luma_of(rgb: np.ndarray) -> np.ndarray:
    """BT.601 luma, 16 to 235, float64, of 8-bit RGB [H, W, 3]."""
    luma: np.ndarray = 16 + (rgb.astype(np.float64) @ np.array([65.481, 128.553, 24.966])) / 255
    return luma


def _cubic(length: int) -> np.ndarray:
    """Matrix [length / 4, length] of the antialiased cubic reduction (Keys, a = -1/2), borders mirrored."""
    centre = (np.arange(length // FACTOR) + 0.5) * FACTOR - 0.5
    places = np.floor(centre[:, None] - 2 * FACTOR).astype(int) + 1 + np.arange(4 * FACTOR)[None, :]
    distance = np.abs(places - centre[:, None]) / FACTOR
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weight = np.where(distance <= 1, near, np.where(distance <= 2, far, 0.0))
    mirrored = places % (2 * length)
    mirrored = np.where(mirrored < length, mirrored, 2 * length - 1 - mirrored)
    matrix = np.zeros((length // FACTOR, length))
    np.add.at(matrix, (np.arange(length // FACTOR)[:, None], mirrored), weight / weight.sum(axis=1, keepdims=True))
    return matrix


def reduced(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """8-bit RGB cut to multiples of four, and what is left of it after the reduction."""
    rows, columns = (side - side % FACTOR for side in rgb.shape[:2])
    whole = rgb[:rows, :columns]
    down, across = _cubic(rows), _cubic(columns)
    small = np.stack([down @ whole[..., c].astype(np.float64) @ across.T for c in range(3)], -1)
    return whole, np.clip(np.rint(small), 0, 255).astype(np.uint8)


def pictures(name: str) -> Iterator[Picture]:
    """The pictures of a set. Raises ``SceneMissing`` where they are not here."""
    if name.startswith("recorded-"):
        cell = Cell(FACTOR, "static", name.removeprefix("recorded-"))
        for number, scene in enumerate(scenes.listed()[:RECORDED]):
            recording = cell.record(scene, number)
            frame = frame_of((np.clip(np.rint(recording.frames[MIDDLE]), 0, 255),), "gray")
            yield Picture(scene.file, frame, recording.truth[MIDDLE], BORDER * FACTOR)
        return
    shared = shared_data()
    if shared is None or not (shared / name).is_dir():
        raise scenes.SceneMissing(f"{name} is not on this machine")
    for path in sorted((shared / name).glob("*.png")):
        whole, small = reduced(cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))
        frame = frame_of(tuple(small[..., channel] for channel in range(3)), "rgb24")
        yield Picture(path.name, frame, luma_of(whole), FACTOR)


def pipeline(engine: str) -> Pipeline:
    """The engine's stages. Raises ``ForensicError`` where it cannot be built here."""
    if engine == BICUBIC:
        return Pipeline([build("resize", {"scale": float(FACTOR), "kernel": "bicubic"})])
    recipe, _, variant = engine.partition(" (")
    changes = VARIANTS[variant.removesuffix(")")] if variant else {}
    stages = (stage for stage in load_recipe(recipe).bind(scale=FACTOR).stages if not stage.keeps_luma)
    return Pipeline(
        stage.varied(**changes) if changes.keys() <= type(stage.parameters).model_fields.keys() else stage
        for stage in stages
    )


def settings(made: Pipeline) -> str:
    """Short digest of stages, parameters and weights: what tells one version of an engine from another."""
    found = []
    for stage in made.stages:
        told = stage.record()
        model = told["model"] and {key: told["model"].get(key) for key in ("id", "weights_sha256")}
        found.append([told["name"], told["parameters"], model])
    return hashlib.sha256(json.dumps(found, sort_keys=True, default=str).encode()).hexdigest()[:12]


def luma(made: WorkingFrame) -> np.ndarray:
    """Luma of a result as it would be written, of 16 to 235 where it is in colour."""
    coded = made.quantise()
    if coded.geometry.layout.family == "rgb":
        return luma_of(np.stack(coded.planes, axis=-1))
    return np.asarray(coded.planes[0], np.float64)


def score(result: np.ndarray, picture: Picture) -> dict[str, str]:
    """PSNR, SSIM, and LPIPS of rounded luma without the border."""
    from forensic.validation.perceptual import lpips

    rounded, truth = (
        inside(np.clip(np.rint(plane), 0, 255).astype(np.float32), picture.border) for plane in (result, picture.truth)
    )
    values = {"psnr_y": psnr(rounded, truth), "ssim_y": ssim(rounded, truth), "lpips": lpips(rounded, truth)}
    return {key: f"{value:.4f}" for key, value in values.items()}


def read(path: Path) -> list[Row]:
    """Rows of a table; none where there is none."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def measure_here(engine: str, path: Path, sets: Sequence[str]) -> None:
    """Measure one engine, in this process, on one thread; rows are appended once all is enlarged."""
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    made = pipeline(engine)
    about = settings(made)
    done = {(row["set"], row["picture"]) for row in read(path) if (row["engine"], row["settings"]) == (engine, about)}
    due = [(name, picture) for name in sets for picture in pictures(name) if (name, picture.name) not in done]
    if due:
        smallest = min((picture.frame for _, picture in due), key=lambda frame: frame.luma.size)
        made.process_window([smallest], 0)  # loads what there is to load
    results, memory = [], None
    for name, picture in due:
        begun = time.process_time()
        result = made.process_window([picture.frame], 0)
        results.append((name, picture, luma(result), time.process_time() - begun))
        memory = peak_memory()  # before LPIPS brings its own network
        print(engine, name, picture.name, f"{results[-1][3]:.2f} s", flush=True)
    for name, picture, result, spent in results:
        row = {
            "engine": engine, "settings": about, "set": name, "picture": picture.name,
            "megapixels": f"{result.size / 1e6:.6f}", "seconds": f"{spent:.4f}",
            "memory_mb": "" if memory is None else f"{memory / 1e6:.0f}",
            **score(result, picture), "processor": processor(),
        }  # fmt: skip
        _append(path, row)
    print(f"{engine}: {len(results)} pictures", flush=True)


def _append(path: Path, row: Row) -> None:
    begins = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        if begins:
            writer.writeheader()
        writer.writerow(row)


def measure(path: Path, engines: Sequence[str], sets: Sequence[str]) -> None:
    """Each engine in a process of its own: its memory is then its own."""
    for engine in engines:
        if engine != BICUBIC and engine.partition(" (")[0] not in recipe_names():
            print(f"{engine}: there is no such recipe here", flush=True)
            continue
        command = [sys.executable, "-m", "tests.generative", "engine", engine, "--out", str(path)]
        subprocess.run([*command, "--sets", ",".join(sets)], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def table(rows: Sequence[Row]) -> list[str]:
    """Markdown rows: means over each set, and the difference to bicubic with its 95 % interval (bootstrap)."""
    lines = []
    for name in SETS:
        of_set = [row for row in rows if row["set"] == name]
        base = {row["picture"]: float(row["lpips"]) for row in of_set if row["engine"] == BICUBIC}
        for engine in ENGINES:
            own = [row for row in of_set if row["engine"] == engine]
            if not own:
                continue
            mean = {key: bootstrap([float(row[key]) for row in own]).mean for key in ("psnr_y", "ssim_y", "lpips")}
            less = difference({row["picture"]: float(row["lpips"]) for row in own}, base)
            rate = sum(float(row["seconds"]) for row in own) / sum(float(row["megapixels"]) for row in own)
            memory = max((float(row["memory_mb"]) for row in own if row["memory_mb"]), default=float("nan"))
            told = "–" if engine == BICUBIC or less is None else less.shown(3)
            lines.append(
                f"| {name} | {engine} | {len(own)} | {mean['lpips']:.3f} | {told} | {mean['psnr_y']:.2f} | "
                f"{mean['ssim_y']:.4f} | {rate:.2f} | {memory:.0f} |"
            )
    return lines
