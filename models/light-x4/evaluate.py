"""Measure light-x4, or a sibling, against interpolation on scenes that it never saw, as the issue says and otherwise.

    python models/light-x4/evaluate.py --scenes DIR --weights FILE --out DIR [--most N]

Every picture in ``DIR`` is a scene. Each is recorded as nine frames (sampled by the model's scale, Gaussian optics of
0.35 recorded pixels, Poisson-Gaussian noise, jitter of 0.5 pixels, H.264 at five strengths or no codec) and, once,
under a draw of the simulator's wide profile. The middle frame is enlarged, rounded to 8 bits and compared, four
recorded pixels at the border left out. Writes ``measured.csv`` (one row per setting and method, with the mean gain over
the reference, its 95 % interval over scenes, and in how many scenes the method is worse) and ``flicker.csv``.

The reference is the stage resize's bicubic. A model of scale 1 is compared with the recording itself; the scene is
sampled by two, as optics act on finer things than pixels, and the truth is its mean over those 2x2.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import safetensors.torch
import torch
from recordings import FRAMES, SCALE, SEED
from train import ARCHITECTURE, Plan

from forensic.registry.architectures.catalogue import build
from forensic.simulation.degradation import Codec, Degradation, Recorder
from forensic.simulation.draw import draw
from forensic.simulation.simulator import Recording, simulate
from forensic.stages.kernels import KERNELS
from forensic.stages.resampling import AxisMap, resample
from forensic.validation.artefacts import edge_overshoot, step_overshoot
from forensic.validation.fidelity import inside, psnr, psnr_b, ssim

BORDER = 4  # recorded pixels
MARGIN = 16  # scene pixels that the camera's motion may uncover
TABLE_CRF: tuple[int | None, ...] = (None, 20, 28, 35, 40)
CODED_BLOCK = 8  # H.264 transforms 4x4 and 8x8 recorded pixels
FLICKER_SCENES = 20
BICUBIC, LANCZOS, UNCHANGED = "bicubic (stage resize)", "Lanczos (stage resize)", "the recording itself"
Upscale = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Score:
    """What is measured of one picture."""

    psnr_y: float
    ssim_y: float
    psnr_b: float
    overshoot: float


def methods(model: str, plan: Plan, weights: Path) -> dict[str, Upscale]:
    """Every method, from float32 [H, W] to [sH, sW]; the first is the reference."""
    network = build(ARCHITECTURE, plan.scale, plan.hyperparameters)
    network.load_state_dict(safetensors.torch.load(weights.read_bytes()), strict=True)
    network.eval().requires_grad_(False)

    def learned(plane: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            padded = torch.from_numpy(np.pad(plane, network.context, mode="edge"))[None, None]
            out: np.ndarray = network(padded)[0, 0].contiguous().numpy()
        return out

    if plan.scale == 1:
        return {UNCHANGED: lambda plane: plane, model: learned}
    return {
        BICUBIC: lambda plane: interpolated(plane, "bicubic", plan.scale),
        LANCZOS: lambda plane: interpolated(plane, "lanczos", plan.scale),
        "bicubic (OpenCV INTER_CUBIC)": lambda plane: cv2.resize(
            plane, None, fx=plan.scale, fy=plan.scale, interpolation=cv2.INTER_CUBIC
        ),
        model: learned,
    }


def interpolated(plane: np.ndarray, kernel: str, scale: int = SCALE) -> np.ndarray:
    """As the stage ``resize`` enlarges a plane."""
    step = Fraction(1, scale)
    rows, columns = (AxisMap(scale * side, step, (step - 1) / 2) for side in plane.shape)
    return resample(plane, rows, columns, KERNELS[kernel])


def scenes(folder: Path, most: int) -> Iterator[tuple[str, np.ndarray]]:
    """Name and luma, float32, of every picture, cut so that recordings are whole and even."""
    grid = 4 * SCALE  # the same part of a scene at every scale
    for path in sorted([*folder.glob("*.jpg"), *folder.glob("*.png")])[:most]:
        plane = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        rows, columns = ((side - 2 * MARGIN) // grid * grid + 2 * MARGIN for side in plane.shape)
        yield path.stem, plane[:rows, :columns].astype(np.float32)


def settings(number: int, factor: int = SCALE) -> Iterator[tuple[str, Degradation]]:
    """Name of every setting, and what it is for scene ``number`` when sampled by ``factor``."""
    rng = np.random.default_rng([SEED, 2, number])
    for crf in TABLE_CRF:
        yield "no codec" if crf is None else f"H.264 CRF {crf}", draw(rng, "issue-table", factor=factor, crf=crf)
    table = draw(rng, "issue-table", factor=factor, crf=None)
    sharpened = Recorder(sharpen=1.0)
    yield "H.264 CRF 28, sharpened by the camera", draw(rng, "issue-table", factor=factor, recorder=sharpened)
    yield "MJPEG quantiser 8", draw(rng, "issue-table", factor=factor, codec=Codec("mjpeg", quality=8))
    yield "H.265 CRF 28", draw(rng, "issue-table", factor=factor, codec=Codec("h265", crf=28.0))
    yield "no blur, noise, jitter or codec", Degradation(sampling=table.sampling)
    wide = draw(rng, "cctv", factor=factor)
    plain = Recorder(
        sharpen=wide.recorder.sharpen, sharpen_sigma=wide.recorder.sharpen_sigma,
        resize_x=wide.recorder.resize_x, resize_y=wide.recorder.resize_y,
    )  # fmt: skip
    # Interlaced pictures go through the stage deinterlace first, and burnt-in text is no part of the scene.
    yield (
        "simulator's wide profile, progressive, without text (partly not trained)",
        Degradation(wide.optics, wide.sampling, wide.sensor, plain, wide.codec, wide.motion),
    )


def delivered(plane: np.ndarray) -> np.ndarray:
    """Rounded to 8 bits, as float32."""
    return np.clip(np.rint(plane), 0, 255).astype(np.float32)


def true(recording: Recording, frame: int, scale: int) -> np.ndarray:
    """What a result of that scale is compared with: the scene, as means over the area of the result's pixels."""
    step = recording.factor // scale
    plane = recording.truth[frame]
    rows, columns = plane.shape
    return plane.reshape(rows // step, step, columns // step, step).mean(axis=(1, 3)) if step > 1 else plane


def scored(upscale: Upscale, recording: Recording, scale: int = SCALE) -> Score:
    """Score of the middle frame."""
    middle, border, block = recording.reference, BORDER * scale, CODED_BLOCK * scale
    result, truth = (
        inside(plane, border)
        for plane in (delivered(upscale(recording.frames[middle])), true(recording, middle, scale))
    )
    return Score(
        psnr(result, truth), ssim(result, truth), psnr_b(result, truth, block, (-border % block,) * 2),
        edge_overshoot(result, truth, scale),
    )  # fmt: skip


def flicker(upscale: Upscale, recording: Recording, scale: int = SCALE) -> float:
    """Mean absolute change of the error from frame to frame, grey levels: what moves though the scene does not."""
    errors = [
        inside(delivered(upscale(frame)) - true(recording, number, scale), BORDER * scale)
        for number, frame in enumerate(recording.frames)
    ]
    return float(np.mean([np.abs(b - a).mean() for a, b in pairwise(errors)]))


def summary(setting: str, found: dict[str, list[Score]]) -> list[list[object]]:
    """Rows of the table."""
    rows: list[list[object]] = []
    reference = next(iter(found.values()))
    for method, scores in found.items():
        gains = np.array([score.psnr_y - other.psnr_y for score, other in zip(scores, reference, strict=True)])
        half = 1.96 * float(gains.std(ddof=1)) / math.sqrt(len(gains))
        edges = [score.overshoot for score in scores]
        rows.append(
            [
                setting, method, len(scores), f"{np.mean([s.psnr_y for s in scores]):.2f}",
                f"{np.mean([s.ssim_y for s in scores]):.4f}", f"{np.mean([s.psnr_b for s in scores]):.2f}",
                f"{np.nanmean(edges):.2f}", f"{gains.mean():+.3f}", f"{half:.3f}", int((gains < 0).sum()),
                f"{gains.min():+.2f}",
            ]
        )  # fmt: skip
        print(*rows[-1], sep=" | ", flush=True)
    return rows


def main(model: str, plan: Plan) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=Path, required=True, help="folder of pictures (JPEG, PNG)")
    parser.add_argument("--weights", type=Path, required=True, help="weights.safetensors to measure")
    parser.add_argument("--out", type=Path, required=True, help="folder for measured.csv and flicker.csv")
    parser.add_argument("--most", type=int, default=10_000, help="use the first N scenes only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    tools, scale = methods(model, plan, arguments.weights), plan.scale
    factor = max(scale, 2)
    found: dict[str, dict[str, list[Score]]] = {}
    still: dict[tuple[float, str], list[float]] = {}
    for number, (_, scene) in enumerate(scenes(arguments.scenes, arguments.most)):
        for setting, how in settings(number, factor):
            recording = simulate(scene, how, FRAMES, number, margin=MARGIN)
            for method, upscale in tools.items():
                found.setdefault(setting, {}).setdefault(method, []).append(scored(upscale, recording, scale))
        if number < FLICKER_SCENES:
            for jitter in (0.0, 0.5):
                how = draw(np.random.default_rng(number), "issue-table", factor=factor, crf=28, jitter=jitter)
                recording = simulate(scene, how, FRAMES, number, margin=MARGIN)
                for method, upscale in tools.items():
                    still.setdefault((jitter, method), []).append(flicker(upscale, recording, scale))
    rows = [row for setting, each in found.items() for row in summary(setting, each)]
    with (arguments.out / "measured.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(
            (
                "setting", "method", "n", "psnr_y_db", "ssim_y", "psnr_b_db", "edge_overshoot", "gain_db",
                "gain_95_half_width", "worse_than_recording" if scale == 1 else "worse_than_bicubic", "worst_gain_db",
            )
        )  # fmt: skip
        writer.writerows(rows)
    with (arguments.out / "flicker.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("measure", "method", "n", "value"))
        for (jitter, method), values in still.items():
            writer.writerow((f"flicker, CRF 28, shake {jitter:g}", method, len(values), f"{np.mean(values):.2f}"))
        for method, upscale in tools.items():
            mean, largest = step_overshoot(upscale, scale)
            writer.writerow(("overshoot at a clean step of 150, mean over places", method, scale, f"{mean:.1f}"))
            writer.writerow(("overshoot at a clean step of 150, largest", method, scale, f"{largest:.1f}"))


if __name__ == "__main__":
    main("light-x4", Plan())
