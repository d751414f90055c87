"""The measurement of registered pairs: enlarged and mapped as a run does, then held against the reference."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from forensic.case.calibrating.part import part_of, truth_of
from forensic.case.calibrating.preparing import Prepared, Unit
from forensic.case.calibrating.reading import Seen, Taken, take
from forensic.case.progress import Progress
from forensic.errors import BadInput, UsageError, VerificationFailed
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, Coding, FrameTiming, Geometry, WorkingFrame
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.risk.calibration import evidence
from forensic.risk.calibration.aligning import truth_for
from forensic.risk.calibration.counting import mapped
from forensic.risk.calibration.drawn import Region, measured
from forensic.risk.dihedral import dispersion
from forensic.risk.head import Head
from forensic.stages.pipeline import Pipeline

_TRIAL = (64, 48)  # recorded columns and rows
PASSES, PASSES_LEARNED = 9, 1
"""How often the model runs for a pair: once, and eight times turned; with the learned score only once."""


@dataclass(frozen=True)
class Pace:
    """How long one pair of so many recorded ``pixels`` took."""

    seconds: float
    pixels: int


def trial(pipeline: Pipeline, head: Head | None) -> Pace:
    """Measure a small made-up pair as :func:`measure` does, for the time that it takes; what comes out is dropped.

    What cannot work here at all fails now, and not after the registration.
    """
    columns, rows = _TRIAL
    plane = np.add.outer(np.arange(rows), np.arange(columns)).astype(np.float32) + np.float32(40.0)
    geometry, timing = Geometry(columns, rows, LAYOUTS["gray"]), FrameTiming(0, 0, Fraction(1, 25))
    coding = Coding("P", "h264", 28.0)
    frame = WorkingFrame((plane,), geometry, ColourSpec(full_range=True), timing, StageClass.PRESENTATION, coding)
    seconds = 0.0
    for _ in range(2):  # the first time weights are read and memory is taken
        start = time.monotonic()
        output = pipeline.process_window([frame], 0).quantise()
        truth = np.zeros((output.geometry.height, output.geometry.width), np.float32)
        _counts(frame, output, truth, pipeline, head)
        seconds = time.monotonic() - start
    return Pace(seconds, rows * columns)


def estimate(pace: Pace, reading: float, units: Sequence[Unit], workers: int) -> str:
    """How long the measurement will take, by a trial and the seconds that ``reading`` a pair took, before it begins."""
    sizes = [measured(pair.facts) for unit in units for pair in unit.pairs]
    pixels = sum(columns * rows for columns, rows in sizes)
    seconds = reading * len(sizes) + pace.seconds * pixels / pace.pixels / min(workers, os.cpu_count() or 1)
    return f"Measuring {len(sizes)} pairs will take about {_minutes(seconds)}, by a trial and the time of reading them"


def measure(
    folder: Path, units: Sequence[Unit], pipeline: Pipeline, head: Head | None, workers: int, progress: Progress
) -> list[dict[str, str]]:
    """The rows of ``recordings.csv``, in the order of the units, whatever the number of workers.

    Files and decoded frames must be those registered. Raises ``VerificationFailed`` (``calibration.changed``) where one
    is not, and ``calibration.not-measured`` where a registered pair gives no counts: none is left out after
    registration.
    """
    work = [(unit, pair) for unit in units for pair in unit.pairs]
    rows: list[dict[str, str]] = []
    start = time.monotonic()

    def row(item: tuple[Unit, Prepared]) -> dict[str, str]:
        unit, pair = item
        return {**_place(unit, pair), **_counted(folder, pair, pipeline, head)}

    with progress.task("Measuring", len(work), "pairs") as task, ThreadPoolExecutor(workers, "pairs") as pool:
        try:
            for done, found in enumerate(pool.map(row, work), start=1):
                rows.append(found)
                task.advance()
                if done == min(workers, len(work)) and len(work) > done:
                    left = (time.monotonic() - start) / done * (len(work) - done)
                    progress.say(f"About {_minutes(left)} more, by the first {done} of {len(work)} pairs")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return rows


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{max(seconds, 1):.0f} seconds"


def _place(unit: Unit, pair: Prepared) -> dict[str, str]:
    known = {**pair.to_record(), "recording": unit.digest, "list": unit.which}
    return {name: str(known[name]) for name in evidence.PLACE}


def _region(pair: Prepared) -> Region | None:
    """The part of the pair that was registered to be measured; None: all of it."""
    told = pair.facts.get("region")
    return None if told is None else (told[0], told[1], told[2], told[3])


def _counted(folder: Path, pair: Prepared, pipeline: Pipeline, head: Head | None) -> dict[str, str]:
    degraded = _again(folder / pair.pair.degraded, pair.degraded)
    reference = _again(folder / pair.pair.reference, pair.reference)
    frame = degraded.frame.to_working()
    truth = truth_for(reference.frame, frame)
    region = _region(pair)
    if region is not None:
        truth = truth_of(truth, region, truth.shape[0] // frame.geometry.height)
        frame = part_of(frame, region)
    try:
        output = pipeline.process_window([frame], 0).quantise()
        return _counts(frame, output, truth, pipeline, head)
    except UsageError as error:
        raise VerificationFailed(
            "calibration.not-measured",
            f"The registered pair {pair.pair.degraded} gives no counts: {error.message}",
            "Nothing is left out after registration. Take the pair out of the folder and calibrate anew.",
        ) from error


def _counts(
    frame: WorkingFrame, output: CodedFrame, truth: np.ndarray, pipeline: Pipeline, head: Head | None
) -> dict[str, str]:
    spread = None if head is not None else dispersion(pipeline.process_window, [frame], 0)
    found = mapped(frame, output, spread, truth, head)
    return found.cells() | found.content().cells()


def _again(path: Path, seen: Seen) -> Taken:
    """The registered frame once more, if it still is that."""
    try:
        taken = take(path, seen.index, seen.sha256)
    except BadInput as error:
        raise _changed(path, error.message) from error
    if taken.seen != seen:
        raise _changed(path, "it decodes to another picture")
    return taken


def _changed(path: Path, why: str) -> VerificationFailed:
    return VerificationFailed(
        "calibration.changed",
        f"{path.name} is not what was registered: {why}.",
        "Find out who or what changed it. The registration stands; give the command again to make another.",
    )
