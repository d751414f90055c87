"""Where the pixels of a frame lie in the reference frame: a shift, a homography or a dense field."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

SHIFT_ENOUGH = 0.03  # px: a motion that differs less than this from a shift anywhere is taken as that shift


@dataclass(frozen=True)
class Motion:
    """``frame(H x)`` shows what ``reference(x)`` shows; x = (column, row, 1) in low-resolution pixel centres.

    ``matrix``: float64 (3, 3). With a dense field ``places`` (float32 (2, rows, columns): column and row in the
    reference of every pixel of the frame) goes before the matrix, which then is the nearest global motion, and
    ``trust`` (float32 (rows, columns), 0..1) says where the field may be believed.
    """

    matrix: np.ndarray
    places: np.ndarray | None = field(default=None, repr=False)
    trust: np.ndarray | None = field(default=None, repr=False)

    @classmethod
    def shift(cls, dx: float, dy: float) -> Motion:
        """The frame is displaced by (dx, dy) px."""
        return cls(np.array([[1.0, 0.0, dx], [0.0, 1.0, dy], [0.0, 0.0, 1.0]]))

    @property
    def is_shift(self) -> bool:
        """Whether the matrix is exactly that of a shift."""
        return bool(np.array_equal(self.matrix[:2, :2], np.eye(2)) and not self.matrix[2, :2].any())

    def as_shift(self, shape: tuple[int, int]) -> tuple[float, float] | None:
        """(dx, dy) if the motion is a shift to within 0.03 px everywhere on a picture of ``shape``, else None."""
        if self.places is not None:
            return None
        height, width = shape
        corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], np.float64)
        moved = self.of(corners) - corners
        mean = moved.mean(axis=0)
        if np.abs(moved - mean).max() > SHIFT_ENOUGH:
            return None
        return float(mean[0]), float(mean[1])

    def of(self, points: np.ndarray) -> np.ndarray:
        """Frame coordinates of reference ``points``, float64 (n, 2) as (x, y)."""
        return project(self.matrix, points)

    def places_in_reference(self, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """(columns, rows), float32, in the reference of every pixel of a frame of ``shape``."""
        if self.places is not None:
            return self.places[0], self.places[1]
        return grid_through(np.linalg.inv(self.matrix), shape)

    def places_in_frame(self, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """(columns, rows), float32, in the frame of every pixel of the reference, by the global motion."""
        return grid_through(self.matrix, shape)

    def displacement(self, shape: tuple[int, int]) -> tuple[float, float]:
        """(dx, dy) of the picture's middle, px."""
        middle = np.array([[(shape[1] - 1) / 2.0, (shape[0] - 1) / 2.0]])
        dx, dy = (self.of(middle) - middle)[0]
        return float(dx), float(dy)

    def magnification(self, shape: tuple[int, int]) -> float:
        """How much larger things are in the frame than in the reference, in the middle of a frame of ``shape``."""
        middle = np.array([[(shape[1] - 1) / 2.0, (shape[0] - 1) / 2.0]])
        around = middle + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        origin, right, below = project(np.linalg.inv(self.matrix), around)
        (a, c), (b, d) = right - origin, below - origin
        return float(1.0 / np.sqrt(max(abs(a * d - b * c), 1e-6)))

    def to_record(self, shape: tuple[int, int]) -> dict[str, Any]:
        """Displacement of the middle (px, four digits) and the matrix where it is more than a shift."""
        dx, dy = self.displacement(shape)
        record: dict[str, Any] = {"shift": [round(dx, 4), round(dy, 4)]}
        if self.as_shift(shape) is None:
            record["matrix"] = [[float(f"{value:.8g}") for value in row] for row in self.matrix]
            record["dense"] = self.places is not None
        return record


def placed(x: float, y: float) -> np.ndarray:
    """The motion that takes (0, 0) to (``x``, ``y``), float64 (3, 3)."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def project(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (n, 2) through a homography."""
    moved = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.asarray(moved[:, :2] / moved[:, 2:])


def grid_through(matrix: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(columns, rows), float32 (rows, columns), of a picture's pixel centres through a homography."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    below = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    columns = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / below
    rows = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / below
    return columns.astype(np.float32), rows.astype(np.float32)
