"""What a stage that makes one picture of many frames tells of it, as files of a run (docs/fusion.md).

``fusion/NNNNNN.weights.png``    8-bit grey, the size of the stage's input for every frame of the window, one below
                                 the other: weight in 1/255, at least 1 where there is any.
``fusion/NNNNNN.effective.png``  16-bit grey, the size of the stage's input: effective number of frames in 1/256.
``fusion/NNNNNN.even.png``       16-bit grey, the size of the stage's result: luma in 1/256 grey level, made of the
``fusion/NNNNNN.odd.png``        frames at even, and at odd, distance alone.

They belong to the frames with a risk map. Nothing is computed here that the stage does not do for the frame itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from forensic.case.layout import RunFolder
from forensic.case.plan import RunPlan
from forensic.case.storage import make_folder
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, Geometry
from forensic.frames.layout import layout_named
from forensic.frames.stageclass import StageClass
from forensic.fusion.options import SplitHalves
from forensic.media.stills import write_gray, write_numbers
from forensic.stages.combining import combining

SCHEMA = "tag:forensic-tool,2026:fusion/v1"
UNITS = 256
"""Codes of a grey level, and of a frame, in the 16-bit files."""
_MOST = 65535
_HALVES = ("even", "odd")
RESULT, BEFORE_MODEL = "result", "fusion, before the model"
NO_GENERATIVE = "the frame is of generative class, and the label in both halves would be missing from their difference"


def write_combined(
    folder: RunFolder, found: SplitHalves, written: CodedFrame
) -> tuple[dict[Path, str], dict[str, Any]]:
    """Write the files that belong to ``written``, the frame as it stands in the output.

    Returns their digests by path, and the frame's part of :func:`combined_record`. Of a frame of GENERATIVE class
    no halves are written. Raises as :func:`forensic.media.stills.write_gray`.
    """
    number, label = written.timing.index, written.stage_class.label
    make_folder(folder.fusion)
    places = {kind: folder.combined(number, kind) for kind in ("weights", "effective", *_HALVES)}
    rows, columns = found.effective.shape
    frames = [row["frame"] for row in found.report["frames"]]

    def about(what: str) -> dict[str, str]:
        return {"Title": "Fusion of frames", "Description": f"{what}; frame {number}, output class {label}"}

    shares = np.rint(found.weights * np.float32(255.0))
    shares = np.where(found.weights > 0, np.maximum(shares, 1.0), 0.0).astype(np.uint8)
    listed = ", ".join(map(str, frames))
    files = {
        places["weights"]: write_numbers(
            places["weights"],
            shares.reshape(-1, columns),
            about(f"weights in 1/255 of frames {listed}, {rows} rows each, from the top"),
        ),
        places["effective"]: write_numbers(
            places["effective"],
            np.minimum(np.rint(found.effective * np.float32(UNITS)), _MOST).astype(np.uint16),
            about("effective number of frames in 1/256"),
        ),
    }
    record: dict[str, Any] = {
        "frame": number,
        "window": frames,
        "effective_frames": found.report["effective_frames"],
        "single_frame_share": found.report["single_frame_share"],
        "files": {kind: folder.name(places[kind]) for kind in ("weights", "effective")},
        "split_half": None,
        "no_split_half": None,
    }
    if written.stage_class is StageClass.GENERATIVE:
        return files, record | {"no_split_half": NO_GENERATIVE}
    if found.halves is None:
        return files, record | {"no_split_half": found.why_none}
    stored = []
    for kind, luma in zip(_HALVES, found.halves, strict=True):
        about_half = about(f"luma in 1/256 grey level, made of the frames at {kind} distance alone")
        half, files[places[kind]] = write_gray(places[kind], _coded(luma, written), about_half)
        stored.append(half.planes[0])
        record["files"][kind] = folder.name(places[kind])
    return files, record | {"split_half": difference(*stored)}


def _coded(luma: np.ndarray, like: CodedFrame) -> CodedFrame:
    """``luma`` (grey levels) as a grey frame of 1/256 level per code, with the time and class of ``like``."""
    geometry = Geometry(luma.shape[1], luma.shape[0], layout_named("gray16le"), like.geometry.sample_aspect)
    frame = like.to_working().touched(like.stage_class, (luma,), geometry=geometry, colour=ColourSpec())
    return frame.quantise()


def difference(even: np.ndarray, odd: np.ndarray) -> dict[str, float]:
    """Mean, nearest-rank quantiles and maximum of the absolute difference, grey levels; codes of 1/256 (uint16)."""
    apart = np.abs(even.astype(np.int32) - odd).ravel()
    cumulative = np.cumsum(np.bincount(apart))
    facts = {"mean": round(float(apart.sum(dtype=np.int64)) / apart.size / UNITS, 4)}
    for name, thousandths in (("p50", 500), ("p90", 900), ("p99", 990)):
        rank = -(-thousandths * apart.size // 1000)
        facts[name] = int(np.searchsorted(cumulative, rank)) / UNITS
    return facts | {"max": int(apart.max()) / UNITS}


def combined_record(plan: RunPlan, frames: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The run's record of what was combined, or None where no stage combines frames."""
    position = combining(plan.pipeline)
    if position is None:
        return None
    stage = plan.recipe.stages[position - 1]
    earlier = [n for n, one in enumerate(plan.recipe.stages[: position - 1], start=1) if one.combines]
    return {
        "schema": SCHEMA,
        "stage": {"position": position, "name": stage.name},
        "halves_of": BEFORE_MODEL if stage.learned else RESULT,
        "not_told": earlier,
        "units_per_grey_level": UNITS,
        "units_per_frame": UNITS,
        "units_per_weight": 255,
        "frames": frames,
    }
