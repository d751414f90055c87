"""The methods of a suite about LOW, the one label of the risk map that carries a tested claim.

The map that is judged is the one that a run left in its folder. Only planted strokes, which no run would make, are
mapped here, by the same function; that it gives the run's own map for what the run did make is the control.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from forensic.case.validating.bench import Bench, Made, Region
from forensic.errors import InternalError
from forensic.frames.frame import CodedFrame, WorkingFrame
from forensic.media.opencv import opencv
from forensic.media.sandbox.reader import SandboxedReader
from forensic.risk.assessment import STATUS, assess
from forensic.risk.calibration.artefact import Calibration
from forensic.risk.calibration.judging import WITH_LOW
from forensic.risk.calibration.shelf import shipped_for
from forensic.risk.tiles import TILE, Level
from forensic.stages.recipe import BoundRecipe, load_recipe
from forensic.validation.recordings import Simulated
from forensic.validation.riskmap import inside_low, kept, planted, planted_tiles
from forensic.validation.suite import LowStands, LowWithheld
from forensic.validation.verdicts import Case, NoCase

_NO_LOW = "its map has no LOW"


@dataclass(frozen=True)
class _Map:
    """What a run says of the middle frame: ``levels`` (uint8) per tile and the record's summary."""

    made: Made
    levels: np.ndarray
    summary: dict[str, Any]

    @property
    def low(self) -> np.ndarray:
        """Boolean per tile: LOW that its calibration speaks for."""
        return (self.levels == Level.LOW) & (self.summary["status"] in WITH_LOW)

    def facts(self) -> dict[str, Any]:
        """What to tell beside the value."""
        told = self.summary.get("calibration") or {}
        return {"status": self.summary["status"], "why": told.get("reason") or told.get("stratum") or "no calibration"}


def _map(bench: Bench, simulated: Simulated, recipe: str, region: Region | None) -> _Map:
    frame = simulated.recording.reference
    made = bench.made(simulated, recipe, (frame, frame + 1), region=region)
    cv2 = opencv()
    picture = cv2.imread(str(made.folder.level_map(frame)), cv2.IMREAD_UNCHANGED)
    found = [one["summary"] for one in made.predicate["risk"]["frames"] if one["frame"] == frame]
    if picture is None or len(found) != 1:
        raise InternalError("validation.bench", f"The bench's run {made.folder.root.name} has no map of its one frame.")
    return _Map(made, picture[::TILE, ::TILE], found[0])


def _region(method: LowStands | LowWithheld) -> Region | None:
    if method.region is None:
        return None
    x, y, width, height = method.region
    return x, y, width, height


def low_present(bench: Bench, method: LowStands) -> list[Case | NoCase]:
    """1 for every recording in whose map there is LOW that the calibration speaks for."""
    cases: list[Case | NoCase] = []
    for simulated in bench.recordings(method.condition):
        found = _map(bench, simulated, method.recipe, _region(method))
        share = round(float(found.low.mean()), 4)
        cases.append(Case(simulated.scene, float(found.low.any()), {"share of LOW tiles": share, **found.facts()}))
    return cases


def low_kept(bench: Bench, method: LowStands) -> list[Case | NoCase]:
    """1 for every recording with LOW in which LOW keeps every claim of the calibration against the truth."""
    cases: list[Case | NoCase] = []
    for simulated in bench.recordings(method.condition):
        found = _map(bench, simulated, method.recipe, _region(method))
        if not found.low.any():
            cases.append(NoCase(simulated.scene, _NO_LOW))
            continue
        calibration, factor = _calibration(_bound(simulated, method)), simulated.recording.factor
        x, y, width, height = (factor * side for side in method.region)
        truth = simulated.recording.truth[simulated.recording.reference][y : y + height, x : x + width]
        one = kept(found.low, found.made.planes[0], truth, calibration.claims, factor)
        wrong = {f"LOW off by more than {level}": round(count / one.low, 5) for level, count in one.wrong.items()}
        told = {"share of LOW pixels": round(one.low / one.pixels, 4), **wrong, "largest wrong area, px": one.largest}
        failed = ", ".join(one.failed) or "none"
        cases.append(Case(simulated.scene, float(not one.failed), {**told, "claims failed": failed}))
    return cases


def low_planted(bench: Bench, method: LowStands) -> list[Case | NoCase]:
    """LOW tiles among those that show planted strokes; the strokes lie as deep inside LOW as can be."""
    return [_planted(bench, simulated, method) for simulated in bench.recordings(method.condition)]


def _planted(bench: Bench, simulated: Simulated, method: LowStands) -> Case | NoCase:
    found = _map(bench, simulated, method.recipe, _region(method))
    centre = inside_low(found.low)
    if centre is None:
        return NoCase(simulated.scene, _NO_LOW)
    bound = _bound(simulated, method)
    calibration = _calibration(bound)
    reference = _reference(bench, simulated, bound)
    honest = _output(found.made, reference)
    again = assess(reference, honest, calibration=calibration).levels
    if not np.array_equal(again, found.levels):
        # A map of anything else made here would show nothing about the maps that runs make.
        return Case(simulated.scene, float("nan"), {"control": "the run's output has another map here"})
    false = planted(honest, reference.geometry, centre)
    tiles = planted_tiles(honest, false)
    before = int((tiles & found.low).sum())
    if not before:
        return NoCase(simulated.scene, "no tile in which strokes could be planted was LOW")
    after = assess(reference, false, calibration=calibration)
    still = int((tiles & (after.levels == Level.LOW)).sum())
    told = {"planted tiles": int(tiles.sum()), "LOW before": before, "status": after.status, "control": "the run's map"}
    return Case(simulated.scene, float(still), told)


def _bound(simulated: Simulated, method: LowStands) -> BoundRecipe:
    return load_recipe(method.recipe).bind(scale=simulated.recording.factor, roi=_region(method))


def _calibration(bound: BoundRecipe) -> Calibration:
    """The one that the run used, of which its map had LOW."""
    found = shipped_for(bound.stages)
    if found is None:
        raise InternalError("validation.bench", "A map has LOW by a calibration that is not there.")
    return found


def _reference(bench: Bench, simulated: Simulated, bound: BoundRecipe) -> WorkingFrame:
    """The middle frame as the run's map compares with it."""
    with SandboxedReader(bench.exhibit(simulated).original, coding=True) as reader:
        for frame in reader.frames():
            if frame.timing.index == simulated.recording.reference:
                return bound.pipeline.reference_picture(frame.to_working(), ())
    raise InternalError("validation.bench", "The bench's exhibit has lost its middle frame.")


def _output(made: Made, reference: WorkingFrame) -> CodedFrame:
    """The one frame that the run wrote, with the time and class that it had when it was mapped."""
    with SandboxedReader(made.folder.output) as reader:
        (frame,) = reader.frames()
    return CodedFrame(frame.planes, frame.geometry, frame.colour, reference.timing, frame.stage_class, frame.coding)


def low_withheld(bench: Bench, method: LowWithheld) -> list[Case | NoCase]:
    """1 for every recording whose map gives no LOW that anything is claimed of, as the method expects."""
    cases: list[Case | NoCase] = []
    for simulated in bench.recordings(method.condition):
        found = _map(bench, simulated, method.recipe, _region(method))
        tiles, cited = int((found.levels == Level.LOW).sum()), found.summary.get("calibration")
        if method.expect == "no-low":
            held = cited is not None and not tiles and not cited["statements"]
        else:
            held = cited is None and found.summary["status"] == STATUS
        facts = {"LOW tiles": tiles, **found.facts()}
        cases.append(Case(simulated.scene, float(held), facts))
    return cases
