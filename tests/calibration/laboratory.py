"""A laboratory with as many pairs as a test wants, whose pictures and counts are made up where they would be read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forensic.case.calibrating import calibrate, measuring, preparing
from forensic.case.calibrating.reading import Taken
from forensic.case.workspace import Workspace, create_workspace
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import BlockQuantisers, CodedFrame, Coding, FrameTiming, Geometry
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.fusion.forward import ForwardModel
from forensic.hashes import sha256_bytes
from forensic.risk.calibration.breakdown import AREAS, Area, Content
from forensic.risk.calibration.criteria import THRESHOLDS, TOLERANCES
from forensic.risk.calibration.domain import MEASURES
from forensic.risk.calibration.drawn import measured
from forensic.risk.calibration.table import FRAMES

SIDE, SCALE = 32, 4
QUANTISERS = (1.0, 51.0)  # by turns: an envelope that holds any real one

OF_ONE = [name for name in MEASURES if name != FRAMES]


def workspace(root: Path, lab: str = "Laboratory of Signals") -> Workspace:
    """A new workspace."""
    return create_workspace(root, examiner="A. Metrologist", lab=lab, passphrase=None, origin="test")


def manifest(folder: Path, count: int) -> Path:
    """``pairs.csv`` with ``count`` pairs, whose files hold their numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["recording,reference,degraded"]
    for number in range(count):
        lines.append(f"camera {number},r{number}.png,d{number}.mp4")
        (folder / f"r{number}.png").write_bytes(b"reference %d" % number)
        (folder / f"d{number}.mp4").write_bytes(b"degraded %d" % number)
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def _frame(plane: np.ndarray, index: int, coding: Coding | None) -> CodedFrame:
    picture = np.clip(np.rint(plane), 0, 255).astype(np.uint8)
    geometry = Geometry(picture.shape[1], picture.shape[0], LAYOUTS["gray"])
    timing = FrameTiming(index, index, Fraction(1, 25))
    return CodedFrame((picture,), geometry, ColourSpec(full_range=True), timing, StageClass.PRESENTATION, coding)


def _coding(quantiser: float) -> Coding:
    side = -(-SIDE // BlockQuantisers.SIDE)
    return Coding("P", "h264", quantiser, blocks=BlockQuantisers(side, bytes([int(quantiser)]) * side**2))


def _taken(path: Path, index: int | None, sha256: str, *, or_only: bool = False) -> Taken:
    """What a decoder would give of the made-up file."""
    data = path.read_bytes()
    assert sha256_bytes(data) == sha256
    kind, _, number = data.partition(b" ")
    rng = np.random.default_rng(int(number))
    coarse = rng.uniform(30, 220, (8, 8)).astype(np.float32)
    truth = np.kron(coarse, np.ones((SIDE * SCALE // 8, SIDE * SCALE // 8), np.float32))
    if kind == b"reference":
        return Taken(sha256, 0, _frame(truth, 0, None))
    return Taken(sha256, 4, _frame(ForwardModel(SCALE).apply(truth), 4, _coding(QUANTISERS[int(number) % 2])))


def cells(number: int, fails_from: float, size: tuple[int, int] = (SIDE, SIDE)) -> dict[str, str]:
    """Counts of one recording of ``size`` recorded pixels: a tenth of LOW is wrong from ``fails_from`` on; all measures
    but sides and quantiser between -1e6 and 1e6."""
    pixels = SCALE**2 * size[0] * size[1]
    low = [int(10 * one) for one in THRESHOLDS]
    wrong = [share // 10 if one >= fails_from else 0 for one, share in zip(THRESHOLDS, low, strict=True)]
    nothing = " ".join("0" for _ in THRESHOLDS)
    row: dict[str, Any] = dict.fromkeys(OF_ONE, -1000000.0 if number % 2 else 1000000.0)
    row |= {
        "pixels": pixels,
        "short": float(min(size)),
        "long": float(max(size)),
        "quantiser": QUANTISERS[number % 2],
        "low": " ".join(map(str, low)),
        "edge_low": nothing,
    }
    for tolerance in TOLERANCES:
        row |= {f"wrong_{tolerance}": " ".join(map(str, wrong)), f"largest_{tolerance}": nothing,
                f"edge_wrong_{tolerance}": nothing}  # fmt: skip
    none = dict.fromkeys(THRESHOLDS, 0)
    counted = {one: dict(zip(THRESHOLDS, wrong, strict=True)) for one in TOLERANCES}
    areas = {kind: Area(0, none, dict.fromkeys(TOLERANCES, none)) for kind in AREAS}
    areas["flat"] = Area(pixels, dict(zip(THRESHOLDS, low, strict=True)), counted)
    brightness = (40.0, 100.0, 200.0)[number % 3]
    return {name: str(value) for name, value in row.items()} | Content(brightness, areas).cells()


def made_up(monkeypatch: pytest.MonkeyPatch, fails_from: float = 1e9, every: int = 1) -> None:
    """Read made-up files, and count made-up errors: one recording in ``every`` is wrong from ``fails_from`` on."""
    monkeypatch.setattr(preparing, "take", _taken)

    def counted(folder: Path, pair: Any, pipeline: Any, head: Any) -> dict[str, str]:
        number = int(pair.pair.degraded[1:-4])
        return cells(number, fails_from if number % every == 0 else 1e9, measured(pair.facts))

    monkeypatch.setattr(measuring, "_counted", counted)
    monkeypatch.setattr(calibrate, "trial", lambda pipeline, head: measuring.Pace(1.0, 1000))
