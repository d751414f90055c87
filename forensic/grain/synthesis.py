"""Grain made from its parameters, as every AV1 decoder makes it (specification 7.18.3), in whole numbers throughout.

The random numbers are those of the specification: a 16-bit shift register and the Gaussian sequence. What a frame gets
depends on parameters, seed, and picture alone. dav1d's output is met bit for bit (docs/grain.md).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np

from forensic.grain.gaussian import GAUSSIAN_SEQUENCE
from forensic.grain.parameters import GrainParameters, Points, neighbours

LARGEST_SEED = 65535
_ROWS, _COLUMNS = 73, 82
_PADDING = 3
_BLOCK = 32
_XOR = (0, 0xB524, 0x49D8)
_SEED_STEP = 40507  # has no factor in common with 65535: a clip shorter than that repeats none
_BLEND = {0: ((27, 17), (17, 27)), 1: ((23, 22),)}


def frame_seed(seed: int, index: int) -> int:
    """Seed of frame ``index``, 1 to 65535: step ``index`` of a fixed walk over them all that begins at ``seed`` + 1."""
    return 1 + (seed + _SEED_STEP * index) % LARGEST_SEED


@lru_cache(maxsize=1)
def _register() -> tuple[np.ndarray, np.ndarray]:
    """States of the shift register in order, beginning at 1, twice over; and the place of every state."""
    states = np.empty(2 * LARGEST_SEED, np.int32)
    state = 1
    for number in range(LARGEST_SEED):
        states[number] = states[number + LARGEST_SEED] = state
        bit = (state ^ (state >> 1) ^ (state >> 3) ^ (state >> 12)) & 1
        state = (state >> 1) | (bit << 15)
    places = np.zeros(LARGEST_SEED + 1, np.int32)
    places[states[:LARGEST_SEED]] = np.arange(LARGEST_SEED)
    return states, places


def random_numbers(seed: int, count: int, bits: int) -> np.ndarray:
    """``count`` numbers of ``bits`` bits, ``get_random_number`` of the specification, from the register at ``seed``."""
    if not seed:
        return np.zeros(count, np.int32)  # the register stays where it is
    states, places = _register()
    if count > LARGEST_SEED:
        raise ValueError(count)
    first = int(places[seed]) + 1
    return np.asarray(states[first : first + count] >> (16 - bits))


def _rounded(value: np.ndarray, shift: int) -> np.ndarray:
    """``Round2`` of the specification, for values of either sign."""
    return np.asarray((value + ((1 << shift) >> 1)) >> shift)


def _limits(bits: int) -> tuple[int, int]:
    return -(128 << (bits - 8)), (128 << (bits - 8)) - 1


def _excitation(seed: int, shape: tuple[int, int], parameters: GrainParameters, bits: int) -> np.ndarray:
    drawn = GAUSSIAN_SEQUENCE[random_numbers(seed, shape[0] * shape[1], 11)].reshape(shape)
    return _rounded(drawn, 12 - bits + parameters.grain_shift)


def _filtered(grain: np.ndarray, given: np.ndarray | None, parameters: GrainParameters, plane: int, bits: int) -> None:
    """Run the autoregressive filter over ``grain`` in place; ``given``: what luma adds to each sample's sum."""
    low, high = _limits(bits)
    lag, shift = parameters.lag, parameters.ar_shift
    places = neighbours(lag)
    weights = parameters.coefficients_of(plane)[: len(places)]
    half = (1 << shift) >> 1
    rows, columns = grain.shape
    inner = slice(_PADDING, columns - _PADDING)
    third, second, first = (0,) * (3 - lag) + weights[len(weights) - lag :] if lag else (0, 0, 0)
    for row in range(_PADDING, rows):
        sums = np.zeros(columns - 2 * _PADDING, np.int64) if given is None else given[row - _PADDING].copy()
        for (up, across), weight in zip(places, weights, strict=True):
            if up and weight:
                sums += weight * grain[row + up, inner.start + across : inner.stop + across]
        line = grain[row].tolist()
        farthest, farther, near = line[:_PADDING]
        for column, total in enumerate(sums.tolist(), start=_PADDING):  # each needs those to the left of it
            total += third * farthest + second * farther + first * near
            made = line[column] + ((total + half) >> shift)
            farthest, farther, near = farther, near, low if made < low else min(made, high)
            line[column] = near
        grain[row] = line


@lru_cache(maxsize=4)
def templates(
    parameters: GrainParameters, seed: int, bits: int, subsampling: tuple[int, int] | None
) -> tuple[np.ndarray | None, ...]:
    """Grain of luma, Cb and Cr (int32): 73 x 82, colour as ``subsampling`` (x, y) has it; None where there is none.

    ``subsampling`` None: the picture has no colour.
    """
    luma = _excitation(seed, (_ROWS, _COLUMNS), parameters, bits)
    if parameters.luma_points:
        _filtered(luma, None, parameters, 0, bits)
    made: list[np.ndarray | None] = [luma if parameters.luma_points else None]
    for plane in (1, 2) if subsampling is not None else ():
        if not parameters.points_of(plane):
            made.append(None)
            continue
        across, down = subsampling or (0, 0)
        shape = (38 if down else _ROWS, 44 if across else _COLUMNS)
        grain = _excitation(seed ^ _XOR[plane], shape, parameters, bits)
        given = None
        if parameters.luma_points:
            total = np.zeros((shape[0] - _PADDING, shape[1] - 2 * _PADDING), np.int64)
            for row in range(1 + down):
                for column in range(1 + across):
                    total += luma[
                        _PADDING + row : _PADDING + row + (total.shape[0] << down) : 1 << down,
                        _PADDING + column : _PADDING + column + (total.shape[1] << across) : 1 << across,
                    ]
            given = parameters.coefficients_of(plane)[-1] * _rounded(total, across + down)
        _filtered(grain, given, parameters, plane, bits)
        made.append(grain)
    return tuple(made)


@lru_cache(maxsize=16)
def scaling_table(points: Points, bits: int) -> np.ndarray:
    """Scaling of every level, (2 ** bits,) int32: straight lines between ``points``, level beyond them."""
    table = np.zeros(257, np.int32)
    if points:
        table[: points[0][0]] = points[0][1]
        for (first, low), (last, high) in pairwise(points):
            width = last - first
            delta = (high - low) * ((65536 + (width >> 1)) // width)
            table[first:last] = low + ((np.arange(width) * delta + 32768) >> 16)
        table[points[-1][0] :] = points[-1][1]
    shift = bits - 8
    if not shift:
        return table[:256]
    level, rest = np.divmod(np.arange(1 << bits), 1 << shift)
    fine = table[level] + _rounded((table[level + 1] - table[level]) * rest, shift)
    return np.where(level == 255, table[255], fine).astype(np.int32)


def _spread(
    grain: np.ndarray, seed: int, size: tuple[int, int], sub: tuple[int, int], overlap: bool, bits: int
) -> np.ndarray:
    """The template's blocks laid over a plane of ``size`` (rows, columns), at the places that chance gives."""
    rows, columns = size
    across, down = sub
    wide, high = _BLOCK >> across, _BLOCK >> down
    low_limit, high_limit = _limits(bits)
    laid = np.zeros((rows, columns), np.int32)
    extra_x, extra_y = (2 >> across, 2 >> down) if overlap else (0, 0)
    for number, top in enumerate(range(0, rows, high)):
        start = seed ^ (((number * 37 + 178) & 255) << 8) ^ ((number * 173 + 105) & 255)
        drawn = random_numbers(start, -(-columns // wide), 8)
        height = min(high + extra_y, rows - top)
        stripe = np.zeros((height, columns), np.int32)
        for place, (value, left) in enumerate(zip(drawn.tolist(), range(0, columns, wide), strict=True)):
            width = min(wide + extra_x, columns - left)
            at_x = _PADDING + (2 >> across) * (3 + (value >> 4))
            at_y = _PADDING + (2 >> down) * (3 + (value & 15))
            block = grain[at_y : at_y + height, at_x : at_x + width]
            shared = min(extra_x, width) if place else 0
            for column in range(shared):
                old_weight, new_weight = _BLEND[across][column]
                old = stripe[:, left + column]
                mixed = _rounded(old * old_weight + block[:, column] * new_weight, 5)
                stripe[:, left + column] = np.clip(mixed, low_limit, high_limit)
            stripe[:, left + shared : left + width] = block[:, shared:]
        shared = min(extra_y, height) if number else 0
        for row in range(shared):
            old_weight, new_weight = _BLEND[down][row]
            mixed = _rounded(laid[top + row] * old_weight + stripe[row] * new_weight, 5)
            laid[top + row] = np.clip(mixed, low_limit, high_limit)
        laid[top + shared : top + height] = stripe[shared:]
    return laid


def _luma_at(luma: np.ndarray, sub: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """Luma for every colour sample: of its first row, the mean of two columns where colour is half as wide."""
    across, down = sub
    rows = luma[:: 1 << down][: shape[0]]
    first = rows[:, :: 1 << across][:, : shape[1]]
    if not across:
        return first
    beside = np.minimum(np.arange(shape[1]) * 2 + 1, luma.shape[1] - 1)
    return np.asarray((first + rows[:, beside] + 1) >> 1)


def noise(
    planes: tuple[np.ndarray, ...],
    parameters: GrainParameters,
    seed: int,
    bits: int,
    subsampling: tuple[int, int] | None,
) -> tuple[np.ndarray | None, ...]:
    """What is added to each of ``planes`` (code values, int32, of ``bits`` bits), int32; None where nothing is.

    ``bits``: 8, 10 or 12. ``seed``: of this frame, 0 to 65535. ``subsampling``: (x, y) shifts of colour, None without.
    """
    luma = planes[0]
    made: list[np.ndarray | None] = []
    for plane, grain in enumerate(templates(parameters, seed, bits, subsampling)):
        if grain is None:
            made.append(None)
            continue
        sub = subsampling if plane and subsampling is not None else (0, 0)
        own = planes[plane]
        laid = _spread(grain, seed, (own.shape[0], own.shape[1]), sub, parameters.overlap, bits)
        level = luma if not plane else _luma_at(luma, sub, (own.shape[0], own.shape[1]))
        if plane and not parameters.chroma_from_luma:
            name = ("cb", "cr")[plane - 1]
            mult, luma_mult, offset = (getattr(parameters, f"{name}_{one}") for one in ("mult", "luma_mult", "offset"))
            mixed = (level * (luma_mult - 128) + own * (mult - 128)) >> 6
            level = np.clip(mixed + ((offset - 256) << (bits - 8)), 0, (1 << bits) - 1)
        scaling = scaling_table(parameters.points_of(plane), bits)[level]
        made.append(_rounded(scaling * laid, parameters.scaling_shift))
    return tuple(made)


def bounds(parameters: GrainParameters, plane: int, bits: int) -> tuple[int, int]:
    """Lowest and highest code value that plane 0, 1 or 2 may have with its grain."""
    if not parameters.restricted:
        return 0, (1 << bits) - 1
    return 16 << (bits - 8), (240 if plane else 235) << (bits - 8)
