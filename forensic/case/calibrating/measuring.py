"""The measurement of registered pairs: enlarged and mapped as a run does, then held against the reference."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from forensic.case.calibrating.preparing import Prepared, Unit
from forensic.case.calibrating.reading import Seen, Taken, take
from forensic.case.progress import Progress
from forensic.errors import BadInput, UsageError, VerificationFailed
from forensic.risk.calibration import evidence
from forensic.risk.calibration.alignment import truth_for
from forensic.risk.calibration.counting import mapped
from forensic.risk.dihedral import dispersion
from forensic.risk.head import Head
from forensic.stages.pipeline import Pipeline

PASSES, PASSES_LEARNED = 9, 25
"""How often the model runs for a pair: once, eight times turned; with the learned score 16 times more."""


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


def _counted(folder: Path, pair: Prepared, pipeline: Pipeline, head: Head | None) -> dict[str, str]:
    degraded = _again(folder / pair.pair.degraded, pair.degraded)
    reference = _again(folder / pair.pair.reference, pair.reference)
    frame = degraded.frame.to_working()
    truth = truth_for(reference.frame, frame)
    try:
        output = pipeline.process_window([frame], 0).quantise()
        spread = dispersion(pipeline.process_window, [frame], 0, bootstrap=head is not None)
        return mapped(frame, output, spread, truth, head).cells()
    except UsageError as error:
        raise VerificationFailed(
            "calibration.not-measured",
            f"The registered pair {pair.pair.degraded} gives no counts: {error.message}",
            "Nothing is left out after registration. Take the pair out of the folder and calibrate anew.",
        ) from error


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
