"""Planted hallucinations: content that the scene does not have, put into an enlargement, with the score in the loop.

*detail*: strokes that the forward model cannot see (its null space), so that the output stays as consistent with the
recording as it was, in the middle of the picture. *detail in LOW*: the same, as deep inside LOW as can be, where the
honest map has any. *swap*: a plate in the scene; the output shows the enlargement of another plate recorded alike.
*erased*: a mark in the scene; the output shows the enlargement of the scene recorded without it.

Plates and marks as bold as these are hardly ever LOW. *swap in LOW*, *erased in LOW*: soft characters, or a soft stain,
faint enough (32 grey levels) for the honest map to keep LOW over them, where LOW is deepest. *..., gate silent*: the
same, with what the forward model sees of the change weakened until the domain's gate has nothing to say (what it does
not see is left whole), so that only the score can tell.

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
from forensic.risk.calibration.judging import CALIBRATED
from forensic.risk.tiles import TILE, Level, tile_share
from forensic.stages.pipeline import Pipeline
from tests.calibration import scenes
from tests.calibration.recordings import STRATA, Enlarged, Region, Stratum, enlarged, recorded

CHANGED, SHARE = 16.0, 0.25
PLATES = ("XK7 B31", "NM4 D85")
KINDS = ("detail", "detail in LOW", "swap", "erased")
IN_LOW = ("swap in LOW", "erased in LOW")
SILENT = ", gate silent"
FAINT = 32.0  # grey levels of what is planted in LOW
SCENES = 40  # that are tried, at most, for pictures in which something LOW is swapped or erased
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


def _soft(scene: np.ndarray, what: str, at: tuple[int, int]) -> np.ndarray:
    """``scene`` with ``what``, two characters or "stain", around ``at`` (x, y): its edges blurred, faint."""
    drawn, sigma = np.zeros(scene.shape, np.uint8), 2.0
    if what == "stain":
        cv2.ellipse(drawn, at, (24, 16), 20.0, 0.0, 360.0, 255, -1, cv2.LINE_AA)
        sigma = 4.0
    else:
        (width, height), _ = cv2.getTextSize(what, cv2.FONT_HERSHEY_SIMPLEX, 1.9, 10)
        origin = (at[0] - width // 2, at[1] + height // 2)
        cv2.putText(drawn, what, origin, cv2.FONT_HERSHEY_SIMPLEX, 1.9, 255, 10, cv2.LINE_AA)
    ink = cv2.GaussianBlur(drawn.astype(np.float32) / np.float32(255.0), (0, 0), sigma)
    drawn_in = scene + np.float32(-FAINT if scene[at[1], at[0]] > 127.0 else FAINT) * ink
    return np.clip(drawn_in, 0.0, 255.0)


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
        return _recorded(shown, pictures, number, stratum, scale)

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


@dataclass(frozen=True)
class Bare:
    """A scene recorded as it is, its enlargement, and where in the scene its LOW is deepest (x, y)."""

    recording: Region
    made: Enlarged
    at: tuple[int, int]


def _recorded(
    shown: np.ndarray, pictures: list[np.ndarray], number: int, stratum: Stratum, scale: int
) -> Region | None:
    changed = [*pictures[:number], shown, *pictures[number + 1 :]]
    return recorded(changed, number, stratum, "test", scale, centred=True)


def _bare(
    pictures: list[np.ndarray], number: int, stratum: Stratum, pipeline: Pipeline, calibration: Calibration
) -> Bare | None:
    """None where it cannot be recorded in ``stratum``, or nothing is LOW."""
    recording = _recorded(pictures[number], pictures, number, stratum, calibration.subject.scale)
    if recording is None:
        return None
    made = enlarged(recording, pipeline)
    honest = assess(made.frame, made.output, calibration=calibration, halves=made.halves)
    centre = _inside_low(honest.levels == Level.LOW)
    if centre is None:
        return None
    return Bare(recording, made, (recording.corner[0] + centre[0], recording.corner[1] + centre[1]))


def pair_in_low(
    kind: str, pictures: list[np.ndarray], number: int, stratum: Stratum, pipeline: Pipeline, bare: Bare
) -> tuple[Enlarged, np.ndarray] | None:
    """As :func:`pair_of`, for a kind of :data:`IN_LOW` and a scene of which something is LOW."""
    scale = bare.recording.recording.factor
    pair = []
    for what in ("K7", "M3") if kind == "swap in LOW" else ("stain", None):
        if what is None:
            pair.append(bare.made)
            continue
        made = _recorded(_soft(pictures[number], what, bare.at), pictures, number, stratum, scale)
        if made is None or (made.box, made.degradation) != (bare.recording.box, bare.recording.degradation):
            return None  # drawn another number of times
        pair.append(enlarged(made, pipeline))
    return pair[0], pair[1].output.to_working().luma


def _silenced(made: Enlarged, luma: np.ndarray, calibration: Calibration) -> np.ndarray:
    """``luma`` with as much of the change as leaves the recording in the domain; the honest luma where that is none."""
    honest = made.output.to_working().luma
    unseen = np.zeros_like(honest)
    if calibration.subject.scale > 1:
        forward = ForwardModel.between(made.frame.geometry, made.output.geometry)
        unseen = _invisible(luma - honest, forward)
    for part in range(10, -1, -1):
        weaker = honest + unseen + np.float32(part / 10) * (luma - honest - unseen)
        found = assess(made.frame, _shown(made.output, weaker), calibration=calibration, halves=made.halves)
        if found.status == CALIBRATED:
            return np.asarray(weaker)
    return honest


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


def planted_in_low(pipeline: Pipeline, calibration: Calibration, most: int) -> list[Planted]:
    """Swap and erase, in the test scenes of every stratum until something LOW was planted in ``most`` pictures."""
    pictures, found = scenes.pictures("test"), {kind: list[Planted]() for kind in IN_LOW}
    for stratum in STRATA:
        done = dict.fromkeys(IN_LOW, 0)
        for number, scene in list(enumerate(scenes.listed("test")))[:SCENES]:
            wanted = [kind for kind in IN_LOW if done[kind] < most]
            bare = _bare(pictures, number, stratum, pipeline, calibration) if wanted else None
            if bare is None:
                continue
            for kind in wanted:
                pair = pair_in_low(kind, pictures, number, stratum, pipeline, bare)
                if pair is not None:
                    silent = (pair[0], _silenced(*pair, calibration))
                    found[kind] += (
                        held_against(kind, scene.file, stratum, pair, calibration),
                        held_against(kind + SILENT, scene.file, stratum, silent, calibration),
                    )
                    done[kind] += found[kind][-2].low_before > 0
    return [one for kind in IN_LOW for one in found[kind]]
