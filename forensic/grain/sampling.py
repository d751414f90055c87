"""Flat places of consecutive frames: where what differs from a smooth surface is noise, and little else.

Blocks of 32 x 32 are freed of a quadratic surface (after the flat blocks of Norkin and Birkbeck, DCC 2018, and of
libaom's noise model, who take a plane). A block is chosen by what the first frame shows there, and what is measured is
the difference to the next, in which texture that stands still cancels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from forensic.frames.frame import WorkingFrame

BLOCK = 32
BAND = 16  # grey levels
MOST_PLACES = 12
SPAN = 1500  # frames from the first on within which places are chosen
_LOW, _HIGH = 3.0, 252.0  # what lies beyond may be clipped
_TAIL, _ABOVE_TAIL = 0.12, 1.7
_FEWEST_IN_BAND = 8
_MOST_BLOCKS = 300  # of a pair of frames
_COARSE = 8
_COARSE_ABOVE = 3.0
_REACH = 12
_SAME_ELSEWHERE = 0.35
_DEAD = 0.02  # mean square of a second difference, in grey levels, below which a block has no fine detail at all
_REPEATED = 0.9
_MEANS_APART = 4.0
_SMALL = 512  # samples
_AS_FLAT = 3.0


@dataclass(frozen=True)
class Picture:
    """Planes of one frame in 8-bit grey levels, float32; ``subsampling`` (x, y) of colour, None without."""

    index: int
    planes: tuple[np.ndarray, ...]
    subsampling: tuple[int, int] | None
    bits: int = 8

    @staticmethod
    def of(frame: WorkingFrame) -> Picture:
        """From a frame of any layout; of RGB only luma is looked at."""
        layout = frame.geometry.layout
        if layout.family != "yuv":
            return Picture(frame.timing.index, (frame.luma,), None, layout.bits)
        return Picture(
            frame.timing.index, frame.planes, (layout.chroma_shift_x, layout.chroma_shift_y), layout.bits
        )  # fmt: skip


def places(count: int) -> list[int]:
    """First frames of the pairs that are looked at in a clip of ``count`` frames: up to 12, evenly spaced.

    They lie within the first 1500 frames, depend on ``count`` alone, and a clip of one frame has place 0 alone.
    """
    span = min(count - 1, SPAN)
    if span < 1:
        return [0] if count else []
    number = min(MOST_PLACES, span)
    return sorted({(2 * place + 1) * span // (2 * number) for place in range(number)})


@dataclass
class Residuals:
    """Blocks that were chosen, of all pairs. Lists have one item for each pair, whose arrays have a row for each block.

    ``changing``: residual planes (blocks, rows, columns): the difference of both frames over the square root of two, in
    which what stands still cancels; of a single picture the residual itself. ``level``: mean of luma. ``flat``: whether
    the block is flat; the others hold texture that stands still, and are taken for levels at which too few are flat.
    ``total``: mean square residual of luma, texture included. ``blocks``, ``usable`` (not clipped, not changed at
    large), ``dead`` (without fine detail) and ``repeated`` (at ``repeated_levels``) count all blocks; ``moved`` those
    left out because their texture moved.
    """

    changing: list[tuple[np.ndarray, ...]] = field(default_factory=list)
    level: list[np.ndarray] = field(default_factory=list)
    flat: list[np.ndarray] = field(default_factory=list)
    total: list[np.ndarray] = field(default_factory=list)
    subsampling: tuple[int, int] | None = None
    bits: int = 8
    pairs: int = 0
    identical_pairs: int = 0
    blocks: int = 0
    usable: int = 0
    dead: int = 0
    repeated: int = 0
    repeated_levels: list[np.ndarray] = field(default_factory=list)
    moved: int = 0
    frames: list[int] = field(default_factory=list)

    @property
    def chosen(self) -> int:
        """Flat blocks that are measured."""
        return sum(int(flat.sum()) for flat in self.flat)

    def of_flat(self, plane: int) -> list[np.ndarray]:
        """What changes in flat blocks of a plane, and :meth:`levels_of_flat` theirs."""
        return [one[plane][flat] for one, flat in zip(self.changing, self.flat, strict=True)]

    @property
    def levels_of_flat(self) -> list[np.ndarray]:
        """Levels of the flat blocks."""
        return [level[flat] for level, flat in zip(self.level, self.flat, strict=True)]


def residuals_of(groups: Iterable[Sequence[Picture]]) -> Residuals:
    """Residuals of ``groups``, each a pair of consecutive pictures or, where there is only one, that one."""
    found = Residuals()
    for group in groups:
        found.subsampling, found.bits = group[0].subsampling, group[0].bits
        found.frames += [one.index for one in group]
        if len(group) == 1:
            _single(found, group[0])
        elif all(np.array_equal(a, b) for a, b in zip(group[0].planes, group[1].planes, strict=True)):
            found.identical_pairs += 1
        else:
            _pair(found, group[0], group[1])
    return found


@dataclass(frozen=True)
class _Tiles:
    level: np.ndarray
    residual: np.ndarray
    variance: np.ndarray
    coarse: np.ndarray
    usable: np.ndarray
    dead: np.ndarray


def _pair(found: Residuals, first: Picture, second: Picture) -> None:
    found.pairs += 1
    one, other = (_tiles(each.planes[0]) for each in (first, second))
    usable = one.usable & other.usable & (np.abs(one.level - other.level) < _MEANS_APART)
    found.blocks += usable.size
    found.usable += int(usable.sum())
    found.dead += int((usable & (one.dead | other.dead)).sum())
    cut = zip(_cut(first.planes[0]), _cut(second.planes[0]), strict=True)
    usable &= ~_counted_repeats(found, one.level, usable, np.array([np.mean(a == b) for a, b in cut]) > _REPEATED)
    flat = _flat(one, usable) & (other.variance < 4.0 * np.maximum(one.variance, 1e-3))
    chosen = _thinned(np.flatnonzero(flat))
    changing = (one.residual - other.residual) * np.float32(0.5**0.5)
    power = np.asarray(np.mean(changing * changing, axis=(1, 2), dtype=np.float64))
    standing = _thinned(np.flatnonzero(_filling(one, usable & ~flat, chosen, power)))
    both = np.concatenate([chosen, standing])
    moved = _moved(one.residual[both], other.residual[both])
    found.moved += int(moved.sum())
    kept = both[~moved]
    if kept.size:
        colours = [
            (a[kept] - b[kept]) * np.float32(0.5**0.5)
            for a, b in zip(_colour_tiles(first), _colour_tiles(second), strict=True)
        ]
        found.changing.append((changing[kept], *colours))
        found.level.append(one.level[kept])
        found.flat.append(flat[kept])
        found.total.append(0.5 * (one.variance[kept] + other.variance[kept]))


def _counted_repeats(found: Residuals, level: np.ndarray, usable: np.ndarray, repeated: np.ndarray) -> np.ndarray:
    found.repeated += int((usable & repeated).sum())
    found.repeated_levels.append(level[usable & repeated])
    return repeated


def _filling(tiles: _Tiles, usable: np.ndarray, chosen: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Blocks that change no more than flat ones do, at levels at which fewer than eight of those were chosen."""
    if not chosen.size:
        return np.zeros(usable.size, bool)
    band = (tiles.level // BAND).astype(int)
    count = np.bincount(band[chosen], minlength=int(band.max()) + 1)
    limit = _AS_FLAT * float(np.median(power[chosen]))
    return np.asarray(usable & ~tiles.dead & (count[band] < _FEWEST_IN_BAND) & (power <= limit))


def _single(found: Residuals, picture: Picture) -> None:
    tiles = _tiles(picture.planes[0])
    found.blocks += tiles.usable.size
    found.usable += int(tiles.usable.sum())
    found.dead += int((tiles.usable & tiles.dead).sum())
    chosen = _thinned(np.flatnonzero(_flat(tiles, tiles.usable)))
    if chosen.size:
        found.changing.append((tiles.residual[chosen], *(plane[chosen] for plane in _colour_tiles(picture))))
        found.level.append(tiles.level[chosen])
        found.flat.append(np.ones(chosen.size, bool))
        found.total.append(tiles.variance[chosen])


def _cut(plane: np.ndarray, rows: int = BLOCK, columns: int = BLOCK) -> np.ndarray:
    """Blocks of ``plane``, (blocks, rows, columns), in raster order; what does not fill one is left out."""
    down, across = plane.shape[0] // rows, plane.shape[1] // columns
    cut = plane[: down * rows, : across * columns].reshape(down, rows, across, columns)
    return np.ascontiguousarray(cut.swapaxes(1, 2)).reshape(down * across, rows, columns)


def _smooth_free(blocks: np.ndarray) -> np.ndarray:
    """``blocks`` without the quadratic surface (small ones: without the plane) that fits each best."""
    count, rows, columns = blocks.shape
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    terms = [np.ones_like(x), x, y, x * x, x * y, y * y][: 6 if rows * columns > _SMALL else 3]
    basis = np.linalg.qr(np.stack(terms, axis=-1).reshape(rows * columns, -1))[0].astype(np.float32)
    flat = blocks.reshape(count, rows * columns)
    return np.asarray(flat - (flat @ basis) @ basis.T).reshape(blocks.shape)


def _tiles(luma: np.ndarray) -> _Tiles:
    blocks = _cut(luma)
    level = np.asarray(blocks.mean(axis=(1, 2)))
    residual = _smooth_free(blocks)
    variance = np.asarray(np.mean(residual * residual, axis=(1, 2), dtype=np.float64))
    side = BLOCK // _COARSE
    means = residual.reshape(-1, side, _COARSE, side, _COARSE).mean(axis=(2, 4))
    coarse = np.asarray(np.mean(means * means, axis=(1, 2), dtype=np.float64) / np.maximum(variance, 1e-6))
    usable = (blocks.min(axis=(1, 2)) >= _LOW) & (blocks.max(axis=(1, 2)) <= _HIGH)
    fine = np.diff(blocks, axis=2)
    fine = fine[:, 1:] - fine[:, :-1]
    dead = np.asarray(np.mean(fine * fine, axis=(1, 2)) < _DEAD)
    return _Tiles(level, residual, variance, coarse, usable, dead)


def _colour_tiles(picture: Picture) -> tuple[np.ndarray, ...]:
    if picture.subsampling is None:
        return ()
    across, down = picture.subsampling
    down_count, across_count = picture.planes[0].shape[0] // BLOCK, picture.planes[0].shape[1] // BLOCK
    rows, columns = BLOCK >> down, BLOCK >> across
    return tuple(
        _smooth_free(_cut(plane[: down_count * rows, : across_count * columns], rows, columns))
        for plane in picture.planes[1:3]
    )


def _flat(tiles: _Tiles, usable: np.ndarray) -> np.ndarray:
    """Blocks near the quietest of their band of levels whose unevenness is no coarser than that of the others there."""
    flat = np.zeros(usable.size, bool)
    band = (tiles.level // BAND).astype(int)
    for number in np.unique(band[usable]):
        inside = np.flatnonzero(usable & (band == number) & ~tiles.dead)
        if inside.size < _FEWEST_IN_BAND:
            continue
        tail = float(np.quantile(tiles.variance[inside], _TAIL))
        quiet = inside[tiles.variance[inside] <= _ABOVE_TAIL * tail]
        usual = float(np.median(tiles.coarse[quiet]))
        flat[quiet[tiles.coarse[quiet] <= _COARSE_ABOVE * usual + 1e-9]] = True
    return flat


def _thinned(chosen: np.ndarray) -> np.ndarray:
    if chosen.size <= _MOST_BLOCKS:
        return chosen
    return chosen[np.arange(_MOST_BLOCKS) * chosen.size // _MOST_BLOCKS]


def _moved(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Blocks whose residual stands, displaced by up to 12 samples, in the other frame: texture that moved."""
    if not len(first):
        return np.zeros(0, bool)
    size = 2 * BLOCK
    spectra = np.fft.rfft2(first, (size, size)) * np.conj(np.fft.rfft2(second, (size, size)))
    cross = np.fft.fftshift(np.fft.irfft2(spectra, (size, size)), axes=(1, 2))
    near = cross[:, BLOCK - _REACH : BLOCK + _REACH + 1, BLOCK - _REACH : BLOCK + _REACH + 1]
    peak, here = near.max(axis=(1, 2)), near[:, _REACH, _REACH]
    norm = np.sqrt(np.sum(first * first, axis=(1, 2)) * np.sum(second * second, axis=(1, 2)))
    # What stands still is highest here; it is told from grain by its covariance with the next frame.
    return np.asarray((peak > here) & (peak / np.maximum(norm, 1e-6) > _SAME_ELSEWHERE))
