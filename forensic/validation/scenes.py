"""Scenes as ground truth: drawn by program, so that no file is needed, or pictures that a laboratory brings."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from forensic.errors import BadInput, UsageError
from forensic.hashes import sha256_bytes
from forensic.media.opencv import opencv

_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg")
_MOST_BYTES = 256 << 20
_OVERSAMPLED = 2


def dead_leaves(height: int, width: int, seed: int) -> np.ndarray:
    """Occluding discs with radii by a cubic power law, float32 [height, width] in 0..255, antialiased.

    A. B. Lee, D. Mumford, J. Huang, Occlusion Models for Natural Images: A Statistical Study of a Scale-Invariant Dead
    Leaves Model, International Journal of Computer Vision 41 (2001), 35-59. A weak texture of its own is laid over.
    """
    cv2 = opencv()
    rng = np.random.default_rng([0x1EAF, seed])
    rows, columns = height * _OVERSAMPLED, width * _OVERSAMPLED
    picture = np.full((rows, columns), 110.0, np.float32)
    smallest, largest = 3.0 * _OVERSAMPLED, min(rows, columns) / 3.0
    texture = cv2.GaussianBlur(rng.standard_normal((rows, columns)).astype(np.float32), (0, 0), 1.5)
    texture *= 4.0 / float(texture.std())
    for _ in range(400):
        # inverse of the distribution with density r**-3 between both limits
        share = rng.uniform()
        radius = (smallest**-2 - share * (smallest**-2 - largest**-2)) ** -0.5
        centre = int(rng.integers(0, columns)), int(rng.integers(0, rows))
        cv2.circle(picture, centre, round(radius), float(rng.uniform(20, 235)), -1)
    return _halved(picture + texture)


def chart(height: int, width: int, seed: int) -> np.ndarray:
    """A test chart: slanted edges, gratings of several periods and rows of glyph-like bars; as :func:`dead_leaves`.

    Its places and levels follow from ``seed``. After the elements of ISO 12233 (slanted edges, bars) without its
    layout.
    """
    rng = np.random.default_rng([0xC4A7, seed])
    rows, columns = height * _OVERSAMPLED, width * _OVERSAMPLED
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    slant = np.deg2rad(rng.uniform(3.0, 9.0))
    dark, light = float(rng.uniform(25, 70)), float(rng.uniform(150, 230))
    across = (x - rng.uniform(0.25, 0.4) * columns) * np.cos(slant) + (y - rows / 2) * np.sin(slant)
    picture = np.where(across > 0, light, dark).astype(np.float32)
    top = int(rows * rng.uniform(0.05, 0.15))
    for period in (24, 16, 12, 8):
        band = slice(top, top + rows // 10)
        left = int(rng.integers(0, columns // 3))
        wave = 0.5 + 0.5 * np.sign(np.sin(2 * np.pi * (x[band, left : left + columns // 2]) / (period * _OVERSAMPLED)))
        picture[band, left : left + columns // 2] = dark + (light - dark) * wave
        top += rows // 8
    for _ in range(36):
        tall, wide = int(rng.integers(12, 40)), int(rng.integers(4, 12))
        row, column = int(rng.integers(rows // 2, rows - tall)), int(rng.integers(0, columns - wide))
        picture[row : row + tall, column : column + wide] = float(rng.choice([dark, light, 128.0]))
    return _halved(picture)


def _halved(picture: np.ndarray) -> np.ndarray:
    rows, columns = picture.shape
    blocks = picture.reshape(rows // _OVERSAMPLED, _OVERSAMPLED, columns // _OVERSAMPLED, _OVERSAMPLED)
    return np.asarray(np.clip(blocks.mean(axis=(1, 3)), 0, 255), dtype=np.float32)


def drawn(kind: str, height: int, width: int, seed: int) -> np.ndarray:
    """A scene of that kind. Raises ``UsageError`` (``validation.scene``)."""
    makers = {"leaves": dead_leaves, "chart": chart}
    if kind not in makers:
        raise UsageError("validation.scene", f"No scene is called {kind!r}.")
    return makers[kind](height, width, seed)


@dataclass(frozen=True)
class Picture:
    """A laboratory's picture as truth: luma (ITU-R BT.601, full range), float32, and the digest of its file."""

    name: str
    sha256: str
    luma: np.ndarray

    def to_record(self) -> dict[str, object]:
        """JSON-able."""
        return {"file": self.name, "sha256": self.sha256, "size": [self.luma.shape[1], self.luma.shape[0]]}

    def middle(self, height: int, width: int) -> np.ndarray:
        """Its middle part of that size. Raises ``BadInput`` (``validation.scene``) where it is smaller."""
        rows, columns = self.luma.shape
        if rows < height or columns < width:
            raise BadInput(
                "validation.scene", f"{self.name} has {columns}x{rows} pixels; {width}x{height} are needed at least."
            )
        top, left = (rows - height) // 2, (columns - width) // 2
        return self.luma[top : top + height, left : left + width]


def read_pictures(folder: Path) -> list[Picture]:
    """All pictures of ``folder`` (not of folders below), by name. Other files are not looked at.

    Raises ``UsageError`` (``validation.scenes``) where there is none or no such folder, ``BadInput``
    (``validation.scene``) for one that cannot be read.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    except OSError as error:
        raise UsageError("validation.scenes", f"{folder} cannot be read: {error.strerror}.") from error
    if not files:
        raise UsageError("validation.scenes", f"There is no picture in {folder}.", f"Readable: {', '.join(SUFFIXES)}.")
    pictures = [_picture(path) for path in files]
    if len({picture.sha256 for picture in pictures}) < len(pictures):
        raise BadInput(
            "validation.scene", f"Two files in {folder} are the same picture.", "Each counts as a scene: leave one out."
        )
    return pictures


def _picture(path: Path) -> Picture:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise BadInput("validation.scene", f"{path.name} is larger than {_MOST_BYTES >> 20} MiB.")
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            if image.mode not in _MODES:
                raise BadInput(
                    "validation.scene", f"{path.name} has samples of form {image.mode}, which 8 bits would clip.",
                    "Convert it to 8 bits a sample yourself, so that it is known how.",
                )  # fmt: skip
            luma = np.asarray(image.convert("L"), dtype=np.float32)
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise BadInput("validation.scene", f"{path.name} cannot be read as a picture: {error}.") from error
    return Picture(path.name, sha256_bytes(data), luma)
