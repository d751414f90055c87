"""Pictures of a run: read only if their digest is the recorded one, then cut and compared for print.

Pillow and NumPy only; nothing here can change what the output file holds.
"""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image
from reportlab.lib.utils import ImageReader

from forensic.errors import BadInput, VerificationFailed
from forensic.report.record import RunRecord

PRINT_DPI = 200
_GAINS = (32, 16, 8, 4, 2, 1)
_MAX_PIXELS = 1 << 27


def _refuse(name: str, reason: str) -> VerificationFailed:
    return VerificationFailed(
        "report.picture-changed",
        f"The picture {name} {reason}, so no report is made of it.",
        "Restore the run folder or run the enhancement again.",
    )


def _path_of(record: RunRecord, name: str) -> Path:
    parts = PurePosixPath(name)
    plain = not parts.is_absolute() and ".." not in parts.parts and "\\" not in name and ":" not in name
    path = record.folder / name
    if not plain or path.is_symlink() or not path.resolve().is_relative_to(record.folder.resolve()):
        raise _refuse(name, "does not lie within the run folder")
    return path


def read_picture(record: RunRecord, name: str) -> Image.Image:
    """Decode the PNG ``name`` of the run after its bytes were matched with every recorded digest.

    Returns a Pillow image of mode L or RGB (16-bit grey is not for print and comes as I;16).
    Raises ``VerificationFailed`` (``report.picture-changed``) if the file is missing, differs from
    a record or has none, and ``BadInput`` (``report.picture``) if it is no PNG of sane size.
    """
    path = _path_of(record, name)
    expected = record.digests.get(name)
    if not expected:
        raise _refuse(name, "has no recorded hash")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _refuse(name, f"cannot be read ({error.strerror or error})") from error
    if expected != {hashlib.sha256(data).hexdigest()}:
        raise _refuse(name, "does not have the recorded hash")
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=["PNG"])
        if image.width * image.height > _MAX_PIXELS:
            raise BadInput("report.picture", f"The picture {name} is too large to print.")
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput("report.picture", f"The picture {name} is not a readable PNG: {error}.") from error
    return image if image.mode in ("L", "RGB", "I;16") else image.convert("RGB")


def check_file(record: RunRecord, name: str) -> str:
    """Match the file ``name`` with its recorded digest without decoding it; return the digest."""
    path = _path_of(record, name)
    expected = record.digests.get(name, set())
    try:
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise _refuse(name, f"cannot be read ({error.strerror or error})") from error
    if expected != {actual}:
        raise _refuse(name, "does not have the recorded hash")
    return actual


def whole(image: Image.Image, width: float, height: float) -> tuple[ImageReader, float, float]:
    """``image`` fitted into ``width`` x ``height`` points, reduced to print resolution, JPEG at quality 92."""
    scale = min(width / image.width, height / image.height)
    shown = image.width * scale, image.height * scale
    pixels = max(1, round(shown[0] * PRINT_DPI / 72)), max(1, round(shown[1] * PRINT_DPI / 72))
    if pixels[0] < image.width:
        image = image.resize(pixels, Image.Resampling.HAMMING, reducing_gap=2.0)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=92, subsampling=0)
    stream.seek(0)
    return ImageReader(stream), *shown


def exact(image: Image.Image) -> ImageReader:
    """``image`` sample for sample."""
    return ImageReader(image)


def busiest(image: Image.Image, width: int, height: int) -> tuple[int, int]:
    """Corner (x, y) of the ``width`` x ``height`` window with the most structure.

    Structure is the sum of absolute differences between neighbours, in integers so that the choice
    is the same everywhere; burned-in text at the very border is avoided by leaving out a margin.
    """
    grey = np.asarray(image.convert("L")).astype(np.int32)
    rows, columns = grey.shape
    activity = np.zeros((rows + 1, columns + 1), np.int64)
    energy = np.zeros_like(grey)
    energy[:, 1:] += np.abs(np.diff(grey, axis=1))
    energy[1:, :] += np.abs(np.diff(grey, axis=0))
    np.cumsum(np.cumsum(energy, axis=0), axis=1, out=activity[1:, 1:])
    margin_y = min(rows // 12, (rows - height) // 2)
    margin_x = min(columns // 20, (columns - width) // 2)
    ys = np.arange(margin_y, rows - height - margin_y + 1, 4)
    xs = np.arange(margin_x, columns - width - margin_x + 1, 4)
    total = (
        activity[np.ix_(ys + height, xs + width)]
        - activity[np.ix_(ys, xs + width)]
        - activity[np.ix_(ys + height, xs)]
        + activity[np.ix_(ys, xs)]
    )
    row, column = np.unravel_index(int(np.argmax(total)), total.shape)
    return int(xs[column]), int(ys[row])


@dataclass(frozen=True)
class Difference:
    """Absolute brightness difference as a picture (white less ``gain`` times it), and its size in grey levels."""

    image: Image.Image
    gain: int
    mean_absolute: float
    percentile_99: int
    largest: int
    clipped_share: float
    changed_share: float


def difference(before: Image.Image, after: Image.Image) -> Difference:
    """After minus ``before`` (brought to the size of ``after`` by bicubic interpolation).

    Brightness is the Rec. 601 weighted sum rounded to whole grey levels (Pillow's mode L). The gain
    is the largest power of two up to 32 that keeps 99 % of the differences within half the scale.
    The sign is left out, so that differences do not cancel where the picture is reduced.
    """
    grey = before.convert("L")
    resized = grey if grey.size == after.size else grey.resize(after.size, Image.Resampling.BICUBIC)
    delta = np.asarray(after.convert("L")).astype(np.int16) - np.asarray(resized).astype(np.int16)
    counts = np.bincount(np.abs(delta).ravel(), minlength=256)
    levels = np.arange(256)
    percentile = int(np.searchsorted(np.cumsum(counts), 0.99 * delta.size))
    gain = next((gain for gain in _GAINS if gain * percentile <= 128), 1)
    return Difference(
        Image.fromarray((255 - np.minimum(np.abs(delta) * gain, 255)).astype(np.uint8)),
        gain,
        float((counts * levels).sum() / delta.size),
        percentile,
        int(np.flatnonzero(counts)[-1]),
        float(counts[255 // gain + 1 :].sum() / delta.size),
        float(counts[1:].sum() / delta.size),
    )


def darkest(image: Image.Image, width: float, height: float) -> tuple[Image.Image, int]:
    """``image`` (mode L) reduced by whole blocks to what ``width`` x ``height`` points can print.

    Each block becomes its darkest element, so that a thin dark line is not averaged away. Returns
    the picture and the blocks' side in elements; blocks at the right and lower border may be smaller.
    """
    scale = min(width / image.width, height / image.height)
    side = max(1, math.ceil(72 / (scale * PRINT_DPI)))
    if side == 1:
        return image, 1
    levels = np.asarray(image)
    rows, columns = (np.arange(0, length, side) for length in levels.shape)
    return Image.fromarray(np.minimum.reduceat(np.minimum.reduceat(levels, rows, axis=0), columns, axis=1)), side


def level_shares(record: RunRecord, name: str) -> dict[str, float]:
    """Share of the picture's area per level of a level map: LOW, MEDIUM, HIGH, NOT ASSESSED.

    A map with any other value is refused (``report.picture-changed``).
    """
    if name in record.level_shares:
        return record.level_shares[name]
    histogram = read_picture(record, name).convert("L").histogram()
    total = sum(histogram)
    shares = {"LOW": histogram[0], "MEDIUM": histogram[1], "HIGH": histogram[2], "NOT ASSESSED": histogram[255]}
    if sum(shares.values()) != total:
        raise _refuse(name, "holds values that are not levels")
    record.level_shares[name] = {level: count / total for level, count in shares.items()}
    return record.level_shares[name]
