"""Measure multi-x1 on scenes that it never saw, against the recording itself, single-x1 and the fusion that it refines.

    python models/multi-x1/evaluate.py --scenes DIR --out DIR [--most N]

Scenes, settings, truth and table are those of ``models/light-x4/evaluate.py`` at scale 1, but of every picture the
middle alone is recorded. All nine frames are fused, as the stage ``refined-fusion`` does it; the quantisers are told
where the bitstream tells them. Writes ``measured.csv``.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "light-x4"))

import cv2
import numpy as np
from evaluate import MARGIN, TABLE_CRF, UNCHANGED, Score, scenes, scored, settings, summary  # of light-x4
from recordings import FRAMES

from forensic.fusion.aligned import averaged
from forensic.fusion.fuse import fuse
from forensic.fusion.options import DEFAULT_PSF, FusionOptions
from forensic.registry.architectures.refiner.network import SHARPER
from forensic.registry.cards import load_card
from forensic.registry.loading import LoadedModel, load_model
from forensic.registry.refining import refined
from forensic.simulation.simulator import Recording, simulate

MODEL, SINGLE, FUSION, KNOWN = "multi-x1", "single-x1", "fusion (stage)", "multi-x1, blur known"
CUT = (192, 256)  # scene pixels, rows and columns, without margins
UNSURE, SURE = 0.5, 0.05  # what is told of the blur's error: the stage's default, and the least there is
BLUR = FusionOptions(scale=1, psf_sigma=DEFAULT_PSF, second_sigma=SHARPER * DEFAULT_PSF, even_priors=True)


def results(recording: Recording, model: LoadedModel) -> dict[str, np.ndarray]:
    """What every method makes of the middle frame, float32; the first is the reference."""
    at, told = recording.reference, recording.degradation.codec.name == "h264"
    frames = [np.ascontiguousarray(one, np.float32) for one in recording.frames]
    fused = fuse(frames, at, replace(BLUR, quantisers=recording.qp if told else ()))
    alone = [
        model.upscale_luma_tiled(one, 256, model.radius) if place == at or fused.weights[place].any() else None
        for place, one in enumerate(frames)
    ]
    mean, spread = averaged(alone, fused, at)
    own, second, quantiser = alone[at], fused.second, recording.qp[at] if told else None
    assert own is not None and second is not None
    enlarged = np.stack([own, mean, fused.luma, second, spread])
    made = {
        name: refined(model, frames[at], enlarged, fused.effective, quantiser, DEFAULT_PSF, doubt)
        for name, doubt in ((MODEL, UNSURE), (KNOWN, SURE))
    }
    return {UNCHANGED: frames[at], SINGLE: own, FUSION: fused.luma, **made}


def middle(scene: np.ndarray) -> np.ndarray:
    """The middle of a scene, with margins."""
    places = [(have - want - 2 * MARGIN) // 2 for have, want in zip(scene.shape, CUT, strict=True)]
    rows, columns = (slice(at, at + want + 2 * MARGIN) for at, want in zip(places, CUT, strict=True))
    return scene[rows, columns]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=Path, required=True, help="folder of pictures (JPEG, PNG)")
    parser.add_argument("--out", type=Path, required=True, help="folder for measured.csv")
    parser.add_argument("--most", type=int, default=10_000, help="use the first N scenes only")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    model = load_model(load_card(MODEL))  # sets torch up: one thread, deterministic
    wanted = ["no codec" if crf is None else f"H.264 CRF {crf}" for crf in TABLE_CRF]
    found: dict[str, dict[str, list[Score]]] = {setting: {} for setting in wanted}
    for number, (_, scene) in enumerate(scenes(arguments.scenes, arguments.most)):
        for setting, how in settings(number, 2):
            if setting not in found:
                continue
            recording = simulate(middle(scene), how, FRAMES, number, margin=MARGIN)
            for method, picture in results(recording, model).items():
                score = scored(lambda _, picture=picture: picture, recording, 1)
                found[setting].setdefault(method, []).append(score)
    rows = [row for setting, each in found.items() for row in summary(setting, each)]
    with (arguments.out / "measured.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(
            (
                "setting", "method", "n", "psnr_y_db", "ssim_y", "psnr_b_db", "edge_overshoot", "gain_db",
                "gain_95_half_width", "worse_than_recording", "worst_gain_db",
            )
        )  # fmt: skip
        writer.writerows(rows)


if __name__ == "__main__":
    main()
