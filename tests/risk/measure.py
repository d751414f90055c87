"""The measurements in docs/risk-map.md: ``python -m tests.risk.measure`` (needs the shared photographs).

On every photograph of bsds500/val: input = A(truth) + noise, rounded to 8 bits, with the A that
the assessment assumes; outputs ×2 = Lanczos, Lanczos with unsharp masking, Lanczos with writing hidden
in the null space of A, Lanczos with a block swapped for another part of the picture.
"""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.fusion.conjugate_gradients import solve
from forensic.fusion.forward import ForwardModel
from forensic.risk.assessment import RiskAssessment, assess
from forensic.risk.regions import CONFLICT, INJECTION
from forensic.risk.tiles import Level, tile_percentile
from tests.footage import shared_data

FORWARD = ForwardModel(2)
BLOCK = (slice(96, 160), slice(128, 256))
BLOCK_TILES = (slice(6, 10), slice(8, 16))


def _frame(luma: np.ndarray) -> CodedFrame:
    levels = np.clip(np.rint(luma), 0, 255).astype(np.uint8)
    geometry = Geometry(levels.shape[1], levels.shape[0], LAYOUTS["gray"])
    return CodedFrame((levels,), geometry, ColourSpec(), FrameTiming(0, 0, Fraction(1)), StageClass.FIDELITY)


def _hidden_writing(shape: tuple[int, int]) -> np.ndarray:
    drawn = np.zeros(shape, np.uint8)
    cv2.putText(drawn, "XK7 B31", (136, 145), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 90, 2, cv2.LINE_8)
    detail = drawn.astype(np.float32)
    seen = solve(FORWARD.gram, FORWARD.apply(detail), iterations=300, tolerance=1e-6).x
    return np.asarray(detail - FORWARD.adjoint(seen))


def _shares(result: RiskAssessment) -> list[float]:
    return [float((result.levels == level).mean()) for level in (Level.LOW, Level.MEDIUM, Level.HIGH)]


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values.ravel(), kind="stable"), kind="stable")


def _measure(noise: float) -> dict[str, list[list[float]]]:
    shared = shared_data()
    if shared is None:
        raise SystemExit("The shared photographs are not on this machine.")
    random = np.random.default_rng(0)
    rows: dict[str, list[list[float]]] = {}
    for path in sorted((shared / "bsds500" / "val").glob("*.jpg")):
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32)
        truth = np.ascontiguousarray((picture if picture.shape[0] < picture.shape[1] else picture.T)[:288, :464])
        seen = FORWARD.apply(truth)
        source = _frame(seen + random.normal(0, noise, seen.shape)).to_working()
        lanczos = cv2.resize(source.luma, None, fx=2, fy=2, interpolation=cv2.INTER_LANCZOS4)
        sharpened = lanczos + (lanczos - cv2.GaussianBlur(lanczos, (0, 0), 1.5))
        writing = _hidden_writing(lanczos.shape)
        swapped = lanczos.copy()
        swapped[BLOCK] = lanczos[200:264, 300:428]

        plain = assess(source, _frame(lanczos), FORWARD)
        rows.setdefault("lanczos: LOW, MEDIUM, HIGH", []).append(_shares(plain))
        rows.setdefault("unsharp: LOW, MEDIUM, HIGH", []).append(_shares(assess(source, _frame(sharpened), FORWARD)))

        forged = assess(source, _frame(lanczos + writing), FORWARD)
        touched = tile_percentile(np.abs(writing))[BLOCK_TILES] >= 10
        line = [
            float((tile_percentile(result.components[name])[BLOCK_TILES][touched] >= 4).mean())
            for name in (CONFLICT, INJECTION)
            for result in (plain, forged)
        ]
        line += [float((result.levels[BLOCK_TILES][touched] == Level.HIGH).mean()) for result in (plain, forged)]
        key = "writing: conflict >= 4 before, after; injection >= 4 before, after; HIGH before, after"
        rows.setdefault(key, []).append(line)

        changed = tile_percentile(np.abs(swapped - lanczos))[BLOCK_TILES] >= 10
        if changed.any():
            result = assess(source, _frame(swapped), FORWARD)
            conflict = tile_percentile(result.components[CONFLICT])[BLOCK_TILES][changed] >= 4
            high = result.levels[BLOCK_TILES][changed] == Level.HIGH
            rows.setdefault("swap: conflict >= 4, HIGH", []).append([float(conflict.mean()), float(high.mean())])

        error = tile_percentile(np.abs(np.clip(lanczos, 0, 255) - truth))
        assert plain.risk is not None
        rank = float(np.corrcoef(_ranks(error), _ranks(tile_percentile(plain.risk)))[0, 1])
        missed = error[plain.levels == Level.LOW]
        rows.setdefault("lanczos: rank correlation of risk and true error", []).append([rank])
        rows.setdefault("lanczos: LOW tiles with true error >= 10, >= 20", []).append(
            [float((missed >= limit).mean()) for limit in (10, 20)] if missed.size else [0.0, 0.0]
        )
    return rows


def main() -> None:
    """Print the mean over the photographs of every figure, for three noise levels."""
    cv2.setNumThreads(1)
    for noise in (0.0, 2.0, 5.0):
        print(f"noise {noise:g}")
        for name, values in _measure(noise).items():
            print(
                f"  {name}: {', '.join(f'{value:.3f}' for value in np.mean(values, axis=0))} ({len(values)} pictures)"
            )


if __name__ == "__main__":
    main()
