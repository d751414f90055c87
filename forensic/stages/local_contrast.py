"""Local contrast by an edge-preserving base: large differences of brightness down, small ones up, no halos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forensic.frames.frame import Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.media.opencv import opencv
from forensic.stages.luma import nominal_range, with_luma
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import Stage, StageCard
from forensic.stages.tone import DISPLAY_WHITE


class LocalContrastParameters(Parameters):
    """What counts as large and as small, and how each is changed."""

    radius: int = parameter(
        16, title="Radius", unit="pixels", ge=1, le=200, description="Detail finer than about this counts as small."
    )
    edge: float = parameter(
        10.0, title="Edge", unit="grey levels (display)", ge=1.0, le=128.0,
        description="Differences well above this are edges and belong to the large ones.",
    )  # fmt: skip
    large: float = parameter(
        0.7, title="Large differences", unit="times", ge=0.1, le=1.0,
        description="Contrast of bright against dark parts of the scene; 1 leaves it.",
    )  # fmt: skip
    small: float = parameter(
        1.8, title="Small differences", unit="times", ge=1.0, le=8.0, description="Contrast of detail; 1 leaves it."
    )
    limit: float = parameter(
        15.0, title="Limit", unit="grey levels (display)", ge=0.0, le=255.0,
        description="No pixel is changed by more than this on account of its detail.",
    )  # fmt: skip
    middle: float = parameter(
        127.5, title="Middle", unit="grey levels (display)", ge=0.0, le=255.0,
        description="Brightness towards which large differences are reduced.",
    )  # fmt: skip


class LocalContrast(Stage[LocalContrastParameters]):
    """Guided-filter base and detail with separate gains."""

    name = "local-contrast"
    title = "Local contrast (edge-preserving)"
    stage_class = StageClass.PRESENTATION
    parameter_model = LocalContrastParameters
    card = StageCard(
        explanation=(
            "Splits brightness into a base, which follows edges but is smooth elsewhere, and what differs from it. The "
            "base's contrast is reduced, so that dark and bright parts of a scene can be seen at once, and the "
            "detail's is raised. Each pixel gets a new brightness by a straight line that depends on its surroundings "
            "and never falls. Unlike CLAHE it does not depend on what else is far away in the picture, its gain is "
            "the stated one everywhere, and a limit holds halos. Colour planes are not touched."
        ),
        artefacts=(
            "Brightness can no longer be compared between distant parts of the picture.",
            "Noise and compression blocks in flat areas are raised by the full gain.",
            "Faint halos at edges hardly stronger than the stated one. Measured beside a step from 50 to 200 grey "
            "levels, with the defaults: 2.8 levels beyond the flat parts (an unsharp mask of the same size and gain: "
            "58.5); with an edge level of 25: 13.7.",
            "Texture weaker than the edge level is raised beside texture that is left: materials may look different.",
        ),
        references=(
            "K. He, J. Sun, X. Tang, Guided Image Filtering, IEEE Transactions on Pattern Analysis and Machine "
            "Intelligence 35 (2013), 1397-1409 (the picture is its own guide).",
            "F. Durand and J. Dorsey, Fast Bilateral Filtering for the Display of High-Dynamic-Range Images, ACM "
            "Transactions on Graphics 21 (2002), 257-266 (base and detail).",
        ),
    )

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        frame, chosen = window[at], self.parameters
        if chosen.large == chosen.small == 1.0:
            return frame.planes
        black, white = nominal_range(frame)
        unit = np.float32((white - black) / DISPLAY_WHITE)
        level = (frame.luma - np.float32(black)) / unit
        base = _guided(level, chosen.radius, chosen.edge)
        detail = level - base
        raised = np.clip(np.float32(chosen.small - 1.0) * detail, -np.float32(chosen.limit), np.float32(chosen.limit))
        middle = np.float32(chosen.middle)
        result = middle + np.float32(chosen.large) * (base - middle) + detail + raised
        return with_luma(frame, (result * unit + np.float32(black)).astype(np.float32))


def _guided(level: np.ndarray, radius: int, edge: float) -> np.ndarray:
    """Guided filter with the picture as its own guide: mean slope and offset of local straight-line fits."""
    cv2 = opencv()

    def mean(plane: np.ndarray) -> np.ndarray:
        side = (2 * radius + 1, 2 * radius + 1)
        return np.asarray(cv2.boxFilter(plane, cv2.CV_32F, side, normalize=True, borderType=cv2.BORDER_REFLECT))

    around = mean(level)
    centred = level - np.float32(level.mean(dtype=np.float64))  # keeps the difference of squares exact in float32
    shifted = mean(centred)
    spread = np.maximum(mean(centred * centred) - shifted * shifted, 0.0)
    slope = spread / (spread + np.float32(edge * edge))
    return np.asarray(mean(slope) * level + mean((np.float32(1.0) - slope) * around))
