"""Enlarge every place with an engine, once, and keep what the measures are made of.

The generative picture goes through the program's own pipeline, and its spread through the very code that a run maps it
with. Beside it: what a run shows beside its stills (the recording interpolated) and what the fidelity model gives.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry, WorkingFrame
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.risk.dihedral import dispersion
from forensic.risk.seeds import draws_lots, seed_dispersion
from forensic.stages.catalogue import build
from forensic.stages.pipeline import Pipeline
from forensic.stages.recipe import load_recipe
from forensic.stages.stage import Stage
from tests.generative import places

FIDELITY = "light"


@dataclass(frozen=True)
class Made:
    """All planes are luma in grey levels; ``spread`` is the standard deviation over the variants, None where they were
    not made."""

    name: str
    number: int
    truth: np.ndarray
    recorded: np.ndarray
    output: np.ndarray
    spread: np.ndarray | None
    beside: np.ndarray
    fidelity: np.ndarray
    box: places.Box
    seconds: float


def gray(plane: np.ndarray, number: int = 0) -> WorkingFrame:
    """Whole grey levels as a decoded frame, gray, full range."""
    samples = np.clip(np.rint(plane), 0, 255).astype(np.uint8)
    geometry = Geometry(samples.shape[1], samples.shape[0], LAYOUTS["gray"])
    timing = FrameTiming(number, number, Fraction(1, 25))
    return CodedFrame((samples,), geometry, ColourSpec(full_range=True), timing, StageClass.PRESENTATION).to_working()


def chain(recipe: str) -> Pipeline:
    """The stages of a recipe that make luma, enlarging by four."""
    return Pipeline(stage for stage in load_recipe(recipe).bind(scale=places.FACTOR).stages if not stage.keeps_luma)


def luma(pipeline: Pipeline, frame: WorkingFrame) -> np.ndarray:
    """Luma of the result as written, uint8."""
    return np.asarray(pipeline.process_window([frame], 0).quantise().planes[0])


def make(
    place: places.Place, number: int, engine: Pipeline, stages: dict[str, Pipeline], picture: np.ndarray | None = None
) -> Made:
    """Record and enlarge one place; ``picture`` as in ``places.planted``."""
    planted = places.planted(place, number, picture)
    recording = places.recorded(planted.scene, number)
    frame = gray(recording.frames[recording.reference])
    begun = time.process_time()
    output = luma(engine, frame)
    spent = time.process_time() - begun
    truth = np.clip(np.rint(recording.truth[recording.reference]), 0, 255).astype(np.uint8)
    recorded = np.asarray(frame.quantise().planes[0])
    return Made(
        place.name, number, truth, recorded, output, None,
        luma(stages["beside"], frame), luma(stages["fidelity"], frame), planted.box, spent,
    )  # fmt: skip


def vary(made: Made, engine: Pipeline) -> Made:
    """The same with its spread: over seeds where the engine draws lots, else over mirrored and turned recordings."""
    frame = gray(made.recorded)
    if any(map(draws_lots, engine.stages)):
        found = seed_dispersion(engine.stages, [frame], 0)
    else:
        found = dispersion(engine.process_window, [frame], 0)
    return replace(made, spread=found.deviation)


def make_all(recipe: str, folder: Path) -> Iterator[Made]:
    """Every place of the list, faces and plates by turns, first without, then with its spread.

    What lies in ``folder`` already is not made again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    engine = chain(recipe)
    lanczos: Stage[Any] = build("resize", {"scale": float(places.FACTOR), "kernel": "lanczos"})
    stages = {"beside": Pipeline([lanczos]), "fidelity": chain(FIDELITY)}
    seen: dict[tuple[str, str], int] = {}
    order: list[tuple[int, int, places.Place]] = []
    for number, place in enumerate(places.listed()):
        kind = (place.kind, place.split)
        seen[kind] = turn = seen.get(kind, 0) + 1
        order.append((turn, number, place))
    order.sort(key=lambda one: one[:2])
    for _, number, place in order:
        path = folder / f"{number:03d}.npz"
        if not path.is_file():
            keep(path, make(place, number, engine, stages))
            yield load(path)
    for _, number, _place in order:
        path = folder / f"{number:03d}.npz"
        if (made := load(path)).spread is None:
            keep(path, vary(made, engine))
            yield load(path)


def keep(path: Path, made: Made) -> None:
    """Write it, whole or not at all."""
    scratch = path.with_suffix(".part")
    spread = {} if made.spread is None else {"spread": made.spread.astype(np.float32)}
    with scratch.open("wb") as stream:
        np.savez_compressed(
            stream, name=made.name, number=made.number, truth=made.truth, recorded=made.recorded, output=made.output,
            beside=made.beside, fidelity=made.fidelity, box=np.array(made.box), seconds=made.seconds, **spread,
        )  # fmt: skip
    scratch.replace(path)


def load(path: Path) -> Made:
    """Read it."""
    with np.load(path) as kept:
        x, y, w, h = (int(value) for value in kept["box"])
        return Made(
            str(kept["name"]), int(kept["number"]), kept["truth"], kept["recorded"], kept["output"],
            kept.get("spread"), kept["beside"], kept["fidelity"], (x, y, w, h),
            float(kept["seconds"]),
        )  # fmt: skip
