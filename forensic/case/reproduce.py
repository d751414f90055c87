"""``forensic reproduce RUN``: compute the output again from the exhibit and compare every frame."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from forensic.case.beside import Remade, remake
from forensic.case.ending import record_end, why_ended
from forensic.case.environment import environment, platform_key
from forensic.case.execution import enhanced_frames, open_exhibit, open_master
from forensic.case.exhibits import Exhibit, check_untouched, find_exhibit
from forensic.case.layout import OUTPUT, RunFolder
from forensic.case.plan import MOST_DEFAULT_WORKERS, EnhanceRequest, RunPlan, decide, settle_bound
from forensic.case.progress import Progress
from forensic.case.recovery import scratch_folder
from forensic.case.regularfile import digest_regular
from forensic.case.reissue import finished_entry, recorded_run
from forensic.case.storage import write_file
from forensic.case.workspace import Workspace
from forensic.errors import BadInput, InternalError, VerificationFailed
from forensic.frames.frame import CodedFrame
from forensic.frames.manifest import FrameRow, read_manifest
from forensic.frames.still import Still, read_still
from forensic.hashes import MerkleTree, sha256_bytes, sha256_file
from forensic.media.label import EDGES
from forensic.media.sandbox.reader import SandboxedReader
from forensic.media.watermark_keys import mark_of_record
from forensic.policy.decision import PolicyDecision
from forensic.policy.request import Approval, PolicyContext
from forensic.policy.store import SCHEMA_NAME, load_policy
from forensic.stages.catalogue import build
from forensic.stages.pipeline import PipelineOutput
from forensic.stages.recipe import BoundRecipe, Recipe

TOLERANCE_LEVELS = 1.0
TOLERANCE_SHARE = 0.01


@dataclass
class Reproduction:
    """Result of a reproduction. ``differences`` lists frames that came out otherwise, with sizes.

    ``beside``: the pictures beside the stills of a generative run, made again as well.
    """

    run_id: str
    frames: int = 0
    identical: int = 0
    same_platform: bool = False
    platform_changes: dict[str, Any] = field(default_factory=dict)
    file_identical: bool = False
    largest_difference: float = 0.0
    differing_share: float = 0.0
    differences: list[dict[str, Any]] = field(default_factory=list)
    beside: list[Remade] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Every frame has the recorded hash."""
        return self.frames > 0 and self.identical == self.frames

    @property
    def within_tolerance(self) -> bool:
        """On another platform: no sample off by more than one grey level, at most 1% off at all."""
        return _tolerable(self.largest_difference, self.differing_share)

    @property
    def verdict(self) -> str:
        """In words, as recorded and printed."""
        if wrong := self._wrong_beside:
            numbers = ", ".join(map(str, wrong[:5]))
            return f"NOT REPRODUCED: what stands beside the still of frame {numbers} is not what the recording gives"
        if self.exact and self.file_identical:
            return f"REPRODUCED: all {self.frames} frames and the file itself are identical to the bit"
        if self.exact:
            other = f"all {self.frames} frames are identical; the file (container, sound, subtitles) differs"
            return f"NOT REPRODUCED: {other}" if self.same_platform else f"REPRODUCED on another platform: {other}"
        different = self.frames - self.identical
        size = f"{different} of {self.frames} frames differ, by at most {self.largest_difference:g} grey levels"
        if not self.same_platform and self.within_tolerance:
            return f"REPRODUCED WITHIN TOLERANCE on another platform: {size}"
        return f"NOT REPRODUCED: {size}"

    @property
    def succeeded(self) -> bool:
        """Identical to the bit, file included; on another platform frames identical or within tolerance."""
        if self._wrong_beside:
            return False
        if self.same_platform:
            return self.exact and self.file_identical
        return self.exact or self.within_tolerance

    @property
    def _wrong_beside(self) -> list[int]:
        """Frames whose picture beside the still came out otherwise than a reproduction may."""
        return [
            one.frame
            for one in self.beside
            if one.samples and (self.same_platform or not _tolerable(one.largest, one.samples / one.of))
        ]

    def to_record(self) -> dict[str, Any]:
        """JSON-able, for ledger and ``--json``."""
        beside = {"beside": {"compared": len(self.beside), "not_reproduced": self._wrong_beside[:100]}}
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
            **(beside if self.beside else {}),
        }


def _tolerable(levels: float, share: float) -> bool:
    return levels <= TOLERANCE_LEVELS and share <= TOLERANCE_SHARE


def bind_recorded(record: dict[str, Any]) -> BoundRecipe:
    """The recipe of a record, with the effective parameters that stand there, defaults included.

    Rules about what may be said of the recording that came after the first runs do not keep one from being repeated.
    """
    recipe = Recipe(record["name"], record["title"], record["why"], (), record["sha256"], record["source"], "")
    stages = tuple(
        build(stage["name"], {name: entry["value"] for name, entry in stage["parameters"].items()})
        for stage in record["stages"]
    )
    return BoundRecipe(recipe, stages, tuple(stage["why"] for stage in record["stages"]), (), recorded=True)


def recorded_plan(workspace: Workspace, run_id: str, predicate: dict[str, Any]) -> RunPlan:
    """The plan of a finished run, rebuilt from its record alone: effective parameters, not files."""
    exhibit = find_exhibit(workspace, predicate["exhibit"]["id"])
    if exhibit is None or exhibit.sha256 != predicate["exhibit"]["sha256"]:
        raise VerificationFailed("run.exhibit", f"The exhibit of run {run_id} is not in this workspace.")
    check_untouched(workspace, exhibit)
    return plan_of_record(exhibit, run_id, predicate)


def plan_of_record(exhibit: Exhibit, run_id: str, predicate: dict[str, Any]) -> RunPlan:
    """As :func:`recorded_plan`, for an ``exhibit`` already at hand and known to be the record's."""
    first, stop = predicate["selection"]["frames"]
    request = EnhanceRequest(
        recipe=predicate["recipe"]["name"], mode=predicate["run"]["mode"], frames=(first, stop),
        stills=tuple(predicate["selection"]["stills"]),
    )  # fmt: skip
    bound = bind_recorded(predicate["recipe"])
    plan = settle_bound(run_id, exhibit, request, bound, min(os.cpu_count() or 1, MOST_DEFAULT_WORKERS))
    for model in predicate["models"]:
        present = {stage.model.id: stage.model for stage in plan.recipe.stages if stage.model is not None}
        facts = present[model["id"]].facts() if model["id"] in present else {}
        # Of a laboratory's own model the card is what was enrolled: what it says of itself is part of the run.
        same = ("weights_sha256", "card_sha256") if facts.get("external") else ("weights_sha256",)
        if any(facts.get(name) != model[name] for name in same):
            raise VerificationFailed(
                "model.swapped", f"Model {model['id']} here is not the one that run {run_id} was made with."
            )
    return plan


def reproduce(workspace: Workspace, run_id: str, progress: Progress) -> Reproduction:
    """Repeat a finished run and compare; beginning and result go into the ledger, whatever it is.

    The output of the run is never replaced. Raises ``VerificationFailed`` if exhibit, model or
    record are no longer the ones recorded, ``PolicyRefused`` if the run's own policy does not permit it
    any more (ledger: ``reproduction.failed``; ``reproduction.cancelled`` after Ctrl-C).
    """
    entry = finished_entry(workspace, run_id)
    identity = {"case": entry.case, "exhibit": entry.exhibit, "run": run_id}
    started = workspace.ledger.append("reproduction.started", {}, **identity).seq
    try:
        _, folder, attestation = recorded_run(workspace, run_id)
        predicate = attestation.predicate
        rows = recorded_frames(folder, run_id, predicate)
        plan = recorded_plan(workspace, run_id, predicate)
        with scratch_folder(workspace.layout) as scratch:
            decision = judge_as_recorded(folder, plan, predicate, scratch)
            result = compare(plan, decision, folder, rows, predicate, scratch, progress)
        check_untouched(workspace, plan.exhibit)
    except BaseException as error:
        code, reason = why_ended(error)
        event = "reproduction.cancelled" if isinstance(error, KeyboardInterrupt) else "reproduction.failed"
        ended = {"started": started, "code": code, "reason": reason}
        record_end(workspace.ledger, event, ended, error, **identity)
        raise
    workspace.ledger.append("reproduction.finished", {**result.to_record(), "started": started}, **identity)
    return result


def _changed(run_id: str, what: str, folder: RunFolder) -> VerificationFailed:
    return VerificationFailed(
        "run.changed", f"{what} of run {run_id} is not what its record says.", f"See: forensic verify {folder.root}"
    )


def recorded_frames(folder: RunFolder, run_id: str, predicate: dict[str, Any]) -> list[FrameRow]:
    """The run's frame manifest, checked against the signed root, and the output against its signed digest."""
    signed, tree, rows = predicate["output"]["frames"], MerkleTree(), []
    try:
        for row in read_manifest(folder.frames):
            tree.append(row.leaf())
            rows.append(row)
        output = sha256_file(folder.output_named(predicate["output"]["file"]))
    except (OSError, BadInput, TypeError) as error:
        raise _changed(run_id, "The frame manifest or the output", folder) from error
    if (tree.size, tree.root().hex()) != (signed["count"], signed["merkle_root"]):
        raise _changed(run_id, "The frame manifest", folder)
    if output != predicate["output"]["sha256"]:
        raise _changed(run_id, "The output", folder)
    return rows


def judge_as_recorded(folder: RunFolder, plan: RunPlan, predicate: dict[str, Any], scratch: Path) -> PolicyDecision:
    """Ask the run's own policy again, in the recorded circumstances and with the exhibit's class of today."""
    recorded = predicate["policy"]["policy"]
    texts = []
    for source, digest in ((folder.policy, recorded["sha256"]), (folder.policy_schema, recorded["schema_sha256"])):
        try:
            data = source.read_bytes()
        except OSError as error:
            raise _changed(plan.run_id, source.name, folder) from error
        if sha256_bytes(data) != digest:
            raise _changed(plan.run_id, source.name, folder)
        texts.append(data)
    return judge_again(plan, (texts[0], texts[1]), predicate["policy"], scratch)


def judge_again(plan: RunPlan, texts: tuple[bytes, bytes], recorded: dict[str, Any], scratch: Path) -> PolicyDecision:
    """Ask the policy with these ``texts`` (rules, schema), which the caller checked, as it was asked for ``recorded``.

    The class of the exhibit is that of today. Raises ``PolicyRefused``.
    """
    name = "recorded"
    write_file(scratch / f"{name}.cedar", texts[0])
    write_file(scratch / SCHEMA_NAME, texts[1])
    stated = {key: value for key, value in recorded["context"].items() if key != "exhibit_class"}
    approval = stated.pop("approval")
    context = PolicyContext(
        **stated,
        approval=None if approval is None else Approval(**approval),
        exhibit_class=plan.exhibit.stage_class,
    )
    decision = decide(load_policy(name, scratch), plan, context)
    plan.require(decision)
    return decision


def compare(
    plan: RunPlan,
    decision: PolicyDecision,
    folder: RunFolder,
    rows: list[FrameRow],
    predicate: dict[str, Any],
    scratch: Path,
    progress: Progress,
) -> Reproduction:
    result = Reproduction(plan.run_id)
    then, now = platform_key(predicate["environment"]), platform_key(environment(engines=plan.engines))
    result.platform_changes = {key: {"then": then[key], "now": now[key]} for key in then if then[key] != now[key]}
    result.same_platform = not result.platform_changes
    if [row.frame for row in rows] != list(range(*plan.frames)):
        raise _changed(plan.run_id, "The frame manifest", folder)
    source_rows = plan.exhibit.manifest()
    again = scratch / OUTPUT
    with open_exhibit(plan) as reader, progress.task("Reproducing", len(rows), "frames") as task:
        owed = _beside_of(predicate)
        outputs = enhanced_frames(plan, decision, reader, source_rows, tapped=bool(owed))
        first = next(outputs)
        form = predicate["output"].get("label_form", EDGES)  # what runs before 0.3.0 had
        mark = mark_of_record(predicate["output"].get("watermark"), plan.exhibit.sha256, plan.recipe.recipe.sha256)
        with open_master(again, plan, reader, source_rows, first.frame, label_form=form, mark=mark) as writer:
            for row, output in zip_longest(rows, chain([first], outputs)):
                if row is None or output is None:
                    raise InternalError("run.frames-lost", f"Another number of frames than {len(rows)} came out.")
                written = writer.write(output.frame)
                result.frames += 1
                same = row == FrameRow.of(written, row.flags)
                result.identical += same
                if not same:
                    result.differences.append({"frame": row.frame})
                if output.window is not None and row.frame in owed:
                    result.beside.append(_remade(plan, folder, owed.pop(row.frame), output))
                task.advance()
    if owed:
        raise _changed(plan.run_id, f"The choice of stills ({', '.join(map(str, sorted(owed)))})", folder)
    result.file_identical = sha256_file(again) == predicate["output"]["sha256"]
    if result.differences:
        _measure(folder, folder.output_named(predicate["output"]["file"]), rows, again, result)
    return result


def _beside_of(predicate: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    """The stills of a record with a picture beside them, by frame."""
    stills = predicate.get("stills")
    listed = [still for still in stills if isinstance(still, dict)] if isinstance(stills, list) else []
    return {still.get("frame"): still for still in listed if still.get("beside") is not None}


def _remade(plan: RunPlan, folder: RunFolder, still: dict[str, Any], output: PipelineOutput) -> Remade:
    """What stands beside one still, made again and compared. The run's file must be the one of its record."""
    path, number = folder.beside_still(output.frame.timing.index), output.frame.timing.index
    if folder.name(path) != still["beside"] or digest_regular(path) != still.get("beside_sha256"):
        raise _changed(plan.run_id, f"What stands beside the still of frame {number}", folder)
    window = [frame.to_working() for frame in output.window or ()]
    recorded = read_still(path.read_bytes())
    largest, differing, samples = _difference(recorded, remake(plan, window, output.at))
    return Remade(number, largest, differing, samples)


def _measure(folder: RunFolder, output: Path, rows: list[FrameRow], again: Path, result: Reproduction) -> None:
    """Size of the differences, from both files decoded side by side; the run's must be what its record says."""
    result.differences = []
    off = total = 0
    with SandboxedReader(output) as first, SandboxedReader(again) as second:
        for row, a, b in zip_longest(rows, first.frames(), second.frames()):
            if row is None or a is None or a.sha256 != row.sha256:
                raise _changed(result.run_id, "The output", folder)
            if b is None:
                raise InternalError("run.frames-lost", "The reproduction has fewer frames than were written.")
            largest, differing, samples = _difference(a, b)
            off, total = off + differing, total + samples
            result.largest_difference = max(result.largest_difference, largest)
            if differing:
                result.differences.append({"pts": a.timing.pts, "largest_grey_levels": largest, "samples": differing})
    result.differing_share = off / total if total else 1.0


def _difference(a: CodedFrame | Still, b: CodedFrame) -> tuple[float, int, int]:
    """Largest difference in grey levels, number of differing samples, number of samples."""
    if a.geometry.plane_shapes != b.geometry.plane_shapes or a.geometry.layout != b.geometry.layout:
        return float(a.geometry.layout.maximum), sum(p.size for p in a.planes), sum(p.size for p in a.planes)
    largest, differing = 0.0, 0
    for one, other in zip(a.planes, b.planes, strict=True):
        gap = np.abs(one.astype(np.int32) - other.astype(np.int32))
        largest = max(largest, float(gap.max()) / a.geometry.layout.grey_scale)
        differing += int(np.count_nonzero(gap))
    return largest, differing, sum(plane.size for plane in a.planes)
