"""Which part of a registered pair a calibration of regions is measured on: drawn by the pair's own digests.

Nobody chooses it, and anyone can draw it again from ``registration.json`` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from forensic.hashes import canonical_json, sha256_bytes
from forensic.risk.calibration.independence import pair_key

#: Least and most columns, and rows, in recorded pixels, of a lying region; a standing one has them turned. Those of the
#: recordings that the learned scores were fitted on.
SIDES = ((48, 112), (40, 72))
STEP = 4  # recorded pixels: every layout's chroma begins there
METHOD = (
    "One region of each pair, lying or standing, drawn from the SHA-256 of the canonical JSON of "
    '["region", reference_sha256, reference_frame, degraded_sha256, frame] (numbers as text), read as a number, by '
    "division with remainder: way, columns, rows, left, top"
)
Region = tuple[int, int, int, int]


def drawn(key: Sequence[str], width: int, height: int) -> Region | None:
    """Left, top, columns and rows, in recorded pixels, of the pair ``key`` (``independence.pair_key``) whose recorded
    picture has ``width`` columns and ``height`` rows; None where no region fits in."""
    rest = int(sha256_bytes(canonical_json(["region", *key])), 16)

    def pick(least: int, most: int) -> int:
        nonlocal rest
        rest, place = divmod(rest, (most - least) // STEP + 1)
        return least + STEP * place

    ways = [one for one in (SIDES, SIDES[::-1]) if one[0][0] <= width and one[1][0] <= height]
    if not ways:
        return None
    rest, way = divmod(rest, len(ways))
    (fewest, most), (lowest, highest) = ways[way]
    columns, rows = pick(fewest, min(most, width)), pick(lowest, min(highest, height))
    return pick(0, width - columns), pick(0, height - rows), columns, rows


def described() -> dict[str, Any]:
    """How regions are drawn, for the registration."""
    return {"sides": [list(one) for one in SIDES], "step": STEP, "method": METHOD}


def faults(plan: Mapping[str, Any]) -> Iterator[str]:
    """Where the regions of ``plan`` (``registration.json``) are not those drawn, or it is not what it says it is.

    Raises ``KeyError`` and ``TypeError`` for what is no registration.
    """
    told = plan.get("regions")
    if (told is not None) != plan["subject"]["region"]:
        yield "subject and registration differ on whether regions were measured"
    if told is not None and told != described():
        yield "the regions were drawn in another way than this program's"
    pairs = [pair for one in plan["recordings"] for pair in one["pairs"]]
    for number, pair in enumerate(pairs, start=1):
        found = None if told is None else drawn(pair_key(pair), *pair["size"])
        if pair.get("region") != (None if found is None else list(found)) or (told is not None and found is None):
            yield f"the region of pair {number} is not the one drawn"
