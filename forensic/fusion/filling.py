"""Damaged pixels of one frame filled from other frames in which the same place is seen, and from nothing else.

Motion is estimated outside the damage and carried into it; the frame is filled once on that ground, and the motion is
then estimated again with the first filling in place, where it is believed only if it leads there and back. A frame
counts at a pixel if the place lies in its picture, is not damaged there too, and if the surroundings of the damage
match. Several frames must agree; their mean is taken, in the light of the frame that is filled.

A. C. Kokaram, Motion Picture Restoration (Springer, 1998), chapters 6 to 8 (motion into missing data, then pixels along
it); Y. Wexler, E. Shechtman, M. Irani, Space-Time Completion of Video, PAMI 29 (2007), 463-476 (one consistent source).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from forensic.fusion.between import Flow, flows, grid, looked_up
from forensic.fusion.interpolation import inside, sampled

_CLEAR = 2  # px around damage that are not believed: its rim is faint, and interpolation reaches this far
_LIGHT_REACH = 4.0  # px (standard deviation): over which the difference in light beside the damage is taken
_LARGEST_LIGHT = 24.0  # grey levels: a larger difference is another thing, not another light
_MATCH_REACH = 6.0  # px (standard deviation): over which the surroundings are compared


@dataclass(frozen=True)
class View:
    """A frame: ``parts``, luma and colour planes (float32), and ``mask`` (boolean, luma pixels) of what is damaged."""

    parts: tuple[np.ndarray, ...]
    mask: np.ndarray


@dataclass(frozen=True)
class Siting:
    """Where colour samples lie: ``pitch`` (x, y) in luma samples, ``first`` (x, y) of the top left one."""

    pitch: tuple[int, int] = (1, 1)
    first: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Used:
    """What the view at ``place`` gave: the share of the damaged pixels at which it was heard, and agreed.

    ``mismatch``: mean difference of the surroundings, grey levels. ``light``: mean difference in light that was
    evened out.
    """

    place: int
    heard: float
    agreed: float
    mismatch: float
    light: float


@dataclass(frozen=True)
class Filled:
    """``parts``: the planes; ``support``: uint8 (rows, columns), how many frames gave a luma pixel, 0 where none did.

    ``colour_left``: damaged colour samples that no frame gave, boolean (rows, columns of a colour plane), None without
    colour. ``used``: by view.
    """

    parts: tuple[np.ndarray, ...]
    support: np.ndarray
    colour_left: np.ndarray | None
    used: tuple[Used, ...]


def smoothed_in(plane: np.ndarray, known: np.ndarray) -> np.ndarray:
    """``plane`` (float32) with what is not ``known`` (boolean) made of what is around it; a pyramid of means.

    S. J. Gortler, R. Grzeszczuk, R. Szeliski, M. F. Cohen, The Lumigraph, SIGGRAPH 1996, 43-54 (push and pull).
    """
    if known.all() or not known.any():
        return plane
    return np.where(known, plane, _pulled(plane * known, known.astype(np.float32)))


def _pulled(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """``total`` / ``weight`` where there is weight, from the coarser level where there is none."""
    own = total / np.maximum(weight, np.float32(1e-6))
    if min(weight.shape) < 2 or (weight > 0).all():
        return own
    half = tuple(-(-side // 2) for side in reversed(weight.shape))
    coarse = _pulled(*(cv2.resize(plane, half, interpolation=cv2.INTER_AREA) for plane in (total, weight)))
    back = cv2.resize(coarse, (weight.shape[1], weight.shape[0]), interpolation=cv2.INTER_LINEAR)
    share = np.minimum(weight, np.float32(1.0))
    return share * own + (np.float32(1.0) - share) * back


def fill(
    views: Sequence[View], at: int, siting: Siting, *, least: int, tolerance: float, largest_mismatch: float
) -> Filled:
    """Fill the damage of ``views[at]`` from the others.

    ``least``: frames that must agree. ``tolerance``: grey levels by which a frame may miss the median and still agree.
    ``largest_mismatch``: grey levels by which the surroundings may differ.
    """
    own = views[at]
    support = np.zeros(own.mask.shape, np.uint8)
    others = [place for place in range(len(views)) if place != at]
    if not own.mask.any() or not others:
        coloured = len(own.parts) > 1
        left = colour_mask(own.mask, own.parts[1].shape, siting.pitch) if coloured else None
        return Filled(own.parts, support, left, ())
    pictures = [smoothed_in(view.parts[0], ~_around(view.mask, _CLEAR)) for view in views]
    picture, trusted = pictures[at], ~_around(own.mask, _CLEAR)
    for _ in range(2):
        candidates = [
            _candidate(own, views[place], flows(picture, pictures[place])[0], trusted, largest_mismatch)
            for place in others
        ]
        values, frames = _agreed([one.luma for one in candidates], [one.heard for one in candidates], least, tolerance)
        luma, done = own.parts[0].copy(), np.zeros_like(own.mask)
        done[own.mask] = frames > 0
        luma[done] = values[frames > 0]
        picture = smoothed_in(luma, ~own.mask | done)
        trusted = ~_around(own.mask, _CLEAR) | done
    support[own.mask] = frames
    colour, left = _coloured(own, [views[place] for place in others], candidates, siting, least, tolerance)
    if left is not None:
        # A colour sample and the pixels that it stands for are filled whole, or not at all.
        left |= colour_mask(own.mask & (support == 0), left.shape, siting.pitch)
        blocks = own.mask & luma_mask(left, own.mask.shape, siting.pitch)
        support[blocks] = 0
        luma[blocks] = own.parts[0][blocks]
        for part, before in zip(colour, own.parts[1:], strict=True):
            part[left] = before[left]
    used = tuple(
        Used(
            place,
            float(np.mean(one.heard)),
            float(np.mean(one.heard & (frames > 0) & (np.abs(one.luma - values) <= tolerance))),
            one.mismatch,
            one.light,
        )
        for place, one in zip(others, candidates, strict=True)
    )
    return Filled((luma, *colour), support, left, used)


def _around(mask: np.ndarray, reach: int) -> np.ndarray:
    """``mask`` widened by ``reach`` px."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0


@dataclass(frozen=True)
class _Candidate:
    """What another view shows at the damaged pixels of this one, in their order: ``luma``, in this one's light, and
    where it is ``heard``; ``dx``, ``dy``: the motion to it, of all pixels."""

    luma: np.ndarray
    heard: np.ndarray
    dx: np.ndarray
    dy: np.ndarray
    mismatch: float
    light: float


def _candidate(own: View, other: View, flow: Flow, trusted: np.ndarray, largest_mismatch: float) -> _Candidate:
    x, y = grid((own.mask.shape[0], own.mask.shape[1]))
    damaged = other.mask.astype(np.float32)
    reliable = flow.believed & trusted & (looked_up(damaged, x + flow.dx, y + flow.dy) == 0)
    dx, dy = smoothed_in(flow.dx, reliable), smoothed_in(flow.dy, reliable)
    columns, rows = x + dx, y + dy
    clear = inside(columns, rows, own.mask.shape) & (looked_up(damaged, columns, rows) == 0)
    around = clear & ~_around(own.mask, _CLEAR)
    apart = own.parts[0] - cv2.remap(other.parts[0], columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    light = _blurred(apart, around & (np.abs(apart) <= np.float32(_LARGEST_LIGHT)), _LIGHT_REACH)
    mismatch = _blurred(np.abs(apart - light), around, _MATCH_REACH)[own.mask]
    heard, evened = clear[own.mask] & (mismatch <= np.float32(largest_mismatch)), light[own.mask]
    # What is shown is looked up exactly; what was compared, to 1/32 px.
    luma = sampled(other.parts[0], columns[own.mask], rows[own.mask]) + evened
    facts = [float(values[heard].mean(dtype=np.float64)) if heard.any() else 0.0 for values in (mismatch, evened)]
    return _Candidate(luma, heard, dx, dy, *facts)


def _blurred(plane: np.ndarray, known: np.ndarray, reach: float) -> np.ndarray:
    """Gaussian mean of what is ``known``; from further away where nothing near is."""
    weight = known.astype(np.float32)
    total = cv2.GaussianBlur(plane * weight, (0, 0), reach, borderType=cv2.BORDER_REPLICATE)
    share = cv2.GaussianBlur(weight, (0, 0), reach, borderType=cv2.BORDER_REPLICATE)
    return smoothed_in(total / np.maximum(share, np.float32(1e-6)), share > np.float32(0.02))


def _agreed(
    offered: Sequence[np.ndarray], heard_of: Sequence[np.ndarray], least: int, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """(mean of the frames that agree with the median, how many do: uint8, 0 below ``least``), pixel by pixel."""
    values, heard = np.stack(offered), np.stack(heard_of)
    count = heard.sum(axis=0)
    ordered = np.sort(np.where(heard, values, np.float32(np.inf)), axis=0)
    last = np.maximum(count - 1, 0)
    low, high = (np.take_along_axis(ordered, place[None], axis=0)[0] for place in (last // 2, (last + 1) // 2))
    middle = np.where(count > 0, np.float32(0.5) * (low + high), np.float32(0.0))
    agrees = heard & (np.abs(values - middle) <= np.float32(tolerance))
    support = agrees.sum(axis=0)
    mean = np.where(agrees, values, np.float32(0.0)).sum(axis=0) / np.maximum(support, 1).astype(np.float32)
    return mean.astype(np.float32), np.where(support >= least, np.minimum(support, 255), 0).astype(np.uint8)


def _coloured(
    own: View, others: Sequence[View], candidates: Sequence[_Candidate], siting: Siting, least: int, tolerance: float
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """The colour planes with damaged samples filled along the motion of luma, and which were not."""
    if len(own.parts) == 1:
        return [], None
    shape = own.parts[1].shape
    damaged = colour_mask(own.mask, shape, siting.pitch)
    columns, rows = grid((shape[0], shape[1]))
    x, y = (
        np.float32(first) + pitch * at
        for first, pitch, at in zip(siting.first, siting.pitch, (columns, rows), strict=True)
    )
    whole, heard, values = np.zeros(own.mask.shape, np.float32), [], []
    for other, one in zip(others, candidates, strict=True):
        # Where a damaged pixel is not heard its colour is not; undamaged ones beside it do not matter.
        whole[own.mask] = ~one.heard
        there_x, there_y = x + looked_up(one.dx, x, y), y + looked_up(one.dy, x, y)
        u, v = (there_x - siting.first[0]) / siting.pitch[0], (there_y - siting.first[1]) / siting.pitch[1]
        also = colour_mask(other.mask, shape, siting.pitch).astype(np.float32)
        clear = (looked_up(whole, x, y) == 0) & (looked_up(also, u, v) == 0) & inside(u, v, (shape[0], shape[1]))
        heard.append(clear[damaged])
        values.append([sampled(part, u[damaged], v[damaged]) for part in other.parts[1:]])
    result = [part.copy() for part in own.parts[1:]]
    made = [_agreed([one[number] for one in values], heard, least, tolerance) for number in range(2)]
    left = (made[0][1] == 0) | (made[1][1] == 0)
    unfilled = np.zeros_like(damaged)
    unfilled[damaged] = left
    for part, (value, _) in zip(result, made, strict=True):
        part[damaged & ~unfilled] = value[~left]
    return result, unfilled


def colour_mask(mask: np.ndarray, shape: tuple[int, int], pitch: tuple[int, int]) -> np.ndarray:
    """Colour samples (boolean, ``shape``) that stand for at least one damaged luma pixel."""
    padded = np.zeros((shape[0] * pitch[1], shape[1] * pitch[0]), bool)
    part = mask[: padded.shape[0], : padded.shape[1]]
    padded[: part.shape[0], : part.shape[1]] = part
    return np.asarray(padded.reshape(shape[0], pitch[1], shape[1], pitch[0]).any(axis=(1, 3)))


def luma_mask(mask: np.ndarray, shape: tuple[int, int], pitch: tuple[int, int]) -> np.ndarray:
    """Luma pixels (boolean, ``shape``) that the colour samples of ``mask`` stand for."""
    return np.asarray(mask.repeat(pitch[1], axis=0).repeat(pitch[0], axis=1)[: shape[0], : shape[1]])


def whole_blocks(mask: np.ndarray, shape: tuple[int, int], pitch: tuple[int, int]) -> np.ndarray:
    """``mask`` (luma pixels) with all pixels of every colour sample, in planes of ``shape``, that it touches."""
    return luma_mask(colour_mask(mask, shape, pitch), (mask.shape[0], mask.shape[1]), pitch)
