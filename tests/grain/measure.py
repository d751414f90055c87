"""Measure the grain engine on photographs: ``python -m tests.grain.measure SPLIT FIRST LAST OUT.json`` (docs/grain.md).

Photographs of BSDS500 (train, val) are the scenes, still and panning by two pixels a frame; grain of random plausible
parameters is planted in them, or white noise, or a fixed pattern, and some are sent through x264. Not a test.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from forensic.grain.estimate import LAG, estimate_grain
from forensic.grain.fitting import StrengthCurve, in_whole_numbers, solve_filter, stable, template_sigmas
from forensic.grain.parameters import GrainParameters
from forensic.grain.removal import degrained
from forensic.grain.synthesis import frame_seed, noise, scaling_table
from tests.footage import shared_data
from tests.grain.planting import pairs

WIDTH, HEIGHT, FRAMES = 480, 320, 8
Frame = tuple[np.ndarray, ...]


def photograph(path: Path) -> Frame:
    """Limited-range BT.601 4:2:0 planes of whole numbers."""
    picture = Image.open(path).convert("RGB")
    if picture.height > picture.width:
        picture = picture.rotate(90, expand=True)
    red, green, blue = np.moveaxis(np.asarray(picture.crop((0, 0, WIDTH, HEIGHT)), np.float64), 2, 0)
    y = 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255
    cb = 128 + (-37.797 * red - 74.203 * green + 112 * blue) / 255
    cr = 128 + (112 * red - 93.786 * green - 18.214 * blue) / 255
    halved = [plane.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).mean(axis=(1, 3)) for plane in (cb, cr)]
    return tuple(np.rint(plane).astype(np.int32) for plane in (y, *halved))


def clip_of(scene: Frame, step: int) -> list[Frame]:
    """Frames of 416 x 320 cut from ``scene``, each ``step`` pixels further to the right."""
    cut = 416
    return [
        tuple(
            np.ascontiguousarray(plane[:, (step * index) >> (n > 0) :][:, : cut >> (n > 0)])
            for n, plane in enumerate(scene)
        )
        for index in range(FRAMES)
    ]


def plausible(generator: np.random.Generator) -> GrainParameters:
    """Grain of Gaussian-like clumps 0.35 to 1 pixel wide, two to seven grey levels, strongest in some middle tone."""
    width, shape = generator.uniform(0.35, 1.0), generator.uniform(0.8, 1.25)
    y, x = np.mgrid[-32:32, -32:32]
    covariance = np.exp(-(x**2 * shape + y**2 / shape) / (4 * width**2))
    covariance[32, 32] += 0.03
    weights, excitation = solve_filter(covariance / covariance[32, 32], None, LAG)
    weights = stable(weights, excitation, LAG)
    levels = np.linspace(0, 256, 17)
    sigma = generator.uniform(2, 7) * np.exp(
        -(((levels - generator.uniform(70, 150)) / generator.uniform(70, 140)) ** 2)
    )
    part = generator.uniform(0.3, 0.7)
    curves = [StrengthCurve(levels, sigma * share, np.full(17, 9)) for share in (1.0, part, part)]
    colour = np.concatenate([0.9 * weights, [generator.uniform(-0.2, 0.2)]])
    return in_whole_numbers(curves, [weights, colour, colour], [excitation] * 3, (1, 1))


def with_grain(frames: Sequence[Frame], parameters: GrainParameters, seed: int) -> list[Frame]:
    """``frames`` with grain."""
    made = []
    for index, frame in enumerate(frames):
        added = noise(frame, parameters, frame_seed(seed, index), 8, (1, 1))
        made.append(tuple(np.clip(p + (0 if a is None else a), 0, 255) for p, a in zip(frame, added, strict=True)))
    return made


def with_noise(frames: Sequence[Frame], changing: float, fixed: float, generator: np.random.Generator) -> list[Frame]:
    """``frames`` with white noise, half as strong in colour, and a fixed pattern in luma."""
    pattern = generator.normal(0, fixed, frames[0][0].shape)
    return [
        tuple(
            np.clip(np.rint(p + generator.normal(0, changing / (1 + (n > 0)), p.shape) + (0 if n else pattern)), 0, 255)
            .astype(np.int32)
            for n, p in enumerate(frame)
        )
        for frame in frames
    ]  # fmt: skip


def through_x264(frames: Sequence[Frame], crf: int) -> list[Frame]:
    """``frames`` encoded and decoded."""
    rows, columns = frames[0][0].shape
    form = ["-f", "rawvideo", "-pix_fmt", "yuv420p"]
    quiet = ["ffmpeg", "-v", "error", "-threads", "1"]
    raw = b"".join(plane.astype(np.uint8).tobytes() for frame in frames for plane in frame)
    coded = subprocess.run(
        [*quiet, *form, "-s", f"{columns}x{rows}", "-i", "-", "-c:v", "libx264", "-threads", "1", "-crf", str(crf),
         "-f", "matroska", "-"], input=raw, capture_output=True, check=True,
    ).stdout  # fmt: skip
    raw = subprocess.run([*quiet, "-i", "-", *form, "-"], input=coded, capture_output=True, check=True).stdout
    luma = rows * columns
    samples = np.frombuffer(raw, np.uint8).reshape(len(frames), luma * 3 // 2).astype(np.int32)
    colour = (rows // 2, columns // 2)
    return [
        (
            one[:luma].reshape(rows, columns),
            one[luma : luma * 5 // 4].reshape(colour),
            one[luma * 5 // 4 :].reshape(colour),
        )
        for one in samples
    ]


# --- distances -------------------------------------------------------------------------------


def spectrum(fields: Sequence[np.ndarray], side: int = 32) -> np.ndarray:
    """Mean windowed periodogram of blocks of ``fields``, scaled to a mean of 1."""
    window = np.outer(np.hanning(side), np.hanning(side))
    total: np.ndarray = np.zeros((side, side))
    for one in fields:
        for top in range(0, one.shape[0] - side + 1, side):
            for left in range(0, one.shape[1] - side + 1, side):
                block = one[top : top + side, left : left + side]
                total += np.abs(np.fft.fft2((block - block.mean()) * window)) ** 2
    total[0, 0] = total[0, 1]
    return total / total.mean()


def decibels(one: np.ndarray, other: np.ndarray) -> float:
    """Root mean square difference of two spectra in dB: log-spectral distance."""
    return float(np.sqrt(np.mean((10 * np.log10(one / other)) ** 2)))


def radial(power: np.ndarray) -> np.ndarray:
    """Mean power in rings one frequency step wide, up to Nyquist's."""
    side = power.shape[0]
    f = np.fft.fftfreq(side) * side
    ring = np.rint(np.hypot(*np.meshgrid(f, f))).astype(int)
    return np.array([power[ring == one].mean() for one in range(1, side // 2 + 1)])


def histogram_distances(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """(Wasserstein-1 in grey levels, Kolmogorov-Smirnov) of two samples of equal size."""
    a, b = np.sort(one.ravel()), np.sort(other.ravel())
    grid = np.arange(-60, 61)
    steps = np.searchsorted(a, grid, side="right") / a.size - np.searchsorted(b, grid, side="right") / b.size
    return float(np.mean(np.abs(a - b))), float(np.abs(steps).max())


def sigma_of(parameters: GrainParameters, plane: int = 0) -> np.ndarray:
    """Strength at every level, grey levels."""
    table = scaling_table(parameters.points_of(plane), 8)
    return table * template_sigmas(parameters, (1, 1))[plane] / 2**parameters.scaling_shift


def fidelity(clip: list[Frame], grainy: list[Frame], planted: GrainParameters, made: GrainParameters) -> dict[str, Any]:
    """Errors of the estimate and distances of grain made from it, with other seeds, to what was planted."""
    levels = np.clip(np.concatenate([frame[0].ravel() for frame in clip]), 0, 255)
    true, own = sigma_of(planted)[levels], sigma_of(made)[levels]
    again = with_grain(clip, made, 31337)
    other = with_grain(clip, planted, 31337)  # the same model, other seeds: what chance alone does
    found: dict[str, Any] = {
        "strength_bias": float(own.mean() / true.mean() - 1),
        "strength_error": float(np.sqrt(np.mean((own - true) ** 2)) / true.mean()),
    }
    for name, against in (("made", again), ("chance", other)):
        for plane, word in ((0, "luma"), (1, "cb")):
            fields = [[b[plane] - a[plane] for a, b in zip(clip, some, strict=True)] for some in (grainy, against)]
            power = [spectrum(one) for one in fields]
            wasserstein, ks = histogram_distances(np.array(fields[0]), np.array(fields[1]))
            found |= {
                f"{word}_lsd_{name}": decibels(*power),
                f"{word}_radial_lsd_{name}": decibels(radial(power[0]), radial(power[1])),
                f"{word}_wasserstein_{name}": wasserstein,
                f"{word}_ks_{name}": ks,
            }
    floats = [[plane.astype(np.float32) for plane in frame] for frame in grainy[3:6]]
    lumas = [frame[0] for frame in floats]
    for name, model in (("estimated", made), ("planted", planted)):
        removed = degrained(lumas, lumas, 1, 0, model, (1, 1))
        found[f"psnr_removed_{name}"] = psnr(removed, clip[4][0])
    found["psnr_grainy"] = psnr(grainy[4][0], clip[4][0])
    return found


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """In dB, for 8 bits."""
    return float(10 * np.log10(255**2 / max(float(np.mean((one.astype(np.float64) - other) ** 2)), 1e-9)))


def measure(path: Path, generator: np.random.Generator) -> list[dict[str, Any]]:
    """All cases of one photograph."""
    rows = []
    for step in (0, 2):
        clip = clip_of(photograph(path), step)
        planted = plausible(generator)
        grainy = with_grain(clip, planted, 7)
        white = with_noise(clip, generator.uniform(1.5, 5), 0.0, generator)
        cases = {"grain": grainy, "white": white, "clean": clip}
        if not step:
            cases["pattern"] = with_noise(clip, 0.3, 3.0, generator)
            cases |= {f"grain, CRF {crf}": through_x264(grainy, crf) for crf in (10, 18, 23, 28, 35)}
            cases |= {f"white, CRF {crf}": through_x264(white, crf) for crf in (18, 28)}
            cases["clean, CRF 23"] = through_x264(clip, 23)
        for name, frames in cases.items():
            started = time.process_time()
            found = estimate_grain(pairs(frames))
            row = {"photograph": path.stem, "step": step, "case": name, "kind": found.kind.value, "why": found.why,
                   "seconds": time.process_time() - started, "moved": found.moved,
                   "evidence": None if found.evidence is None else found.evidence.to_record(),
                   "planted_sigma": float(sigma_of(planted)[clip[0][0]].mean())}  # fmt: skip
            if name == "grain" and found.kind.is_grain:
                row |= fidelity(clip, grainy, planted, found.parameters)
            rows.append(row)
    return rows


def main() -> None:
    """Measure photographs FIRST to LAST-1 of a split."""
    split, first, last, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    folder = shared_data()
    if folder is None:
        raise SystemExit("There is no shared data here.")
    rows: list[dict[str, Any]] = []
    for number, path in list(enumerate(sorted((folder / "bsds500" / split).glob("*.jpg"))))[first:last]:
        rows += measure(path, np.random.default_rng([2026, number]))
        out.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
