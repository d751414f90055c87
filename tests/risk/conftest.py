"""Pictures with known content for the risk map's tests: generated, and real ones where they are at hand."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import cv2
import numpy as np
import pytest

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.fusion.conjugate_gradients import solve
from forensic.fusion.forward import ForwardModel
from tests.footage import shared_data


def _smooth_scene(rows: int, columns: int) -> np.ndarray:
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    picture = 110 + 40 * np.sin(x / columns * 3) * np.cos(y / rows * 2)
    for cx, cy, radius, height in ((0.3, 0.4, 0.18, 45), (0.7, 0.6, 0.22, -40), (0.5, 0.15, 0.12, 30)):
        distance = ((x / columns - cx) ** 2 + (y / rows - cy) ** 2) / radius**2
        picture += height * np.exp(-2 * distance)
    return picture.astype(np.float32)


@pytest.fixture(scope="session")
def smooth_scene() -> Callable[[int, int], np.ndarray]:
    """Make a scene without fine detail: float32 (rows, columns), about 50 to 200 grey levels."""
    return _smooth_scene


@pytest.fixture(scope="session")
def scenes() -> list[np.ndarray]:
    """High-resolution scenes, float32 (288, 384): a generated one, and three photographs if present."""
    generated = np.rint(_smooth_scene(288, 384)).astype(np.uint8)
    cv2.putText(generated, "AB 12 C", (60, 200), cv2.FONT_HERSHEY_SIMPLEX, 2.0, 40, 5, cv2.LINE_AA)
    cv2.rectangle(generated, (250, 40), (340, 90), 200, -1)
    found = [cv2.GaussianBlur(generated.astype(np.float32), (0, 0), 0.8)]
    shared = shared_data()
    photographs = [] if shared is None else sorted((shared / "bsds500" / "test").glob("*.jpg"))[:3]
    for path in photographs:
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32)
        lying = picture if picture.shape[0] < picture.shape[1] else picture.T
        found.append(np.ascontiguousarray(lying[:288, :384]))
    return found


@pytest.fixture(scope="session")
def coded() -> Callable[..., CodedFrame]:
    """Make a coded frame from luma grey levels (float or integer); chroma is neutral."""

    def make(
        luma: np.ndarray,
        layout: str = "yuv420p",
        *,
        index: int = 7,
        stage_class: StageClass = StageClass.FIDELITY,
        full_range: bool | None = True,
    ) -> CodedFrame:
        form = LAYOUTS[layout]
        geometry = Geometry(luma.shape[1], luma.shape[0], form)
        planes = []
        for number, shape in enumerate(geometry.plane_shapes):
            values = luma if number == 0 or form.family == "rgb" else np.full(shape, 128.0)
            levels = np.clip(np.rint(np.asarray(values, dtype=np.float64) * form.grey_scale), 0, form.maximum)
            planes.append(levels.astype(form.dtype))
        timing = FrameTiming(index, index * 2, Fraction(1, 25))
        return CodedFrame(tuple(planes), geometry, ColourSpec(full_range=full_range), timing, stage_class)

    return make


@pytest.fixture(scope="session")
def invisible() -> Callable[[np.ndarray, ForwardModel], np.ndarray]:
    """Take from a picture all that A can see: what is left lies in A's null space."""

    def project(detail: np.ndarray, forward: ForwardModel) -> np.ndarray:
        seen = solve(forward.gram, forward.apply(detail), iterations=100, tolerance=1e-5).x
        return np.asarray(detail - forward.adjoint(seen))

    return project
