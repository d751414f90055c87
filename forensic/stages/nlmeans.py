"""Non-local means denoising in floating point, luma and colour with their own strength."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forensic.frames.frame import Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.media.opencv import opencv
from forensic.stages.luma import combine, separate
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import Stage, StageCard

_STRIP = 64  # rows worked on at a time, so that the work fits the processor's cache


class NonLocalMeansParameters(Parameters):
    """Expected noise and the size of what is compared."""

    luma_noise: float = parameter(
        3.0,
        title="Luma noise",
        unit="grey levels (standard deviation)",
        ge=0.0,
        le=50.0,
        description="Expected noise of brightness; 0 leaves brightness alone.",
    )
    chroma_noise: float = parameter(
        3.0,
        title="Colour noise",
        unit="grey levels (standard deviation)",
        ge=0.0,
        le=50.0,
        description="Expected noise of colour; 0 leaves colour alone.",
    )
    strength: float = parameter(
        0.4,
        title="Strength",
        unit="times the noise",
        ge=0.05,
        le=2.0,
        description="How unlike patches may be and still be averaged (h / sigma of Buades et al.).",
    )
    patch_radius: int = parameter(
        1, title="Patch radius", unit="pixels", ge=1, le=4, description="Patches of (2r + 1) x (2r + 1) are compared."
    )
    search_radius: int = parameter(
        5,
        title="Search radius",
        unit="pixels",
        ge=1,
        le=15,
        description="Like patches are looked for this far around.",
    )


class NonLocalMeans(Stage[NonLocalMeansParameters]):
    """Averages pixels whose surroundings look alike."""

    name = "nlmeans"
    title = "Non-local means denoising"
    stage_class = StageClass.FIDELITY
    parameter_model = NonLocalMeansParameters
    card = StageCard(
        explanation=(
            "Reduces noise by averaging each pixel with others near it whose small surroundings look the same apart "
            "from noise. Edges stay, because pixels across an edge have different surroundings. Only recorded pixels "
            "of the same frame are averaged."
        ),
        artefacts=(
            "Faint texture weaker than the stated noise is smoothed away.",
            "Repetitive texture may become more regular than it was.",
            "Too high a strength gives flat, paint-like areas.",
        ),
        references=(
            "A. Buades, B. Coll, J.-M. Morel, A non-local algorithm for image denoising, CVPR 2005, vol. 2, 60-65.",
            "A. Buades, B. Coll, J.-M. Morel, Non-Local Means Denoising, Image Processing On Line 1 (2011), 208-212 "
            "(weights exp(-max(d^2 - 2 sigma^2, 0) / h^2); here the pixel itself gets the largest weight found).",
        ),
    )

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        frame, chosen = window[at], self.parameters
        noise = (chosen.luma_noise, chosen.chroma_noise, chosen.chroma_noise)
        if chosen.luma_noise == 0.0 and (chosen.chroma_noise == 0.0 or len(frame.planes) == 1):
            return frame.planes
        parts = separate(frame)
        cleaned = tuple(
            part if sigma == 0.0 else _denoised(part, sigma, chosen.strength, chosen.patch_radius, chosen.search_radius)
            for part, sigma in zip(parts, noise, strict=False)
        )
        return combine(frame, cleaned)


def _denoised(plane: np.ndarray, sigma: float, strength: float, patch: int, search: int) -> np.ndarray:
    """Non-local means of one float32 plane, in strips; beyond the border the picture is mirrored."""
    margin = patch + search
    padded = np.pad(plane, margin, mode="symmetric")  # repeats the mirror where the plane is smaller
    result = np.empty_like(plane)
    for top in range(0, plane.shape[0], _STRIP):
        bottom = min(top + _STRIP, plane.shape[0])
        result[top:bottom] = _strip(padded[top : bottom + 2 * margin], sigma, strength, patch, search)
    return result


def _strip(padded: np.ndarray, sigma: float, strength: float, patch: int, search: int) -> np.ndarray:
    cv2 = opencv()
    height, width = padded.shape[0] - 2 * (patch + search), padded.shape[1] - 2 * (patch + search)
    side = 2 * patch + 1
    # The exponent -(d^2 - 2 sigma^2) / h^2 comes out of the filter that takes the mean of a patch.
    across = np.full(side, 1.0 / side, np.float32)
    down = np.full(side, -1.0 / (side * (strength * sigma) ** 2), np.float32)
    offset = 2.0 / strength**2
    # With a margin of `patch`, so that patch means are exact up to the border of the strip.
    centre = np.ascontiguousarray(padded[search : padded.shape[0] - search, search : padded.shape[1] - search])
    inner = slice(patch, patch + height), slice(patch, patch + width)
    total = np.zeros((height, width), np.float32)
    weights = np.zeros_like(total)
    heaviest = np.full_like(total, np.float32(1e-6))
    distance = np.empty_like(centre)
    for dy in range(-search, search + 1):
        for dx in range(-search, search + 1):
            if dx == 0 and dy == 0:
                continue
            rows = slice(search + dy, search + dy + centre.shape[0])
            other = padded[rows, search + dx : search + dx + centre.shape[1]]
            np.subtract(centre, other, out=distance)
            np.multiply(distance, distance, out=distance)
            exponent = cv2.sepFilter2D(distance, cv2.CV_32F, across, down, delta=offset)[inner]
            weight = np.minimum(exponent, np.float32(0.0))
            cv2.exp(weight, dst=weight)
            cv2.accumulateProduct(weight, other[inner], total)
            weights += weight
            np.maximum(heaviest, weight, out=heaviest)
    total += heaviest * centre[inner]
    weights += heaviest
    return np.asarray(total / weights)
