"""The pixel work of a run: decode, enhance, write, hash, map. Nothing here signs or judges."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

from forensic.case.exhibits import Exhibit
from forensic.case.layout import RunFolder
from forensic.case.plan import RunPlan
from forensic.case.progress import Progress
from forensic.case.storage import make_folder, storage
from forensic.errors import InternalError, VerificationFailed
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, Geometry, WorkingFrame
from forensic.frames.manifest import FrameRow, read_manifest
from forensic.frames.stageclass import StageClass
from forensic.hashes import MerkleTree, sha256_file
from forensic.media.reader import ExhibitReader
from forensic.media.stills import write_still
from forensic.media.writer import MasterWriter
from forensic.risk.assessment import assess
from forensic.risk.dihedral import Dispersion, dispersion
from forensic.risk.files import RiskPaths, write_maps
from forensic.stages.pipeline import Pipeline, PipelineOutput


@dataclass
class PixelResult:
    """What the pixel work produced, ready for the record."""

    frames: int = 0
    merkle_root: str = ""
    stage_class: StageClass = StageClass.PRESENTATION
    codec: dict[str, Any] = field(default_factory=dict)
    carried: list[dict[str, Any]] = field(default_factory=list)
    not_carried: list[dict[str, Any]] = field(default_factory=list)
    risk: dict[int, dict[str, Any]] = field(default_factory=dict)
    stills: list[dict[str, Any]] = field(default_factory=list)
    geometry: Geometry | None = None
    colour: ColourSpec | None = None
    notes: list[dict[str, Any]] = field(default_factory=list)
    decoder_anomalies: dict[str, int] = field(default_factory=dict)


def _as_acquired(exhibit: Exhibit, frames: Iterator[CodedFrame]) -> Iterator[CodedFrame]:
    """Pass source frames through, each checked against the acquisition's frame manifest."""
    rows = read_manifest(exhibit.folder.frames)
    for frame, row in zip(frames, rows, strict=False):
        if (frame.timing.index, frame.timing.pts, frame.sha256) != (row.frame, row.pts, row.sha256):
            raise VerificationFailed(
                "exhibit.decodes-differently",
                f"Frame {row.frame} of exhibit {exhibit.id} does not decode to what was recorded at acquisition.",
                "The decoder's version differs, or the machine is at fault: acquire the file under a new id here.",
            )
        yield frame


def enhanced_frames(plan: RunPlan, reader: ExhibitReader, *, tapped: bool) -> Iterator[PipelineOutput]:
    """The enhanced frames of the plan, in order, from an exhibit checked frame by frame.

    ``tapped``: frames to be mapped come with their window of source frames.
    """
    return plan.pipeline.run(
        _as_acquired(plan.exhibit, reader.frames()),
        workers=plan.workers,
        keep=plan.frames,
        tap=plan.selection.frames if tapped else (),
    )


def open_master(path: Path, plan: RunPlan, reader: ExhibitReader, first: CodedFrame) -> MasterWriter:
    """The writer for the plan's output, described as its first frame is; carries the exhibit's sound."""
    deinterlaced = any(stage.name == "deinterlace" for stage in plan.recipe.stages)
    return MasterWriter(
        path,
        first.geometry,
        first.colour,
        first.timing.time_base,
        field_order="progressive" if deinterlaced else reader.facts.field_order,
        carry_from=None if reader.facts.is_image else plan.exhibit.original,
        carry_span=_span(plan),
        threads=plan.workers,
    )


def _span(plan: RunPlan) -> tuple[Fraction | None, Fraction | None]:
    """Time from the first selected frame to the first one after the selection; None where open."""
    first, stop = plan.frames
    if (first, stop) == (0, plan.exhibit.frame_count):
        return None, None
    times = {
        row.frame: row.pts * plan.exhibit.time_base
        for row in islice(read_manifest(plan.exhibit.folder.frames), stop + 1)
        if row.frame in (first, stop)
    }
    return times.get(first) if first else None, times.get(stop)


def execute(plan: RunPlan, folder: RunFolder, progress: Progress) -> PixelResult:
    """Carry out the plan into ``folder`` (output, frame manifest, stills, risk maps)."""
    for path in (folder.root, folder.stills, folder.risk):
        make_folder(path)
    result = PixelResult()
    with ExhibitReader(plan.exhibit.original) as reader:
        _write_frames(plan, folder, reader, result, progress)
        result.decoder_anomalies = reader.anomaly_counts
    expected = plan.frames[1] - plan.frames[0]
    if result.frames != expected:
        raise InternalError("run.frames-lost", f"{result.frames} frames were written where {expected} were due.")
    return result


def _write_frames(
    plan: RunPlan, folder: RunFolder, reader: ExhibitReader, result: PixelResult, progress: Progress
) -> None:
    tree = MerkleTree()
    pending: list[tuple[int, Future[dict[str, Any]]]] = []
    with (
        ThreadPoolExecutor(1, "risk") as mapper,
        storage(folder.frames, "writing"),
        folder.frames.open("wb") as manifest,
        progress.task("Enhancing", plan.frames[1] - plan.frames[0], "frames") as task,
    ):
        outputs = enhanced_frames(plan, reader, tapped=True)
        first = next(outputs)
        with open_master(folder.output, plan, reader, first.frame) as writer:
            for output in chain([first], outputs):
                written = writer.write(output.frame)
                leaf = FrameRow.of(written).leaf()
                manifest.write(leaf + b"\n")
                tree.append(leaf)
                result.stage_class = max(result.stage_class, written.stage_class)
                result.geometry, result.colour = written.geometry, written.colour
                if output.notes:
                    result.notes.append({"frame": written.timing.index, "notes": list(output.notes)})
                if output.window is not None:
                    job = mapper.submit(_still_and_map, plan, folder, output, written)
                    pending.append((written.timing.index, job))
                task.advance()
        for number, future in pending:
            result.risk[number] = future.result()
            result.stills.append(_still_record(folder, number))
        result.codec = writer.codec_facts()
        result.carried, result.not_carried = list(writer.tracks.carried), list(writer.tracks.not_carried)
    result.frames, result.merkle_root = tree.size, tree.root().hex()


def _still_and_map(plan: RunPlan, folder: RunFolder, output: PipelineOutput, written: CodedFrame) -> dict[str, Any]:
    number = written.timing.index
    write_still(folder.still(number), written)
    write_still(folder.source_still(number), output.source)
    window = [frame.to_working() for frame in output.window or ()]
    reference = plan.pipeline.reference().process_window([window[output.at]], 0)
    assessment = assess(reference, written, dispersion=_dispersion(plan, window, output.at))
    paths = RiskPaths(folder.risk_map(number), folder.level_map(number), folder.overlay(number))
    write_maps(paths, assessment, written)
    return assessment.to_record()


def _dispersion(plan: RunPlan, window: list[WorkingFrame], at: int) -> Dispersion | None:
    """Dispersion of the learned stages, and what follows them, over mirrored and turned inputs.

    The frames before the first learned stage are made once, in place; stages that name places in
    the picture come before it (``recipe.order``). None where no stage is learned.
    """
    stages = plan.recipe.stages
    first = next((place for place, stage in enumerate(stages) if stage.learned), None)
    if first is None:
        return None
    before, after = Pipeline(stages[:first]), Pipeline(stages[first:])
    low, high = max(0, at - after.radius), min(len(window), at + after.radius + 1)
    return dispersion(after.process_window, [before.process_window(window, i) for i in range(low, high)], at - low)


def _still_record(folder: RunFolder, number: int) -> dict[str, Any]:
    after, before = folder.still(number), folder.source_still(number)
    return {
        "frame": number,
        "after": folder.name(after),
        "before": folder.name(before),
        "sha256": sha256_file(after),
        "before_sha256": sha256_file(before),
    }


def output_file_facts(path: Path) -> dict[str, Any]:
    """Digest and size of the output."""
    return {"sha256": sha256_file(path), "size": path.stat().st_size}
