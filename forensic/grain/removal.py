"""Grain taken out: every block of a few frames is shrunk, frequency by frequency, by what the grain's model has there.

Wiener's filter on overlapping blocks with the noise spectrum of the model, as libaom's noise model does it for one
frame; here over neighbouring frames too, in which what stands still adds up and grain does not (fft3dfilter's
idea). Blocks take half of each other, weighted by a sine on the way in and out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from forensic.grain.parameters import GrainParameters
from forensic.grain.synthesis import scaling_table, templates

BLOCK = 32
_SEEDS = 12
_OVER = 2.5  # times the model's power that is taken off: a periodogram scatters about its mean


def power_of(parameters: GrainParameters, plane: int, subsampling: tuple[int, int] | None) -> np.ndarray | None:
    """Mean power of the template's windowed transform, (side, side // 2 + 1) float32, at scaling 1; None without.

    In squares of what one step of ``scaling`` makes of the template, in 8-bit grey levels.
    """
    return _power(parameters, plane, subsampling)


def block_side(plane: int, subsampling: tuple[int, int] | None) -> int:
    """Side of the blocks of a plane: 32, and 16 where colour is coarser than luma."""
    return BLOCK // 2 if plane and subsampling is not None and any(subsampling) else BLOCK


@lru_cache(maxsize=16)
def _power(parameters: GrainParameters, plane: int, subsampling: tuple[int, int] | None) -> np.ndarray | None:
    side = block_side(plane, subsampling)
    window = _window(side)
    total: np.ndarray = np.zeros((side, side // 2 + 1))
    count = 0
    for trial in range(_SEEDS):
        grain = templates(parameters, 1 + 2503 * trial, 8, subsampling)[plane]
        if grain is None:
            return None
        for top in range(3, grain.shape[0] - side + 1, side // 2):
            for left in range(3, grain.shape[1] - 3 - side + 1, side // 2):
                block = grain[top : top + side, left : left + side] * window
                total += np.abs(np.fft.rfft2(block)) ** 2
                count += 1
    return np.asarray(total / (count * 4.0**parameters.scaling_shift), dtype=np.float32)


@lru_cache(maxsize=4)
def _window(side: int) -> np.ndarray:
    one = np.sin(np.pi * (np.arange(side) + 0.5) / side)
    return np.outer(one, one).astype(np.float32)


def degrained(
    planes: Sequence[np.ndarray],
    lumas: Sequence[np.ndarray],
    at: int,
    plane: int,
    parameters: GrainParameters,
    subsampling: tuple[int, int] | None,
    amount: float = 1.0,
) -> np.ndarray:
    """``planes[at]`` without its grain, float32 in grey levels.

    ``planes``: plane 0, 1 or 2 of consecutive frames; ``lumas``: their luma, by whose level the grain is scaled.
    ``amount``: times the model's power; 1 is what the model says.
    """
    power = power_of(parameters, plane, subsampling)
    if power is None:
        return planes[at]
    side = block_side(plane, subsampling)
    half = side // 2
    rows, columns = planes[at].shape
    window = _window(side)
    table = scaling_table(parameters.points_of(plane), 8)
    sub = subsampling if plane and subsampling is not None else (0, 0)
    level = lumas[at][:: 1 << sub[1], :: 1 << sub[0]][:rows, :columns]
    tall, wide = -(-rows // side) * side + side, -(-columns // side) * side + side
    edges = ((half, tall - rows - half), (half, wide - columns - half))
    padded = [np.pad(one, edges, mode="symmetric") for one in planes]
    levels = np.pad(level, edges, mode="symmetric")
    result = np.zeros((tall, wide), np.float32)
    turn = np.exp(2j * np.pi * np.arange(len(planes)) * at / len(planes)).astype(np.complex64) / len(planes)
    for top in (0, half):
        for left in (0, half):
            region = slice(top, top + (tall - top) // side * side), slice(left, left + (wide - left) // side * side)
            means = _blocks(levels[region], side).mean(axis=(1, 2))
            strength = table[np.clip(np.rint(means), 0, 255).astype(int)].astype(np.float32) ** 2
            spectra = np.stack([np.fft.rfft2(_blocks(one[region], side) * window) for one in padded])
            if len(planes) > 1:
                spectra = np.fft.fft(spectra, axis=0)
            taken = (_OVER * amount * len(planes)) * strength[:, None, None] * power
            found = np.abs(spectra) ** 2
            gain = np.maximum(found - taken, 0.0) / np.maximum(found, 1e-6)
            gain[0, :, 0, 0] = 1.0
            kept = np.tensordot(turn, spectra * gain, axes=(0, 0)) if len(planes) > 1 else spectra[0] * gain[0]
            blocks = np.fft.irfft2(kept, (side, side)).astype(np.float32) * window
            result[region] += _joined(blocks, region, side)
    return np.ascontiguousarray(result[half : half + rows, half : half + columns])


def _blocks(region: np.ndarray, side: int) -> np.ndarray:
    down, across = region.shape[0] // side, region.shape[1] // side
    return np.asarray(region.reshape(down, side, across, side).swapaxes(1, 2).reshape(down * across, side, side))


def _joined(blocks: np.ndarray, region: tuple[slice, slice], side: int) -> np.ndarray:
    down, across = ((one.stop - one.start) // side for one in region)
    return np.asarray(blocks.reshape(down, across, side, side).swapaxes(1, 2).reshape(down * side, across * side))
