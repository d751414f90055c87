"""Measure luma-residual-x2 against interpolation, under the stated degradation and outside it.

    python models/luma-residual-x2/evaluate.py --photos DIR --weights FILE --out DIR [--classic DIR ...]

Writes ``measured.csv``: one row per set, degradation and method, with the number of pictures, and in
how many of them the network is worse than bicubic. Pictures are quantised to 8 bits as delivered, four
pixels at the border are left out, and the mean is taken over pictures.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import degradation
import numpy as np
import photographs
import safetensors.torch
import torch
from degradation import SCALE, Codec
from torch.nn import functional
from train import DEPTH, SEED, WIDTH

from forensic.registry.architectures.luma_residual.network import LumaResidual

BORDER = 4
DRAWS = 2  # degradations of every validation photograph in every bucket
Upscale = Callable[[np.ndarray], np.ndarray]
Degrade = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Bucket:
    """A named part of the stated degradation: one codec, a range of its quality or QP."""

    name: str
    codec: Codec
    quality: tuple[int, int]

    def __call__(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return degradation.degrade(clean, degradation.draw(rng, self.codec, self.quality), rng)


BUCKETS = (
    Bucket("uncompressed", "none", (0, 0)),
    Bucket("JPEG Q 76-95", "jpeg", (76, 95)),
    Bucket("JPEG Q 56-75", "jpeg", (56, 75)),
    Bucket("JPEG Q 40-55", "jpeg", (40, 55)),
    Bucket("H.264 intra QP 18-25", "h264", (18, 25)),
    Bucket("H.264 intra QP 26-34", "h264", (26, 34)),
)


def area_only(clean: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """The sharp end of the stated model: no blur, no noise, no codec; only 2x2 integration."""
    small = clean.astype(np.float32).reshape(clean.shape[0] // 2, 2, clean.shape[1] // 2, 2).mean(axis=(1, 3))
    return np.clip(np.rint(small), 0, 255).astype(np.uint8)


def bicubic_only(clean: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """The classic benchmark's degradation: antialiased bicubic reduction."""
    tensor = torch.from_numpy(clean.astype(np.float32))[None, None]
    small = functional.interpolate(tensor, scale_factor=0.5, mode="bicubic", antialias=True)[0, 0].numpy()
    return np.clip(np.rint(small), 0, 255).astype(np.uint8)


def quantised(plane: np.ndarray) -> np.ndarray:
    """8-bit samples as float64."""
    return np.clip(np.rint(plane), 0, 255).astype(np.float64)


def psnr(result: np.ndarray, clean: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, peak 255."""
    return float(10 * np.log10(255**2 / np.mean((result - clean) ** 2)))


def ssim(result: np.ndarray, clean: np.ndarray) -> float:
    """Mean structural similarity (Wang et al. 2004): 11x11 Gaussian window of 1.5, K 0.01 and 0.03."""

    def mean(plane: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(plane, (11, 11), 1.5)[5:-5, 5:-5]

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    a, b = mean(result), mean(clean)
    covariance = mean(result * clean) - a * b
    spread = mean(result**2) - a**2 + mean(clean**2) - b**2
    return float(np.mean((2 * a * b + c1) * (2 * covariance + c2) / ((a**2 + b**2 + c1) * (spread + c2))))


def methods(weights: Path) -> dict[str, Upscale]:
    """Every method, from float32 [H, W] to [2H, 2W]."""
    network = LumaResidual(SCALE, WIDTH, DEPTH)
    network.load_state_dict(safetensors.torch.load(weights.read_bytes()), strict=True)

    def learned(plane: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            padded = torch.from_numpy(np.pad(plane, network.radius, mode="edge"))[None, None]
            return network(padded)[0, 0].numpy()

    def resized(flag: int) -> Upscale:
        return lambda plane: cv2.resize(plane, None, fx=SCALE, fy=SCALE, interpolation=flag)

    return {
        "bicubic (OpenCV INTER_CUBIC)": resized(cv2.INTER_CUBIC),
        "Lanczos (OpenCV INTER_LANCZOS4)": resized(cv2.INTER_LANCZOS4),
        "luma-residual-x2": learned,
    }


def measure(
    name: str, pictures: list[np.ndarray], how: str, degrade: Degrade, draws: int, tools: dict[str, Upscale]
) -> list[list[object]]:
    """Rows: set, degradation, method, n, PSNR-Y, SSIM, in how many pictures its PSNR is below bicubic's."""
    scores: dict[str, list[tuple[float, float]]] = {method: [] for method in tools}
    for number, clean in enumerate(pictures):
        for turn in range(draws):
            low = degrade(clean, np.random.default_rng([SEED, 2, number, turn])).astype(np.float32)
            truth = clean[BORDER:-BORDER, BORDER:-BORDER].astype(np.float64)
            for method, upscale in tools.items():
                result = quantised(upscale(low))[BORDER:-BORDER, BORDER:-BORDER]
                scores[method].append((psnr(result, truth), ssim(result, truth)))
    reference = [value for value, _ in next(iter(scores.values()))]
    rows: list[list[object]] = []
    for method, values in scores.items():
        worse = sum(value < other for (value, _), other in zip(values, reference, strict=True))
        mean = np.mean(values, axis=0)
        rows.append([name, how, method, len(values), f"{mean[0]:.2f}", f"{mean[1]:.4f}", worse])
        print(*rows[-1], sep=" | ", flush=True)
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder that holds the listed photographs")
    parser.add_argument("--weights", type=Path, required=True, help="weights.safetensors to measure")
    parser.add_argument("--out", type=Path, required=True, help="folder for measured.csv")
    parser.add_argument("--classic", type=Path, nargs="*", default=[], help="folders of classic pictures (PNG)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    tools = methods(arguments.weights)
    held_out = [photographs.luma_planes(arguments.photos, row)[0] for row in photographs.listed("validation")]
    rows: list[list[object]] = []
    for bucket in BUCKETS:
        rows += measure("validation photographs", held_out, bucket.name, bucket, DRAWS, tools)
    rows += measure("validation photographs", held_out, "area only (no blur, noise or codec)", area_only, 1, tools)
    for folder in arguments.classic:
        pictures = []
        for path in sorted(folder.glob("*.png")):
            plane = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            pictures.append(np.ascontiguousarray(plane[: plane.shape[0] // 4 * 4, : plane.shape[1] // 4 * 4]))
        rows += measure(folder.name, pictures, "JPEG Q 56-75", BUCKETS[2], 1, tools)
        rows += measure(folder.name, pictures, "bicubic only (outside the model)", bicubic_only, 1, tools)
    with (arguments.out / "measured.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("set", "degradation", "method", "n", "psnr_y_db", "ssim_y", "worse_than_bicubic"))
        writer.writerows(rows)


if __name__ == "__main__":
    main()
