"""``forensic reproduce RUN``: compute the output again from the exhibit and compare every frame."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from forensic.case.environment import environment, platform_key
from forensic.case.execution import enhanced_frames, open_master
from forensic.case.exhibits import check_untouched, find_exhibit
from forensic.case.layout import OUTPUT, RunFolder
from forensic.case.plan import MOST_DEFAULT_WORKERS, EnhanceRequest, RunPlan, settle_bound
from forensic.case.progress import Progress
from forensic.case.reissue import recorded_run
from forensic.case.storage import make_folder
from forensic.case.workspace import Workspace
from forensic.errors import ForensicError, VerificationFailed
from forensic.frames.frame import CodedFrame
from forensic.frames.manifest import read_manifest
from forensic.hashes import sha256_file
from forensic.media.reader import ExhibitReader
from forensic.stages.catalogue import build
from forensic.stages.recipe import BoundRecipe, Recipe

TOLERANCE_LEVELS = 1.0
TOLERANCE_SHARE = 0.01


@dataclass
class Reproduction:
    """Result of a reproduction. ``differences`` lists frames that came out otherwise, with sizes."""

    run_id: str
    frames: int = 0
    identical: int = 0
    same_platform: bool = False
    platform_changes: dict[str, Any] = field(default_factory=dict)
    file_identical: bool = False
    largest_difference: float = 0.0
    differing_share: float = 0.0
    differences: list[dict[str, Any]] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Every frame has the recorded hash."""
        return self.frames > 0 and self.identical == self.frames

    @property
    def within_tolerance(self) -> bool:
        """On another platform: no sample off by more than one grey level, at most 1% off at all."""
        return self.largest_difference <= TOLERANCE_LEVELS and self.differing_share <= TOLERANCE_SHARE

    @property
    def verdict(self) -> str:
        """In words, as recorded and printed."""
        if self.exact and self.file_identical:
            return f"REPRODUCED: all {self.frames} frames and the file itself are identical to the bit"
        if self.exact:
            return f"REPRODUCED: all {self.frames} frames are identical; the container's bytes differ"
        different = self.frames - self.identical
        size = f"{different} of {self.frames} frames differ, by at most {self.largest_difference:g} grey levels"
        if not self.same_platform and self.within_tolerance:
            return f"REPRODUCED WITHIN TOLERANCE on another platform: {size}"
        return f"NOT REPRODUCED: {size}"

    @property
    def succeeded(self) -> bool:
        """Identical, or within tolerance where the platform differs."""
        return self.exact or (not self.same_platform and self.within_tolerance)

    def to_record(self) -> dict[str, Any]:
        """JSON-able, for ledger and ``--json``."""
        return {
            "run": self.run_id,
            "verdict": self.verdict,
            "frames": self.frames,
            "identical": self.identical,
            "file_identical": self.file_identical,
            "same_platform": self.same_platform,
            "platform_changes": self.platform_changes,
            "largest_difference_grey_levels": self.largest_difference,
            "differing_share_of_samples": self.differing_share,
            "differences": self.differences[:100],
            "differences_not_listed": max(0, len(self.differences) - 100),
            "tolerance": {"grey_levels": TOLERANCE_LEVELS, "share_of_samples": TOLERANCE_SHARE},
        }


def bind_recorded(record: dict[str, Any]) -> BoundRecipe:
    """The recipe of a record, with the effective parameters that stand there, defaults included."""
    recipe = Recipe(record["name"], record["title"], record["why"], (), record["sha256"], record["source"], "")
    stages = tuple(
        build(stage["name"], {name: entry["value"] for name, entry in stage["parameters"].items()})
        for stage in record["stages"]
    )
    return BoundRecipe(recipe, stages, tuple(stage["why"] for stage in record["stages"]), ())


def recorded_plan(workspace: Workspace, run_id: str, predicate: dict[str, Any]) -> RunPlan:
    """The plan of a finished run, rebuilt from its record alone: effective parameters, not files."""
    exhibit = find_exhibit(workspace, predicate["exhibit"]["id"])
    if exhibit is None or exhibit.sha256 != predicate["exhibit"]["sha256"]:
        raise VerificationFailed("run.exhibit", f"The exhibit of run {run_id} is not in this workspace.")
    check_untouched(workspace, exhibit)
    first, stop = predicate["selection"]["frames"]
    request = EnhanceRequest(
        recipe=predicate["recipe"]["name"], mode=predicate["run"]["mode"], frames=(first, stop),
        stills=tuple(predicate["selection"]["stills"]),
    )  # fmt: skip
    bound = bind_recorded(predicate["recipe"])
    plan = settle_bound(run_id, exhibit, request, bound, min(os.cpu_count() or 1, MOST_DEFAULT_WORKERS))
    for model in predicate["models"]:
        present = {stage.model.id: stage.model for stage in plan.recipe.stages if stage.model is not None}
        if model["id"] not in present or present[model["id"]].facts()["weights_sha256"] != model["weights_sha256"]:
            raise VerificationFailed(
                "model.swapped", f"Model {model['id']} here is not the one that run {run_id} was made with."
            )
    return plan


def reproduce(workspace: Workspace, run_id: str, progress: Progress) -> Reproduction:
    """Repeat a finished run and compare; the result goes into the ledger whatever it is.

    The output of the run is never replaced. Raises ``VerificationFailed`` if exhibit, model or
    record are no longer the ones recorded (ledger: ``reproduction.failed``).
    """
    entry, folder, attestation = recorded_run(workspace, run_id)
    identity = {"case": entry.case, "exhibit": entry.exhibit, "run": run_id}
    try:
        plan = recorded_plan(workspace, run_id, attestation.predicate)
        result = _compare(plan, folder, attestation.predicate, progress)
    except ForensicError as error:
        workspace.ledger.append("reproduction.failed", {"code": error.code, "reason": error.message}, **identity)
        raise
    workspace.ledger.append("reproduction.finished", result.to_record(), **identity)
    return result


def _compare(plan: RunPlan, folder: RunFolder, predicate: dict[str, Any], progress: Progress) -> Reproduction:
    result = Reproduction(plan.run_id)
    then, now = platform_key(predicate["environment"]), platform_key(environment(learned=plan.learned))
    result.platform_changes = {key: {"then": then[key], "now": now[key]} for key in then if then[key] != now[key]}
    result.same_platform = not result.platform_changes
    rows = list(read_manifest(folder.frames))
    make_folder(folder.root.parent)
    with tempfile.TemporaryDirectory(prefix=".reproduce-", dir=folder.root.parent) as scratch:
        again = Path(scratch) / OUTPUT
        with (
            ExhibitReader(plan.exhibit.original) as reader,
            progress.task("Reproducing", len(rows), "frames") as task,
        ):
            outputs = enhanced_frames(plan, reader, tapped=False)
            first = next(outputs)
            with open_master(again, plan, reader, first.frame) as writer:
                for row, output in zip(rows, chain([first], outputs), strict=True):
                    written = writer.write(output.frame)
                    result.frames += 1
                    same = (row.frame, row.pts, row.sha256) == (
                        written.timing.index, written.timing.pts, written.sha256,
                    )  # fmt: skip
                    result.identical += same
                    if not same:
                        result.differences.append({"frame": row.frame})
                    task.advance()
        result.file_identical = sha256_file(again) == predicate["output"]["sha256"]
        if result.differences:
            _measure(folder.output, again, result)
    return result


def _measure(original: Path, again: Path, result: Reproduction) -> None:
    """Size of the differences, from both files decoded side by side."""
    result.differences = []
    off = total = 0
    with ExhibitReader(original) as first, ExhibitReader(again) as second:
        for a, b in zip(first.frames(), second.frames(), strict=False):
            largest, differing, samples = _difference(a, b)
            off, total = off + differing, total + samples
            result.largest_difference = max(result.largest_difference, largest)
            if differing:
                result.differences.append({"pts": a.timing.pts, "largest_grey_levels": largest, "samples": differing})
    result.differing_share = off / total if total else 1.0


def _difference(a: CodedFrame, b: CodedFrame) -> tuple[float, int, int]:
    """Largest difference in grey levels, number of differing samples, number of samples."""
    if a.geometry.plane_shapes != b.geometry.plane_shapes or a.geometry.layout != b.geometry.layout:
        return float(a.geometry.layout.maximum), sum(p.size for p in a.planes), sum(p.size for p in a.planes)
    largest, differing = 0.0, 0
    for one, other in zip(a.planes, b.planes, strict=True):
        gap = np.abs(one.astype(np.int32) - other.astype(np.int32))
        largest = max(largest, float(gap.max()) / a.geometry.layout.grey_scale)
        differing += int(np.count_nonzero(gap))
    return largest, differing, sum(plane.size for plane in a.planes)
