"""Which part of a registered pair a calibration of regions is measured on: drawn from the digests of all pairs.

The digests of every file given, refused ones included, are one seed: whoever changes one file, to have another region
of it, draws all of them again. Which frame of a file is taken changes nothing. Anyone can draw again from
``registration.json``; that the pictures have the sizes which it states is the laboratory's word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from forensic.hashes import canonical_json, sha256_bytes

DRAW = "region/1"
"""How regions are drawn (docs/formats/calibration.md); another way gets another name."""
#: Least and most columns, and rows, in recorded pixels, of a lying region; a standing one has them turned. Those of the
#: recordings that the learned scores were fitted on.
SIDES = ((48, 112), (40, 72))
STEP = 4  # recorded pixels: every layout's chroma begins there
CLASS = (
    f"One region of {SIDES[0][0]} to {SIDES[0][1]} by {SIDES[1][0]} to {SIDES[1][1]} recorded pixels, or turned, drawn "
    "from the digests of all pairs, of a picture of: "
)
"""What class S of such a calibration begins with; the laboratory's words follow."""
Region = tuple[int, int, int, int]
Files = Mapping[str, Any]


def seed_of(given: Iterable[Files]) -> str:
    """The seed: SHA-256 over the pairs of ``reference_sha256`` and ``degraded_sha256`` of all pairs that were given."""
    return sha256_bytes(canonical_json(sorted({_files(one) for one in given})))


def _files(one: Files) -> tuple[str, str]:
    return one["reference_sha256"] or "", one["degraded_sha256"] or ""


def drawn(seed: str, files: Files, width: int, height: int) -> Region | None:
    """Left, top, columns and rows, in recorded pixels, of the pair ``files`` whose recorded picture has ``width``
    columns and ``height`` rows; None where no region fits in."""
    rest = int(sha256_bytes(canonical_json([DRAW, seed, *_files(files)])), 16)

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


def described(seed: str) -> dict[str, Any]:
    """How regions are drawn, for the registration."""
    return {"draw": DRAW, "seed": seed, "sides": [list(one) for one in SIDES], "step": STEP}


def measured(pair: Mapping[str, Any]) -> tuple[int, int]:
    """Columns and rows, in recorded pixels, of what is measured of a registered pair: its region, or all of it."""
    columns, rows = pair["size"] if pair.get("region") is None else pair["region"][2:]
    return columns, rows


def faults(plan: Mapping[str, Any]) -> Iterator[str]:
    """Where the regions of ``plan`` (``registration.json``) are not those drawn, or it is not what it says it is.

    Raises ``KeyError`` and ``TypeError`` for what is no registration.
    """
    told = plan.get("regions")
    if (told is not None) != plan["subject"]["region"]:
        yield "subject and registration differ on whether regions were measured"
    pairs = [pair for one in plan["recordings"] for pair in one["pairs"]]
    if told is None:
        if any("region" in pair for pair in pairs):
            yield "a pair has a region, and regions were not measured"
        return
    seed = seed_of([*pairs, *plan["refused"]])
    if canonical_json(told) != canonical_json(described(seed)):
        yield "the regions were not drawn from the digests of all pairs"
    if not plan["class"].startswith(CLASS):
        yield "the class does not say that it is of regions"
    for number, pair in enumerate(pairs, start=1):
        found = drawn(seed, pair, *pair["size"])
        if found is None or canonical_json(pair.get("region")) != canonical_json(list(found)):
            yield f"the region of pair {number} is not the one drawn"
