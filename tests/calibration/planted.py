"""Planted hallucinations: content that the scene does not have, put into an enlargement, with the score in the loop.

*detail*: strokes that the forward model cannot see (its null space), so that the output stays as consistent with the
recording as it was, in the middle of the picture. *detail in LOW*: the same, as deep inside LOW as can be, where the
honest map has any. *swap*: a plate in the scene; the output shows the enlargement of another plate recorded alike.
*erased*: a mark in the scene; the output shows the enlargement of the scene recorded without it.

A tile is planted where at least a quarter of its pixels were changed by more than 16 grey levels; it is caught if it
is not LOW. Tiles that were LOW before tell how much of that is the planting's doing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from forensic.frames.frame import CodedFrame
from forensic.fusion.conjugate_gradients import solve
from forensic.fusion.forward import ForwardModel
from forensic.risk.assessment import assess
from forensic.risk.calibration.artefact import Calibration
from forensic.risk.tiles import TILE, Level, tile_share
from forensic.stages.pipeline import Pipeline
from tests.calibration import scenes
from tests.calibration.recordings import STRATA, Enlarged, Region, Stratum, enlarged, recorded

CHANGED, SHARE = 16.0, 0.25
PLATES = ("XK7 B31", "NM4 D85")
KINDS = ("detail", "detail in LOW", "swap", "erased")
SIZE = (124, 16)  # pixels across and up of the strokes


@dataclass(frozen=True)
class Planted:
    """Tiles of one picture: planted, of these caught, of these LOW before, and of those LOW no longer."""

    kind: str
    scene: str
    stratum: str
    status: str
    tiles: int
    caught: int
    low_before: int
    low_caught: int


def _ink(shape: tuple[int, ...], text: str, at: tuple[int, int], size: float) -> np.ndarray:
    """How far characters cover each pixel, 0 to 1, float32."""
    drawn = np.zeros(shape, np.uint8)
    cv2.putText(drawn, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, 255, 2, cv2.LINE_AA)
    return drawn.astype(np.float32) / np.float32(255.0)


def _plate(scene: np.ndarray, text: str) -> np.ndarray:
    """``scene`` with a light plate of 128 x 40 pixels, dark characters, in its middle."""
    drawn = scene.copy()
    top, left = scene.shape[0] // 2 - 20, scene.shape[1] // 2 - 64
    drawn[top : top + 40, left : left + 128] = 200.0
    return drawn - np.float32(160.0) * _ink(scene.shape, text, (left + 4, top + 28), 0.85)


def _mark(scene: np.ndarray) -> np.ndarray:
    """``scene`` with a scar: a bent line 6 pixels wide, 70 grey levels off what lies under it, in its middle."""
    line = np.zeros(scene.shape, np.uint8)
    centre = (scene.shape[1] // 2, scene.shape[0] // 2)
    cv2.ellipse(line, centre, (40, 24), 20.0, 0.0, 200.0, 255, 6, cv2.LINE_AA)
    off = np.where(scene > 127.0, np.float32(-70.0), np.float32(70.0))
    return scene + line.astype(np.float32) / np.float32(255.0) * off


def _invisible(detail: np.ndarray, forward: ForwardModel) -> np.ndarray:
    seen = solve(forward.gram, forward.apply(detail), iterations=100, tolerance=1e-5).x
    return np.asarray(detail - forward.adjoint(seen))


def _shown(output: CodedFrame, luma: np.ndarray) -> CodedFrame:
    plane = np.clip(np.rint(luma), 0, 255).astype(np.uint8)
    planes = (plane, *output.planes[1:])
    return CodedFrame(planes, output.geometry, output.colour, output.timing, output.stage_class, output.coding)


def _detail(made: Enlarged, centre: tuple[int, int]) -> np.ndarray:
    """The luma with characters around ``centre`` (x, y), less all that the forward model can see."""
    luma = made.output.to_working().luma
    at = (centre[0] - SIZE[0] // 2, centre[1] + SIZE[1] // 2)
    strokes = np.float32(90.0) * _ink(luma.shape, PLATES[0], at, 0.9)
    return luma + _invisible(strokes, ForwardModel.between(made.frame.geometry, made.output.geometry))


def _inside_low(low: np.ndarray) -> tuple[int, int] | None:
    """Middle (x, y), in output pixels, of the tile deepest inside LOW; None where nothing is LOW."""
    if not low.any():
        return None
    depth = cv2.distanceTransform(np.pad(low.astype(np.uint8), 1), cv2.DIST_C, 3)[1:-1, 1:-1]
    row, column = divmod(int(depth.argmax()), low.shape[1])
    return column * TILE + TILE // 2, row * TILE + TILE // 2


def pair_of(
    kind: str, pictures: list[np.ndarray], number: int, stratum: Stratum, pipeline: Pipeline, calibration: Calibration
) -> tuple[Enlarged, np.ndarray] | None:
    """An honest enlargement, and the luma that is put in its place; None where the kind cannot be planted."""
    scene, scale = pictures[number], calibration.subject.scale

    def record(shown: np.ndarray) -> Region | None:
        changed = [*pictures[:number], shown, *pictures[number + 1 :]]
        return recorded(changed, number, stratum, "test", scale, centred=True)

    recording = record(_plate(scene, PLATES[0]) if kind == "swap" else _mark(scene) if kind == "erased" else scene)
    if recording is None:
        return None
    made = enlarged(recording, pipeline)
    if kind == "detail":
        return made, _detail(made, (made.output.geometry.width // 2, made.output.geometry.height // 2))
    if kind == "detail in LOW":
        honest = assess(made.frame, made.output, calibration=calibration, halves=made.halves)
        centre = _inside_low(honest.levels == Level.LOW)
        return None if centre is None else (made, _detail(made, centre))
    other = record(scene if kind == "erased" else _plate(scene, PLATES[1]))
    if other is None or (other.box, other.degradation) != (recording.box, recording.degradation):
        return None  # drawn another number of times
    return made, enlarged(other, pipeline).output.to_working().luma


def held_against(
    kind: str, scene: str, stratum: Stratum, pair: tuple[Enlarged, np.ndarray], calibration: Calibration
) -> Planted:
    """Map the honest and the planted output as a run does, and count."""
    made, luma = pair
    false = _shown(made.output, luma)
    changed = np.abs(false.to_working().luma - made.output.to_working().luma) > CHANGED
    tiles = tile_share(changed) >= SHARE
    before = assess(made.frame, made.output, calibration=calibration, halves=made.halves)
    after = assess(made.frame, false, calibration=calibration, halves=made.halves)
    low, still = before.levels == Level.LOW, after.levels == Level.LOW
    return Planted(
        kind, scene, stratum.name, after.status, int(tiles.sum()), int((tiles & ~still).sum()),
        int((tiles & low).sum()), int((tiles & low & ~still).sum()),
    )  # fmt: skip


def planted(pipeline: Pipeline, calibration: Calibration, most: int) -> Iterator[Planted]:
    """Plant every kind in the first ``most`` test scenes of every stratum in which it can be planted."""
    pictures = scenes.pictures("test")
    for kind in KINDS:
        for stratum in STRATA:
            done = 0
            for number, scene in enumerate(scenes.listed("test")):
                if done == most:
                    break
                pair = pair_of(kind, pictures, number, stratum, pipeline, calibration)
                if pair is not None:
                    done += 1
                    yield held_against(kind, scene.file, stratum, pair, calibration)
