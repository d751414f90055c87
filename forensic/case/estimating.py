"""What a run is going to cost, told before its first frame: by an earlier run of the same stages, or by a trial.

Frames and megapixels are what it is scaled by. A frame that gets a risk map counts as nine where a stage is looked at
with eight seeds or in eight mirrored and turned copies. It is an estimate, stands beside the actual cost in the
record, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from forensic.case.approvalterms import stages_sha256
from forensic.case.cost import Cost, Meter, mebibytes, seconds
from forensic.case.environment import platform_digest
from forensic.case.execution import open_exhibit
from forensic.case.plan import RunPlan
from forensic.case.progress import Progress
from forensic.case.variants import variants_of
from forensic.case.workspace import Workspace
from forensic.errors import ForensicError
from forensic.ledger.entry import LedgerEntry
from forensic.ledger.order import RESUMED

_WORTH_A_TRIAL = 100  # frames' worth of work: the trial is one of them
_FAR_IN = 500  # frames to be decoded before the trial
_NOT_COUNTED = "decoding, writing and the memory of further workers are not counted"


@dataclass(frozen=True)
class Workload:
    """How much there is to do: frames' worth of work, megapixels of a frame of the output, what does it.

    ``tiles``: what bounds the memory of learned stages (stage, longest side of a piece, surroundings on every side), so
    many pieces at a time as there are ``workers``.
    """

    units: int
    megapixels: float
    stages_sha256: str
    platform: str
    workers: int
    tiles: tuple[tuple[str, int, int], ...] = ()

    @staticmethod
    def of(plan: RunPlan) -> Workload:
        """The workload of ``plan`` on this machine."""
        mapped = len(plan.selection.frames) * max(1, variants_of(plan))
        return Workload(
            plan.frames[1] - plan.frames[0] + mapped,
            plan.output_geometry.width * plan.output_geometry.height / 1e6,
            stages_sha256(plan.recipe.record()["stages"]),
            platform_digest(engines=plan.engines),
            plan.workers,
            tuple(_budget(plan)),
        )

    @property
    def budget(self) -> str | None:
        """The bound on memory in words, None where no stage works in pieces."""
        if not self.tiles:
            return None
        sides = ", ".join(f"{name} {tile + 2 * overlap} pixels" for name, tile, overlap in self.tiles)
        return f"Memory is bounded by pieces of at most that many pixels a side, {self.workers} at a time: {sides}"

    def to_record(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "units": self.units,
            "megapixels": round(self.megapixels, 6),
            "stages_sha256": self.stages_sha256,
            "platform": self.platform,
            "workers": self.workers,
            "tiles": [{"stage": name, "tile_px": tile, "overlap_px": overlap} for name, tile, overlap in self.tiles],
        }


def _budget(plan: RunPlan) -> Iterator[tuple[str, int, int]]:
    for stage in plan.recipe.stages:
        tile, overlap = (getattr(stage.parameters, name, None) for name in ("tile", "overlap"))
        if stage.learned and isinstance(tile, int) and isinstance(overlap, int):
            yield stage.name, tile, overlap


@dataclass(frozen=True)
class Estimate:
    """Estimated cost and what it rests on; ``cost`` None: there is none, and ``source`` says why."""

    source: str
    cost: Cost | None = None

    def to_record(self) -> dict[str, Any]:
        """JSON-able."""
        found = self.cost
        return {
            "source": self.source,
            "wall_s": None if found is None else round(found.wall_s, 1),
            "processor_s": None if found is None else round(found.processor_s, 1),
            "peak_memory_bytes": None if found is None else found.peak_memory_bytes,
            "energy_wh": None if found is None or found.energy_wh is None else round(found.energy_wh, 3),
        }

    @property
    def sentence(self) -> str:
        """For the person at the terminal."""
        if self.cost is None:
            return f"No estimate of the cost: {self.source}"
        energy = "energy not readable" if self.cost.energy_wh is None else f"{self.cost.energy_wh:.2g} Wh"
        memory = self.cost.peak_memory_bytes
        return (
            f"Estimated cost: about {seconds(self.cost.wall_s)}, {seconds(self.cost.processor_s)} of processor time, "
            f"{'memory not known' if memory is None else mebibytes(memory)}, {energy} ({self.source})"
        )


GONE_ON_WITH = Estimate(
    "the run was interrupted before its first progress was stated, and gone on with: what was told at its beginning "
    "was not kept"
)


def estimate(workspace: Workspace, plan: RunPlan, progress: Progress) -> Estimate:
    """Estimate the cost of ``plan``, and say it. The trial computes one frame with its neighbours and keeps nothing."""
    work = Workload.of(plan)
    found = _by_history(workspace, work) or _by_trial(plan, work)
    progress.say(found.sentence)
    if work.budget is not None:
        progress.say(work.budget)
    return found


def _by_history(workspace: Workspace, work: Workload) -> Estimate | None:
    """By the newest uninterrupted run of the same stages with the same parameters on the same platform."""
    in_parts = {entry.run for entry in workspace.ledger.entries(event=RESUMED)}  # their cost is that of the last part
    newest: tuple[LedgerEntry, dict[str, Any]] | None = None
    for entry in workspace.ledger.entries(event="run.finished"):
        cost = entry.data.get("cost")
        same = (work.stages_sha256, work.platform)
        if (
            entry.run not in in_parts
            and isinstance(cost, dict)
            and (cost.get("stages_sha256"), cost.get("platform")) == same
        ):
            newest = entry, cost
    if newest is None:
        return None
    entry, cost = newest
    try:
        more = work.units * work.megapixels / (cost["units"] * cost["megapixels"])
        faster = work.workers / cost["workers"]
        energy = None if cost["energy_wh"] is None else cost["energy_wh"] * more
        spent = Cost(cost["wall_s"] * more / faster, cost["processor_s"] * more, cost["peak_memory_bytes"], energy)
    except (KeyError, TypeError, ZeroDivisionError):  # an entry of a program that counts otherwise
        return None
    return Estimate(f"measured on this machine in run {entry.run}", spent)


def _by_trial(plan: RunPlan, work: Workload) -> Estimate:
    pipeline, (first, stop) = plan.pipeline, plan.frames
    middle = min(first + pipeline.radius, stop - 1)  # a frame of the selection, with as many neighbours as there are
    low, high = max(0, middle - pipeline.radius), middle + pipeline.radius + 1
    if work.units < _WORTH_A_TRIAL or high > _FAR_IN:
        why = "this is too short for a trial" if work.units < _WORTH_A_TRIAL else "it begins too far in for a trial"
        return Estimate(f"these stages were not run here before, and {why}")
    try:
        with open_exhibit(plan) as reader:
            window = [frame.to_working() for frame in islice(reader.frames(), low, high)]
        if len(window) <= middle - low:  # fewer frames than at acquisition: the run will say so
            return Estimate("a trial frame could not be decoded")
        meter = Meter()
        pipeline.process_window(window, middle - low)
        spent = meter.cost()
    except ForensicError as error:  # the run itself will meet it, and say so
        return Estimate(f"a trial frame could not be made ({error.code})")
    energy = None if spent.energy_wh is None else spent.energy_wh * work.units
    whole = Cost(
        spent.wall_s * work.units / work.workers, spent.processor_s * work.units, spent.peak_memory_bytes, energy
    )
    return Estimate("measured on this machine in one trial frame: " + _NOT_COUNTED, whole)
