"""Measure multi-x4 against the fusion and the single-frame network that it is made of, on scenes it never saw.

    python models/multi-x4/compare.py --scenes DIR --out DIR [--most N]

Scenes, recordings and scores are those of ``models/light-x4/evaluate.py``: nine frames each (x4, Gaussian optics of
0.35 recorded pixels, noise, jitter of 0.5 pixels, H.264 at five strengths or no codec), the middle frame. Every method
runs as a stage through the program's pipeline; multi-x4 with the quantisers that the bitstream states, and without.
Writes ``measured.csv``: one row per setting and method, with the mean gain over the stage resize's bicubic, its 95 %
interval over scenes, and in how many scenes the method is worse.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, Coding, FrameTiming, Geometry
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.simulation.draw import draw
from forensic.simulation.simulator import Recording, simulate
from forensic.stages import catalogue
from forensic.stages.pipeline import Pipeline

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "light-x4"))
import evaluate as light
from evaluate import BICUBIC, FRAMES, MARGIN, SCALE, SEED, TABLE_CRF, Score

METHODS: dict[str, tuple[str, dict[str, object]]] = {
    BICUBIC: ("resize", {"kernel": "bicubic", "scale": float(SCALE)}),
    "light-x4": ("learned-upscale", {"model": "light-x4", "overlap": 17}),
    "fusion (stage)": ("fusion", {"scale": SCALE}),
    "multi-x4": ("refined-fusion", {"model": "multi-x4"}),
    "multi-x4, quantisers not known": ("refined-fusion", {"model": "multi-x4"}),
}


def decoded(recording: Recording, *, told: bool) -> list[CodedFrame]:
    """The recording's frames as the program's decoder hands them out; with ``told``, with how they were coded."""
    height, width = recording.frames[0].shape
    geometry, found = Geometry(width, height, LAYOUTS["gray"]), []
    for number, (frame, quantiser) in enumerate(zip(recording.frames, recording.qp, strict=True)):
        coding = None
        if told and quantiser is not None:
            coding = Coding(recording.frame_types[number], "h264", quantiser)
        found.append(
            CodedFrame(
                (np.clip(np.rint(frame), 0, 255).astype(np.uint8),), geometry, ColourSpec(full_range=True),
                FrameTiming(number, number, Fraction(1, 25)), StageClass.PRESENTATION, coding,
            )
        )  # fmt: skip
    return found


def enlarged(name: str, pipeline: Pipeline, recording: Recording) -> np.ndarray:
    """The middle frame, as float32."""
    at, frames = recording.reference, decoded(recording, told="not known" not in name)
    (output,) = pipeline.run(iter(frames), workers=1, keep=(at, at + 1))
    return output.frame.planes[0].astype(np.float32)


def rows_of(found: dict[str, dict[str, list[Score]]]) -> Sequence[list[object]]:
    """Rows of the table."""
    return [row for setting, each in found.items() for row in light.summary(setting, each)]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=Path, required=True, help="folder of pictures (JPEG, PNG)")
    parser.add_argument("--out", type=Path, required=True, help="folder for measured.csv")
    parser.add_argument("--most", type=int, default=10_000, help="use the first N scenes only")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    tools = {name: Pipeline([catalogue.build(stage, values)]) for name, (stage, values) in METHODS.items()}
    found: dict[str, dict[str, list[Score]]] = {}
    for number, (_, scene) in enumerate(light.scenes(arguments.scenes, arguments.most)):
        rng = np.random.default_rng([SEED, 2, number])
        for crf in TABLE_CRF:
            recording = simulate(scene, draw(rng, "issue-table", crf=crf), FRAMES, number, margin=MARGIN)
            for name, pipeline in tools.items():
                result = enlarged(name, pipeline, recording)
                score = light.scored(lambda _, made=result: made, recording)  # type: ignore[misc]
                found.setdefault("no codec" if crf is None else f"H.264 CRF {crf}", {}).setdefault(name, []).append(
                    score
                )
    with (arguments.out / "measured.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(
            (
                "setting", "method", "n", "psnr_y_db", "ssim_y", "psnr_b_db", "edge_overshoot", "gain_db",
                "gain_95_half_width", "worse_than_bicubic", "worst_gain_db",
            )
        )  # fmt: skip
        writer.writerows(rows_of(found))


if __name__ == "__main__":
    main()
