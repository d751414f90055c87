"""From pairs to registered recordings: hashed, read, held together, merged where not independent, split by hash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forensic.case.calibrating.pairs import Given, Pair
from forensic.case.calibrating.part import part_of
from forensic.case.calibrating.reading import Seen, Taken, digest_of, take
from forensic.case.progress import Progress
from forensic.errors import BadInput
from forensic.frames.frame import WorkingFrame
from forensic.hashes import canonical_json, sha256_bytes
from forensic.media.label import SMALLEST_SIDE, shows_label
from forensic.media.watermark_search import Sample, look
from forensic.risk.calibration.aligning import align, range_of, truth_for
from forensic.risk.calibration.artefact import QUANTILE
from forensic.risk.calibration.domain import ROUND, codes
from forensic.risk.calibration.drawn import SIDES, Region, drawn, seed_of
from forensic.risk.calibration.independence import CALIBRATE, TEST, pair_key, pair_origins
from forensic.risk.calibration.quantisers import Stratum
from forensic.risk.learned import picture_type, unfit


@dataclass(frozen=True)
class Prepared:
    """A pair that will be measured."""

    pair: Pair
    degraded: Seen
    reference: Seen
    facts: dict[str, Any]

    def key(self) -> list[str]:
        """What makes it this pair."""
        return pair_key(self.to_record())

    def origins(self) -> Iterator[str]:
        """Whatever it shares with another pair makes both one recording: name, file, or decoded picture."""
        yield f"named {self.pair.recording}"
        yield from pair_origins(self.to_record())

    def to_record(self) -> dict[str, Any]:
        """JSON-able, as it is registered."""
        return {
            "pair": self.pair.to_record(),
            "reference_sha256": self.reference.sha256,
            "reference_picture_sha256": self.reference.picture_sha256,
            "reference_frame": self.reference.index,
            "degraded_sha256": self.degraded.sha256,
            "degraded_picture_sha256": self.degraded.picture_sha256,
            "frame": self.degraded.index,
            **self.facts,
        }


@dataclass(frozen=True)
class Unit:
    """An independent recording: pairs that share nothing with those of any other. ``digest`` names it.

    ``repeated``: pairs given that are one of ``pairs`` once more, and are not measured again.
    """

    digest: str
    which: str
    pairs: tuple[Prepared, ...]
    repeated: tuple[Pair, ...] = ()

    @property
    def names(self) -> list[str]:
        """What the laboratory calls it; several where recordings were merged."""
        return sorted({one.recording for one in (*(own.pair for own in self.pairs), *self.repeated)})

    def to_record(self) -> dict[str, Any]:
        """JSON-able, as it is registered."""
        return {
            "recording": self.digest,
            "list": self.which,
            "names": self.names,
            "pairs": [one.to_record() for one in self.pairs],
            "repeated": [one.to_record() for one in self.repeated],
        }


@dataclass(frozen=True)
class Preparation:
    """What there is to measure, and what was refused, with the reason."""

    units: tuple[Unit, ...]
    refused: tuple[dict[str, Any], ...]
    seed: str | None = None  # that regions were drawn from

    @property
    def merged(self) -> list[list[str]]:
        """Names of recordings that turned out to be one."""
        return [unit.names for unit in self.units if len(unit.names) > 1]


@dataclass(frozen=True)
class Asked:
    """What pairs are looked at for: enlargement, score, strata, and whether a region of each is measured."""

    scale: int
    score: str
    strata: tuple[Stratum, ...]
    regions: bool = False


def prepare(given: Given, asked: Asked, test_share: float, workers: int, progress: Progress) -> Preparation:
    """Look at every pair; no score is made. A pair that cannot be used is refused with its reason, and counted."""
    accepted: list[Prepared] = []
    refused: list[dict[str, Any]] = []

    def look(item: tuple[Pair, _Hashed]) -> Prepared | dict[str, Any]:
        pair, hashed = item
        try:
            if hashed.fault is not None:
                raise hashed.fault
            return _prepared(given, pair, hashed.digests, asked, seed)
        except BadInput as error:
            return {"pair": pair.to_record(), **hashed.digests, "code": error.code, "reason": error.message}

    with ThreadPoolExecutor(workers, "pairs") as pool:
        try:
            with progress.task("Hashing the pairs", len(given.pairs), "pairs") as task:
                every = []
                for one in pool.map(lambda pair: _hashed(given, pair), given.pairs):
                    every.append(one)
                    task.advance()
            seed = seed_of(one.digests for one in every) if asked.regions else None
            with progress.task("Looking at the pairs", len(given.pairs), "pairs") as task:
                for found in pool.map(look, zip(given.pairs, every, strict=True)):
                    accepted.append(found) if isinstance(found, Prepared) else refused.append(found)
                    task.advance()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return Preparation(tuple(_split(list(_units(accepted)), test_share)), tuple(refused), seed)


@dataclass(frozen=True)
class _Hashed:
    """Digests of a pair's files, None where one could not be read, and then why."""

    digests: dict[str, str | None]
    fault: BadInput | None = None


def _hashed(given: Given, pair: Pair) -> _Hashed:
    digests: dict[str, str | None] = {"reference_sha256": None, "degraded_sha256": None}
    try:
        for side in ("reference", "degraded"):
            digests[f"{side}_sha256"] = digest_of(given.folder / getattr(pair, side))
    except BadInput as error:
        return _Hashed(digests, error)
    return _Hashed(digests)


def _prepared(given: Given, pair: Pair, digests: Mapping[str, str | None], asked: Asked, seed: str | None) -> Prepared:
    files = {name: digest or "" for name, digest in digests.items()}
    if files["reference_sha256"] == files["degraded_sha256"]:
        raise BadInput("calibration.pair", f"{pair.reference} is the recording itself: it is no reference")
    degraded = take(given.folder / pair.degraded, pair.frame, files["degraded_sha256"])
    wanted = degraded.index if pair.reference_frame is None else pair.reference_frame
    only = pair.reference_frame is None
    reference = take(given.folder / pair.reference, wanted, files["reference_sha256"], or_only=only)
    if reference.frame.sha256 == degraded.frame.sha256:
        raise BadInput("calibration.pair", f"{pair.reference} shows the recorded picture itself: it is no reference")
    for taken, name in ((degraded, pair.degraded), (reference, pair.reference)):
        if _is_generative(taken):
            raise BadInput("calibration.pair", f"{name} carries the label or the invisible mark of generated detail")
    frame = degraded.frame.to_working()
    why = unfit(frame, learned=asked.score == QUANTILE)
    if why is not None:
        raise BadInput("calibration.pair", why)
    y, truth = codes(frame), truth_for(reference.frame, frame)
    if np.array_equal(y, truth):
        raise BadInput("calibration.pair", f"{pair.reference} has the recorded luma itself: it is no reference")
    alignment = align(y, truth, asked.scale)
    if alignment.fault is not None:
        raise BadInput("calibration.misaligned", alignment.fault)
    seen, of_reference = degraded.seen, reference.seen
    region = None if seed is None else _region(frame, seed, files)
    quantiser = _quantiser(frame, region)
    stratum = next((one.name for one in asked.strata if one.holds(quantiser)), None)
    if stratum is None:
        told = "is not known" if quantiser is None else f"is {quantiser:g}"
        raise BadInput("calibration.pair", f"the frame's H.264 quantiser {told}: it belongs to no stratum")
    facts = {
        "stratum": stratum,
        "picture": picture_type(frame),
        "quantiser": quantiser,
        "size": [frame.geometry.width, frame.geometry.height],
        "layout": frame.geometry.layout.name,
        "colour": frame.colour.to_record(),
        "reference_colour": reference.frame.colour.to_record(),
        "range": range_of(frame),
        "reference_range": range_of(reference.frame),
        "alignment": alignment.to_record(),
        **({} if region is None else {"region": list(region)}),
    }
    return Prepared(pair, seen, of_reference, facts)


def _region(frame: WorkingFrame, seed: str, files: Mapping[str, str]) -> Region:
    """The part that is measured. Raises ``BadInput`` (``calibration.pair``) for a picture that is too small."""
    width, height = frame.geometry.width, frame.geometry.height
    found = drawn(seed, files, width, height)
    if found is None:
        least = " by ".join(str(side[0]) for side in SIDES)
        raise BadInput("calibration.pair", f"the recording of {width}x{height} holds no region of {least} pixels")
    return found


def _quantiser(frame: WorkingFrame, region: Region | None) -> float | None:
    """Mean H.264 quantiser of the picture, or of the region of it that is measured, rounded as whoever judges by it
    rounds it."""
    coding = frame.coding if region is None else part_of(frame, region).coding
    found = None if coding is None or coding.scale != "h264" else coding.here
    return None if found is None else round(found, ROUND)


def _is_generative(taken: Taken) -> bool:
    """Whether the picture carries the label of generated detail, sample for sample, or the mark, which outlives coding.

    One too small for a label carries none.
    """
    frame, geometry = taken.frame, taken.frame.geometry
    if min(geometry.width, geometry.height) < SMALLEST_SIDE:
        return False
    if shows_label(frame.planes, geometry, frame.colour):
        return True
    sample = Sample()
    sample.take(frame)
    return look(sample, {}).found


def _units(accepted: Sequence[Prepared]) -> Iterator[list[Prepared]]:
    """Sets of pairs that share nothing with each other, transitively."""
    leader: dict[str, str] = {}

    def root(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for one in accepted:
        first, *rest = one.origins()
        for other in rest:
            leader[root(other)] = root(first)
    sets: dict[str, list[Prepared]] = {}
    for one in accepted:
        sets.setdefault(root(next(one.origins())), []).append(one)
    yield from sets.values()


def _split(sets: Iterable[list[Prepared]], test_share: float) -> Iterator[Unit]:
    """In the order of their digests, which nobody chooses: the last ``test_share`` of them are held out."""
    units = sorted((_unit(members) for members in sets), key=lambda unit: unit.digest)
    tests = round(len(units) * test_share)
    for place, unit in enumerate(units):
        yield replace(unit, which=TEST) if place >= len(units) - tests else unit


def _unit(members: list[Prepared]) -> Unit:
    kept: dict[tuple[str, ...], Prepared] = {}
    for one in members:
        kept.setdefault(tuple(one.key()), one)
    pairs = tuple(kept[key] for key in sorted(kept))
    repeated = tuple(one.pair for one in members if kept[tuple(one.key())] is not one)  # equal ones too
    return Unit(sha256_bytes(canonical_json([one.key() for one in pairs])), CALIBRATE, pairs, repeated)
