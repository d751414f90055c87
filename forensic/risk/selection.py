"""Which frames of a run get a risk map and stills: a fixed rule, recorded in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from forensic.errors import UsageError

MAP_ALL_UP_TO = 16
EVENLY_SPACED = 8


@dataclass(frozen=True)
class Selection:
    """Frame indices in rising order, and the rule that chose them as a sentence for the record."""

    frames: tuple[int, ...]
    rule: str


def frames_to_map(frames: Sequence[int], stills: Iterable[int] = ()) -> Selection:
    """Choose from ``frames`` (rising indices of the run's selection; a ``range`` will do).

    Every frame of a selection of at most 16; otherwise 8 evenly spaced, first and last included,
    plus those named in ``stills``. Raises ``UsageError`` (``stills.out-of-range``) if a named
    still is not among ``frames``.
    """
    named = sorted(set(stills))
    missing = [index for index in named if index not in frames]
    if missing:
        span = f"{frames[0]} to {frames[-1]}" if len(frames) else "none"
        raise UsageError(
            "stills.out-of-range",
            f"Not among the frames of this run ({span}): {', '.join(map(str, missing[:10]))}"
            + (f" and {len(missing) - 10} more." if len(missing) > 10 else "."),
            "Name frames by their index within --frames.",
        )
    count = len(frames)
    if count <= MAP_ALL_UP_TO:
        return Selection(
            tuple(frames), f"all {count} frames of the selection are mapped (a selection of at most {MAP_ALL_UP_TO})"
        )
    last = EVENLY_SPACED - 1
    spaced = {frames[(2 * step * (count - 1) + last) // (2 * last)] for step in range(EVENLY_SPACED)}
    chosen = tuple(sorted(spaced | set(named)))
    rule = f"{EVENLY_SPACED} evenly spaced frames of {count}, first and last included"
    if named:
        rule += f", plus the {len(named)} named with --stills ({', '.join(map(str, named))})"
    return Selection(chosen, rule)
