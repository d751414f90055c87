"""Measure colour-x4, or a sibling, against interpolation of colour on scenes that it never saw.

    python models/colour-x4/evaluate.py --scenes DIR --weights FILE --out DIR [--most N]

Every fifth picture of ``DIR``, in the order of their names, is a scene (of BSDS500's test pictures those of the
fidelity benchmark). Each is recorded in colour as nine frames, sampled by the model's scale, as the issue's table says
(Gaussian optics of 0.35 recorded pixels, Poisson-Gaussian noise, jitter of 0.5 pixels), coded as 4:2:0 with H.264 at
four strengths or not at all, and under some settings that were trained little. The middle frame is enlarged as the
program does it (luma by single-x4, where nothing else is said), rounded to 8 bits, and its chroma compared with that of
the scene, four recorded pixels at the border left out. PSNR is of the mean squared error over Cb and Cr; CIEDE2000 is
the mean over pixels of the difference to the scene's colour, where both have the scene's luma, so that colour alone
counts.

Writes ``measured.csv`` (one row per setting and method, with the mean gain over Lanczos interpolation, which the stages
use, its 95 % interval over scenes, and in how many scenes the method is worse) and ``shift.csv``: how far the mean
colour of even patches moves. For scale 1 the scene is sampled by two, as optics act on finer things than pixels.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import examples
import numpy as np
import safetensors.torch
import torch
from examples import CENTRED, true_chroma
from train import ARCHITECTURE, Plan

from forensic.frames.colour import ColourSpec, to_rgb
from forensic.frames.layout import LAYOUTS
from forensic.registry.architectures.catalogue import build
from forensic.registry.architectures.chroma.network import GuidedChroma
from forensic.registry.cards import load_card
from forensic.registry.loading import load_model
from forensic.simulation.degradation import Codec, Degradation, Sampling, Sensor
from forensic.simulation.draw import draw
from forensic.simulation.sensor import area_mean
from forensic.simulation.simulator import Recording, simulate
from forensic.validation.colour import ciede2000, lab
from forensic.validation.fidelity import decibels, inside

EVERY = 5  # picture of the folder
BORDER = 4  # recorded pixels
MARGIN = 16  # scene pixels that the camera's motion may uncover
FRAMES = 9
TABLE_CRF: tuple[int | None, ...] = (None, 20, 28, 35, 40)
LANCZOS, BICUBIC = "Lanczos (as the stages)", "bicubic"
PATCHES, PATCH = (2, 3), 192  # even patches of the colour shift, scene pixels on a side at scale 4
SEEDS = 3
MIDDLE = 1 / 3  # of a patch, each way: what is measured sees nothing of the next patch


@dataclass(frozen=True)
class Score:
    """Mean squared errors of Cb and Cr, and mean CIEDE2000 with the true luma."""

    blue: float
    red: float
    difference: float

    @property
    def psnr(self) -> float:
        """Of both planes together."""
        return decibels((self.blue + self.red) / 2)


class Measured:
    """A model with its weights, and the luma models that it is measured behind."""

    def __init__(self, name: str, plan: Plan, weights: bytes) -> None:
        network = build(ARCHITECTURE, 1, {"enlarged": plan.scale, **plan.hyperparameters})
        assert isinstance(network, GuidedChroma)
        network.load_state_dict(safetensors.torch.load(weights), strict=True)
        self.name, self.scale, self.network = name, plan.scale, network.eval().requires_grad_(False)
        self.lumas = [load_model(load_card(f"{kind}-x{plan.scale}")) for kind in ("single", "light")]

    def results(self, recording: Recording, frame: int) -> dict[str, np.ndarray]:
        """Chroma by every method, float32 [2, sH, sW]; the first is the reference."""
        assert recording.chroma is not None
        centred = recording.degradation.codec.name == "mjpeg"
        given = examples.interpolated(recording.chroma[frame], self.scale, centred)
        found = {LANCZOS: given}
        if self.scale > 1:
            found[BICUBIC] = examples.interpolated(recording.chroma[frame], self.scale, centred, "bicubic")
        for model in self.lumas:
            luma = model.upscale_luma(recording.frames[frame])
            behind = "" if model is self.lumas[0] else f", behind {model.card.id}"
            found[self.name + behind] = self._restored(luma, given)
        return found

    def _restored(self, luma: np.ndarray, given: np.ndarray) -> np.ndarray:
        around = self.scale * self.network.places
        planes = [
            torch.from_numpy(np.pad(each, ((0, 0), (reach, reach), (reach, reach)), mode="edge"))[None]
            for each, reach in ((luma[None], 2 * around), (given, around))
        ]
        with torch.inference_mode():
            out: np.ndarray = self.network(*planes)[0].numpy()
        return out


def scenes(folder: Path, most: int) -> Iterator[np.ndarray]:
    """Every fifth picture, float32 RGB, cut so that recordings are whole and even."""
    grid = 4 * examples.SCALE  # the same part of a scene at every scale
    for path in sorted([*folder.glob("*.jpg"), *folder.glob("*.png")])[::EVERY][:most]:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)[:, :, ::-1]
        rows, columns = ((side - 2 * MARGIN) // grid * grid + 2 * MARGIN for side in picture.shape[:2])
        yield np.ascontiguousarray(picture[:rows, :columns], dtype=np.float32)


def settings(number: int, factor: int) -> Iterator[tuple[str, Degradation]]:
    """Name of every setting, and what it is for scene ``number`` when sampled by ``factor``."""
    rng = np.random.default_rng([examples.SEED, 2, number])
    for crf in TABLE_CRF:
        yield "no codec" if crf is None else f"H.264 CRF {crf}", draw(rng, "issue-table", factor=factor, crf=crf)
    yield "H.264 CRF 28, colour filter array", draw(rng, "issue-table", factor=factor, bayer=True)
    yield "H.264 CRF 28, three times the noise", draw(
        rng, "issue-table", factor=factor, sensor=Sensor(gain=0.18, read_noise=3.0)
    )  # fmt: skip
    yield "MJPEG quantiser 8", draw(rng, "issue-table", factor=factor, codec=Codec("mjpeg", quality=8))
    yield "H.265 CRF 28", draw(rng, "issue-table", factor=factor, codec=Codec("h265", crf=28.0))
    yield "no blur, noise, jitter or codec", Degradation(sampling=Sampling(factor))


def delivered(planes: np.ndarray) -> np.ndarray:
    """Rounded to 8 bits."""
    return np.clip(np.rint(planes), 0, 255).astype(np.uint8)


def scored(result: np.ndarray, recording: Recording, frame: int, scale: int) -> Score:
    """Score of chroma float32 [2, sH, sW] of a frame."""
    border = BORDER * scale // 2
    truth, shown = true_chroma(recording, frame, scale), delivered(result)
    errors = [
        float(np.mean((inside(plane, border).astype(np.float64) - inside(true, border)) ** 2))
        for plane, true in zip(shown, truth, strict=True)
    ]
    luma = delivered(area_mean(recording.truth[frame], recording.factor // scale))
    location = ColourSpec(matrix=6, full_range=True, chroma_location=CENTRED if _centred(recording) else "left")
    colours = [
        lab(inside(to_rgb((luma, *chroma), LAYOUTS["yuv420p"], location), 2 * border))
        for chroma in (shown, delivered(truth))
    ]
    return Score(errors[0], errors[1], float(ciede2000(*colours).mean()))


def _centred(recording: Recording) -> bool:
    return recording.degradation.codec.name == "mjpeg"


def shift(model: Measured, crf: int | None, noise: float, seed: int) -> dict[str, float]:
    """How far the mean Cb or Cr of an even patch is off, grey levels, largest of the patches.

    ``moved``: of the results from interpolation; ``before``, ``after``: of interpolation and results from the scene.
    """
    rng = np.random.default_rng(seed)
    factor = max(model.scale, 2)
    side = PATCH * factor // 4
    colours = rng.uniform(20, 235, (*PATCHES, 3)).astype(np.float32)
    scene = np.repeat(np.repeat(colours, side, axis=0), side, axis=1)
    how = draw(rng, "issue-table", factor=factor, crf=crf, jitter=0.0, sensor=Sensor(0.02 * noise, noise))
    recording = simulate(scene, how, 3, seed)
    step = side * model.scale // factor // 2  # chroma samples of a patch
    first, last = round(step * (1 - MIDDLE) / 2), round(step * (1 + MIDDLE) / 2)
    truth = true_chroma(recording, 1, model.scale)
    found = model.results(recording, 1)
    given = found.pop(LANCZOS)
    found.pop(BICUBIC, None)
    worst = {"moved": 0.0, "before": 0.0, "after": 0.0}
    for y, x in np.ndindex(PATCHES):
        own = (slice(None), *(slice(at * step + first, at * step + last) for at in (y, x)))
        for result in found.values():
            for name, this, other in (("moved", result, given), ("before", given, truth), ("after", result, truth)):
                worst[name] = max(worst[name], float(np.abs((this[own] - other[own]).mean(axis=(1, 2))).max()))
    return worst


def summary(setting: str, found: dict[str, list[Score]]) -> list[list[object]]:
    """Rows of the table."""
    rows: list[list[object]] = []
    reference = next(iter(found.values()))
    for method, scores in found.items():
        gains = np.array([score.psnr - other.psnr for score, other in zip(scores, reference, strict=True)])
        half = 1.96 * float(gains.std(ddof=1)) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
        blue, red, both = (
            np.mean([decibels(s.blue) for s in scores]), np.mean([decibels(s.red) for s in scores]),
            np.mean([s.psnr for s in scores]),
        )  # fmt: skip
        rows.append(
            [
                setting, method, len(scores), f"{both:.2f}", f"{blue:.2f}", f"{red:.2f}",
                f"{np.mean([s.difference for s in scores]):.3f}", f"{gains.mean():+.3f}", f"{half:.3f}",
                int((gains < 0).sum()), f"{gains.min():+.2f}",
            ]
        )  # fmt: skip
        print(*rows[-1], sep=" | ", flush=True)
    return rows


def main(name: str, plan: Plan) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=Path, required=True, help="folder of colour pictures (JPEG, PNG)")
    parser.add_argument("--weights", type=Path, required=True, help="weights.safetensors to measure")
    parser.add_argument("--out", type=Path, required=True, help="folder for measured.csv and shift.csv")
    parser.add_argument("--most", type=int, default=10_000, help="use the first N scenes only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    model = Measured(name, plan, arguments.weights.read_bytes())
    found: dict[str, dict[str, list[Score]]] = {}
    for number, scene in enumerate(scenes(arguments.scenes, arguments.most)):
        for setting, how in settings(number, max(plan.scale, 2)):
            recording = simulate(scene, how, FRAMES, number, margin=MARGIN)
            middle = recording.reference
            for method, result in model.results(recording, middle).items():
                score = scored(result, recording, middle, plan.scale)
                found.setdefault(setting, {}).setdefault(method, []).append(score)
    rows = [row for setting, each in found.items() for row in summary(setting, each)]
    with (arguments.out / "measured.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(
            (
                "setting", "method", "n", "psnr_cbcr_db", "psnr_cb_db", "psnr_cr_db", "ciede2000", "gain_db",
                "gain_95_half_width", "worse_than_interpolation", "worst_gain_db",
            )
        )  # fmt: skip
        writer.writerows(rows)
    with (arguments.out / "shift.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        names = ("moved", "before", "after")
        writer.writerow(("crf", "noise", "patches", *(f"largest_mean_{name}" for name in names)))
        for crf in TABLE_CRF:
            for noise in (0.0, 1.0, 3.0):
                each = [shift(model, crf, noise, seed) for seed in range(SEEDS)]
                worst = (f"{max(one[name] for one in each):.3f}" for name in names)
                writer.writerow(("none" if crf is None else crf, noise, SEEDS * math.prod(PATCHES), *worst))


if __name__ == "__main__":
    main("colour-x4", Plan())
