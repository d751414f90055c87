"""What the noise of a recording is: film grain, noise without structure, or what a coder or a fixed pattern made.

Grain is new in every frame, has the same statistics everywhere at one level, and neighbouring samples of it are alike.
What a coder leaves is tied to its blocks, absent in some and strong in others, or repeated from frame to frame.
Thresholds were set on simulated recordings of photographs; how often they are right on others is measured in
docs/grain.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from forensic.grain.fitting import StrengthCurve
from forensic.grain.sampling import BLOCK, Residuals

FEWEST_BLOCKS = 40
_WEAKEST = 0.6  # grey levels
_DEAD_SHARE, _REPEATED_SHARE = 0.02, 0.02
_UNEVEN = 0.45
_MOVED_SHARE = 0.3
_SOME_GRAIN = 0.35
_LITTLE_UNEVEN, _LITTLE_REPEATED = 0.3, 0.005
_GRID_SCORE, _GRID_CONTRAST = 5.0, 0.15
_ALIKE = 0.25
_STILL_SHARE = 0.9
_PHASES, _RIM = 8, 4


class Kind(StrEnum):
    """What was found. Both kinds of grain count as grain; of the coded one, what the coder left is described."""

    GRAIN = "grain"
    CODED_GRAIN = "grain altered by coding"
    WHITE = "white noise"
    CODING = "coding noise"
    STILL = "pattern that does not change"
    NONE = "no noise"
    UNDETERMINED = "undetermined"

    @property
    def is_grain(self) -> bool:
        """Whether it may be taken out and put back as grain."""
        return self in (Kind.GRAIN, Kind.CODED_GRAIN)


@dataclass(frozen=True)
class Evidence:
    """The numbers by which it is judged, over the flat places that were measured.

    ``blocks``: how many. ``strength``: standard deviation of what changes, grey levels, at the median level.
    ``still_share``: part of the variance that is the same in the next frame. ``alike``: largest correlation of
    neighbouring samples of what changes. ``uneven``: spread of the variance from block to block, in octaves.
    ``grid_contrast``, ``grid_score``: how much differences between neighbours depend on their place in blocks of 8, as
    a share and in standard errors. ``dead_share``, ``repeated_share``: of all blocks that are not clipped, those
    without fine detail and those repeated in the next frame (where there is grain at their level). ``moved_share``: of
    the blocks that were chosen, those left out because their texture stands elsewhere in the next frame.
    """

    blocks: int
    strength: float
    still_share: float
    alike: float
    uneven: float
    grid_contrast: float
    grid_score: float
    dead_share: float
    repeated_share: float
    moved_share: float
    temporal: bool

    def to_record(self) -> dict[str, Any]:
        """JSON-able, to four digits."""
        return {
            name: value if isinstance(value, bool | int) else round(value, 4) for name, value in vars(self).items()
        }  # fmt: skip


def evidence_of(found: Residuals, curve: StrengthCurve, alike: float) -> Evidence:
    """The evidence in the residuals of luma, with its strength ``curve``; at least one block must have been chosen."""
    level = np.concatenate(found.levels_of_flat)
    fitted = np.maximum(curve.at(level), 0.05) ** 2
    changing = np.concatenate(found.of_flat(0))
    own = np.mean(changing * changing, axis=(1, 2), dtype=np.float64)
    total = np.concatenate([one[flat] for one, flat in zip(found.total, found.flat, strict=True)])
    octaves = np.asarray(np.log2(np.maximum(own, 1e-3) / np.maximum(fitted, 0.05)))
    low, high = (float(np.quantile(octaves, part)) for part in (0.25, 0.75))
    contrast, score = _grid(changing)
    usable = max(found.usable, 1)
    return Evidence(
        blocks=found.chosen,
        strength=float(curve.at(np.median(level)[None])[0]),
        still_share=float(np.clip(1.0 - np.mean(own) / max(float(np.mean(total)), 1e-6), 0.0, 1.0)),
        alike=alike,
        uneven=(high - low) / 1.349,
        grid_contrast=contrast,
        grid_score=score,
        dead_share=found.dead / usable,
        repeated_share=_repeats(found, curve) / usable,
        moved_share=found.moved / max(found.moved + len(np.concatenate(found.level)), 1),
        temporal=found.pairs > 0,
    )


def _repeats(found: Residuals, curve: StrengthCurve) -> int:
    """Blocks that are repeated, unless they are few and all at levels at which there is next to no grain anyway."""
    if 2 * found.repeated > found.usable or not found.repeated:
        return found.repeated
    expected = curve.at(np.concatenate(found.repeated_levels))
    return int(np.sum(expected >= _SOME_GRAIN * float(curve.sigma.max())))


def _grid(blocks: np.ndarray) -> tuple[float, float]:
    """(contrast, score) of squared differences of neighbours by their place modulo 8, the larger of both axes."""
    found: list[tuple[float, float]] = []
    for axis in (1, 2):
        across = np.diff(blocks, axis=axis)
        # The rim is left out: there AV1's own grain is blended, which is no grid of a coder.
        squares = np.asarray(np.mean(across * across, axis=3 - axis, dtype=np.float64))[:, _RIM : BLOCK - _RIM]
        phase = np.arange(squares.shape[1]) % _PHASES
        by_phase = np.stack([squares[:, phase == one].mean(axis=1) for one in range(_PHASES)], axis=1)
        mean = np.asarray(by_phase.mean(axis=1, keepdims=True))
        relative = np.asarray(by_phase / np.maximum(mean, 1e-6) - 1.0)
        average = np.asarray(relative.mean(axis=0))
        error = np.asarray(relative.std(axis=0)) / max(len(blocks), 2) ** 0.5 + 1e-6
        found.append((float(np.max(np.abs(average))), float(np.max(np.abs(average) / error))))
    return max(one for one, _ in found), max(one for _, one in found)


def _even(one: Evidence) -> bool:
    return (
        one.uneven <= _LITTLE_UNEVEN
        and max(one.repeated_share, one.dead_share) <= _LITTLE_REPEATED
        and one.strength >= 2.0 * _WEAKEST
    )


def judge(evidence: Evidence | None) -> tuple[Kind, str]:
    """What it is, and why, in words with the numbers."""
    if evidence is None or evidence.blocks < FEWEST_BLOCKS:
        count = 0 if evidence is None else evidence.blocks
        return Kind.UNDETERMINED, f"only {count} flat blocks were found; {FEWEST_BLOCKS} are needed"
    one = evidence
    if one.repeated_share > _REPEATED_SHARE:
        return Kind.CODING, f"{one.repeated_share:.1%} of the blocks are repeated in the next frame, as coders do"
    if one.dead_share > _DEAD_SHARE:
        return Kind.CODING, f"{one.dead_share:.1%} of the blocks have no fine detail at all: it was coded away"
    if one.moved_share > _MOVED_SHARE:
        return Kind.UNDETERMINED, (
            f"the picture moves in {one.moved_share:.0%} of the blocks that were chosen, and texture looks like grain"
        )
    if one.strength < _WEAKEST:
        if one.still_share > _STILL_SHARE:
            return Kind.STILL, f"{one.still_share:.0%} of what there is does not change from frame to frame"
        return Kind.NONE, f"what changes has a standard deviation of {one.strength:.2f} grey levels, below {_WEAKEST}"
    if one.uneven > _UNEVEN:
        return Kind.CODING, f"its variance differs by {one.uneven:.2f} octaves from block to block; grain is even"
    if one.grid_score > _GRID_SCORE and one.grid_contrast > _GRID_CONTRAST:
        error = f"{one.grid_score:.1f} standard errors"
        grid = f"it depends on the place in blocks of 8 by {one.grid_contrast:.1%} ({error})"
        if one.temporal and _even(one) and one.alike >= _ALIKE:
            return Kind.CODED_GRAIN, f"{grid}, but is new in every frame, alike in neighbours and even over the picture"
        return Kind.CODING, grid
    if not one.temporal:
        return Kind.UNDETERMINED, "there is a single picture: whether it changes from frame to frame cannot be seen"
    if one.alike < _ALIKE:
        return Kind.WHITE, f"neighbouring samples are not alike (correlation {one.alike:.2f}), as those of grain are"
    return Kind.GRAIN, (
        f"it is new in every frame, even over the picture (within {one.uneven:.2f} octaves), tied to no block grid, "
        f"and neighbouring samples are alike (correlation {one.alike:.2f})"
    )
