"""The pixel work of a run: decode, enhance, write, hash, map. Nothing here signs or judges."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, zip_longest
from math import prod
from pathlib import Path
from typing import Any

from forensic.case.beside import write_beside
from forensic.case.combined import write_combined
from forensic.case.exhibits import Exhibit
from forensic.case.journal import FrameLine, Journal, MapLine
from forensic.case.layout import RunFolder
from forensic.case.plan import RunPlan
from forensic.case.progress import Progress
from forensic.case.salvage import Salvage, continued
from forensic.case.storage import create_file, make_folder, storage
from forensic.case.variants import dispersion_of, invention_of
from forensic.case.written import Written
from forensic.errors import InternalError, UsageError, VerificationFailed
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, Geometry
from forensic.frames.manifest import FrameRow
from forensic.frames.stageclass import StageClass
from forensic.fusion.forward import ForwardModel
from forensic.fusion.options import SplitHalves
from forensic.hashes import MerkleTree
from forensic.media.label import EVERYWHERE, is_labelled
from forensic.media.sandbox.reader import SandboxedReader
from forensic.media.stills import write_still
from forensic.media.watermark_keys import Mark, run_key
from forensic.media.writer import MasterWriter
from forensic.policy.decision import PolicyDecision
from forensic.risk.assessment import assess
from forensic.risk.files import RiskPaths, write_maps
from forensic.stages.combining import after_combining, combining, split_halves
from forensic.stages.pipeline import PipelineOutput
from forensic.stages.replaced import replaced_places

SourceRows = Sequence[FrameRow]
MAPS_IN_FLIGHT = 1
_WARPS = ("perspective", "undistort")  # magnify differently over the picture
INTERLACED = ("tt", "bb", "tb", "bt")


@dataclass
class PixelResult:
    """What the pixel work produced, ready for the record."""

    written: Written
    frames: int = 0
    output: dict[str, Any] = field(default_factory=dict)  # digest and size
    rows: list[FrameRow] = field(default_factory=list)
    merkle_root: str = ""
    stage_class: StageClass = StageClass.PRESENTATION
    codec: dict[str, Any] = field(default_factory=dict)
    carried: list[dict[str, Any]] = field(default_factory=list)
    not_carried: list[dict[str, Any]] = field(default_factory=list)
    risk: dict[int, dict[str, Any]] = field(default_factory=dict)
    stills: list[dict[str, Any]] = field(default_factory=list)
    combined: list[dict[str, Any]] = field(default_factory=list)  # by frames, where a stage combines frames
    geometry: Geometry | None = None
    colour: ColourSpec | None = None
    notes: list[dict[str, Any]] = field(default_factory=list)
    decoder_anomalies: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    isolation: dict[str, Any] = field(default_factory=dict)
    reused: int = 0  # frames taken over from a process that was interrupted


def as_acquired(exhibit: Exhibit, rows: SourceRows, frames: Iterator[CodedFrame]) -> Iterator[CodedFrame]:
    """Pass source frames through, each checked against the acquisition's frame manifest."""
    for number, (frame, row) in enumerate(zip_longest(frames, rows)):
        found = None if frame is None else (frame.timing.index, frame.timing.pts, frame.sha256)
        if frame is None or row is None or found != (row.frame, row.pts, row.sha256):
            raise VerificationFailed(
                "exhibit.decodes-differently",
                f"Frame {number} of exhibit {exhibit.id} does not decode to what was recorded at acquisition.",
                "The decoder's version differs, or the machine is at fault: acquire the file under a new id here.",
            )
        yield frame


def open_exhibit(plan: RunPlan) -> SandboxedReader:
    """A reader of the plan's exhibit, confined to a process, whose frames begin with the exhibit's class.

    Frames come with what the bitstream says of their coding if a stage of the plan or the map's calibration reads it.
    """
    coding = plan.calibration is not None or any(stage.reads_coding for stage in plan.recipe.stages)
    return open_exhibit_file(plan.exhibit, coding=coding)


def open_exhibit_file(exhibit: Exhibit, *, coding: bool = False) -> SandboxedReader:
    """As :func:`open_exhibit`; with ``coding`` it also says how each frame was coded."""
    return SandboxedReader(exhibit.original, stage_class=exhibit.stage_class, coding=coding)


def enhanced_frames(
    plan: RunPlan,
    decision: PolicyDecision,
    reader: SandboxedReader,
    rows: SourceRows,
    *,
    tapped: bool,
    salvage: Salvage | None = None,
) -> Iterator[PipelineOutput]:
    """The enhanced frames of the plan, in order, from an exhibit checked frame by frame against ``rows``.

    ``tapped``: frames to be mapped come with their window of source frames. ``salvage``: of a run that is
    resumed, tapped. Raises ``PolicyRefused`` or ``InternalError`` before the first frame unless ``decision``
    permits this very plan.
    """
    plan.require(decision)
    sources = as_acquired(plan.exhibit, rows, reader.frames())
    if salvage is not None:
        return continued(plan, sources, salvage)
    return plan.pipeline.run(
        sources,
        workers=plan.workers,
        keep=plan.frames,
        tap=plan.selection.frames if tapped else (),
    )


def open_master(
    path: Path, plan: RunPlan, reader: SandboxedReader, rows: SourceRows, first: CodedFrame,
    *, label_form: int = EVERYWHERE, mark: Mark | None,
) -> MasterWriter:  # fmt: skip
    """The writer for the plan's output, described as its first frame is; carries the exhibit's sound.

    ``label_form`` and ``mark`` are those of the record of a run that is repeated, else :func:`mark_of` the plan.
    """
    return MasterWriter(
        path,
        first.geometry,
        first.colour,
        first.timing.time_base,
        field_order=output_field_order(plan, reader.facts.field_order),
        carry_from=plan.exhibit.original if reader.facts.has_more_than_pictures else None,
        carry_span=_span(plan, rows),
        threads=plan.workers,
        label_form=label_form,
        mark=mark,
    )


def mark_of(plan: RunPlan) -> Mark:
    """The invisible mark that generative frames of the plan get (``media.watermark``)."""
    return Mark(run_key(plan.exhibit.sha256, plan.recipe.recipe.sha256))


def output_field_order(plan: RunPlan, field_order: str) -> str:
    """What the output may say of its fields: progressive once deinterlaced, unknown once rows were moved or mixed."""
    if any(stage.name == "deinterlace" for stage in plan.recipe.stages):
        return "progressive"
    if field_order in INTERLACED and plan.pipeline.effective_class > StageClass.PRESENTATION:
        return "unknown"
    return field_order


def _span(plan: RunPlan, rows: SourceRows) -> tuple[Fraction | None, Fraction | None]:
    """Time from the first selected frame to the first one after the selection; None where open."""
    first, stop = plan.frames
    if (first, stop) == (0, plan.exhibit.frame_count):
        return None, None
    times = [row.pts * plan.exhibit.time_base for row in (rows[first], *rows[stop : stop + 1])]
    return times[0] if first else None, times[1] if len(times) > 1 else None


def execute(
    plan: RunPlan,
    decision: PolicyDecision,
    rows: SourceRows,
    folder: RunFolder,
    progress: Progress,
    salvage: Salvage | None = None,
    journal: Journal | None = None,
) -> PixelResult:
    """Carry out the plan into ``folder`` (output, frame manifest, stills, risk maps).

    ``rows`` is the exhibit's checked manifest (``Exhibit.manifest``); ``salvage`` is what a resumed run takes
    over, ``journal`` is told what is done. Raises as :func:`enhanced_frames` and ``Journal.frame``.
    """
    plan.require(decision)
    for path in (folder.root, folder.stills, folder.risk):
        make_folder(path)
    result = PixelResult(Written(folder))
    with open_exhibit(plan) as reader:
        outputs = enhanced_frames(plan, decision, reader, rows, tapped=True, salvage=salvage)
        maps = {} if salvage is None else salvage.maps
        _write_frames(plan, outputs, rows, folder, reader, result, progress, maps, journal)
        result.reused = 0 if salvage is None else salvage.reused
        result.decoder_anomalies, result.isolation = reader.anomaly_counts, reader.isolation
        result.not_carried += [
            {"track": item["what"], "reason": item["reason"]}
            for item in reader.facts.not_carried_metadata(reader.statistics["side_data"])
        ]
        if plan.calibration_refused is not None:
            result.warnings.append(f"The risk map is UNCALIBRATED: {plan.calibration_refused}.")
        interlaced = reader.facts.field_order in INTERLACED or reader.statistics["interlaced_frames"] > 0
        if interlaced and not any(stage.name == "deinterlace" for stage in plan.recipe.stages):
            result.warnings.append(
                "The recording is interlaced and the recipe does not deinterlace: stages that move or mix rows have "
                "mixed two moments in time. Consider a recipe that begins with the deinterlace stage."
            )
    expected = plan.frames[1] - plan.frames[0]
    if (result.stage_class is StageClass.GENERATIVE) is not folder.generative:
        raise InternalError("run.class-differs", f"The output is {result.stage_class.label}, its files say otherwise.")
    if result.frames != expected:
        raise InternalError("run.frames-lost", f"{result.frames} frames were written where {expected} were due.")
    return result


def _write_frames(
    plan: RunPlan,
    outputs: Iterator[PipelineOutput],
    rows: SourceRows,
    folder: RunFolder,
    reader: SandboxedReader,
    result: PixelResult,
    progress: Progress,
    maps: Mapping[int, MapLine],
    journal: Journal | None,
) -> None:
    tree = MerkleTree()
    digest = hashlib.sha256()
    pending: list[Future[MapLine]] = []
    # Halves take as long as the frames themselves: as many are made at a time.
    in_flight = MAPS_IN_FLIGHT if combining(plan.pipeline) is None else max(MAPS_IN_FLIGHT, plan.workers - 1)
    with (
        _at_work(ThreadPoolExecutor(1, "risk"), ThreadPoolExecutor(in_flight + 1, "halves")) as (mapper, halver),
        storage(folder.frames, "writing"),
        create_file(folder.frames) as manifest,
        progress.task("Enhancing", plan.frames[1] - plan.frames[0], "frames") as task,
    ):
        first = next(outputs)
        with open_master(folder.output, plan, reader, rows, first.frame, mark=mark_of(plan)) as writer:
            for output in chain([first], outputs):
                written = writer.write(output.frame, again=output.written)
                row = FrameRow.of(written)
                result.rows.append(row)
                leaf = row.leaf()
                manifest.write(leaf + b"\n")
                digest.update(leaf + b"\n")
                tree.append(leaf)
                result.stage_class = max(result.stage_class, written.stage_class)
                result.geometry, result.colour = written.geometry, written.colour
                if journal is not None:
                    journal.frame(FrameLine(row, written.stage_class, output.notes))
                if output.notes:
                    result.notes.append({"frame": written.timing.index, "notes": list(output.notes)})
                if output.window is not None:
                    halves = halver.submit(_halves, plan, output)
                    pending.append(mapper.submit(_still_and_map, plan, folder, output, written, halves, journal))
                    if len(pending) > in_flight:  # each holds its window: memory stays bounded
                        pending[-in_flight - 1].result()
                task.advance()
        lines = {line.frame: line for line in (*maps.values(), *(future.result() for future in pending))}
        for number in sorted(lines):
            result.risk[number] = lines[number].record
            if (combined := lines[number].combined) is not None:
                result.combined.append(combined)
            result.stills.append(_still_record(folder, lines[number]))
            result.written.add_all({folder.root / name: sha256 for name, sha256 in lines[number].files.items()})
        result.written.add(folder.output, writer.digest, writer.status)
        result.output = {"sha256": writer.digest, "size": writer.status.st_size}
        result.codec = writer.codec_facts()
        result.carried, result.not_carried = list(writer.tracks.carried), list(writer.tracks.not_carried)
    result.written.add(folder.frames, digest.hexdigest())
    result.frames, result.merkle_root = tree.size, tree.root().hex()


@contextmanager
def _at_work(*executors: ThreadPoolExecutor) -> Iterator[tuple[ThreadPoolExecutor, ...]]:
    """Executors that are waited for. After an error (Ctrl-C) only what they have begun is: nothing more begins."""
    try:
        yield executors
    except BaseException:
        for executor in executors:
            executor.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        for executor in executors:
            executor.shutdown()


def _halves(plan: RunPlan, output: PipelineOutput) -> SplitHalves | None:
    return split_halves(plan.pipeline, [frame.to_working() for frame in output.window or ()], output.at)


def _still_and_map(
    plan: RunPlan,
    folder: RunFolder,
    output: PipelineOutput,
    written: CodedFrame,
    halves: Future[SplitHalves | None],
    journal: Journal | None,
) -> MapLine:
    number = written.timing.index
    _, still = write_still(folder.still(number), written)
    files = {folder.still(number): still, **_write_source_still(folder, output.source)}
    window = [frame.to_working() for frame in output.window or ()]
    files |= write_beside(plan, folder, window, output.at)
    source = window[output.at]
    reference = plan.pipeline.reference_picture(source, output.notes)
    shown = plan.pipeline.shows_recording(source, output.notes)
    replaced = replaced_places(plan.pipeline.stages, source, output.notes, shown)
    spread, no_spread = dispersion_of(plan, window, output.at)
    invention = invention_of(plan, output, window, spread)
    forward, about_psf = _forward(plan)
    found = halves.result()
    apart = None if found is None else _not_the_output(plan, found, written)
    assessment = assess(
        reference, written, forward, dispersion=spread, shown=shown, replaced=replaced, calibration=plan.calibration,
        halves=None if apart else found,
    )  # fmt: skip
    paths = RiskPaths(
        folder.risk_map(number), folder.level_map(number), folder.overlay(number), folder.invention_map(number)
    )
    files |= write_maps(paths, assessment, written, invention)
    record = assessment.to_record()
    if invention is not None:
        record = {**record, "summary": {**record["summary"], "invention": dict(invention.facts)}}
    remarks = [no_spread and f"self-ensemble dispersion {no_spread}", apart and f"split halves {apart}", about_psf]
    remarks = [remark for remark in remarks if remark]
    if remarks:
        record = {**record, "summary": {**record["summary"], "remarks": remarks}}
    combined = None
    if found is not None:
        more, combined = write_combined(folder, found, written)
        files |= more
    line = MapLine(number, {folder.name(path): sha256 for path, sha256 in files.items()}, record, combined)
    if journal is not None:
        journal.mapped(line)
    return line


def _not_the_output(plan: RunPlan, found: SplitHalves, written: CodedFrame) -> str | None:
    """Why the output cannot be compared with the halves of the frames, in words; None where it can."""
    if (stage := after_combining(plan.pipeline)) is not None:
        return f"not compared with the output: stage {stage.name} follows the one that made them"
    size = (written.geometry.height, written.geometry.width)
    same = found.halves is None or found.halves[0].shape == size
    return None if same else "not compared with the output: it has another size"


def _write_source_still(folder: RunFolder, source: CodedFrame) -> dict[Path, str]:
    """The untouched frame. One of a generative exhibit that must be labelled first is none, and is kept apart."""
    path = folder.source_still(source.timing.index)
    if source.stage_class is StageClass.GENERATIVE and not is_labelled(source):
        path = folder.labelled_source_still(source.timing.index)
        make_folder(path.parent)
    return {path: write_still(path, source)[1]}


def _forward(plan: RunPlan) -> tuple[ForwardModel | None, str | None]:
    """The forward model that a deconvolution's PSF declares; None takes the default. And what to say of it."""
    reference = plan.pipeline.reference().output_geometry(plan.source_geometry)
    planned = plan.pipeline.plan(plan.source_geometry)
    for place, step in enumerate(planned):
        shape = getattr(step.stage.parameters, "psf", None)
        if shape is None:
            continue
        if shape != "gaussian":
            return None, f"the {shape} PSF of stage {step.stage.name} is not in the forward model"
        warps = next((later.stage.name for later in planned[place + 1 :] if later.stage.name in _WARPS), None)
        if warps is not None:
            return None, f"the PSF of stage {step.stage.name} is not in the forward model: {warps} warps the picture"
        sigma = step.stage.parameters.sigma * prod(later.scale for later in planned[place + 1 :])
        try:
            return ForwardModel.between(reference, plan.output_geometry, sigma), "PSF declared by the examiner"
        except UsageError as error:
            return None, f"the PSF of stage {step.stage.name} is not in the forward model: {error.message}"
    return None, None


def _still_record(folder: RunFolder, line: MapLine) -> dict[str, Any]:
    after, before = folder.name(folder.still(line.frame)), folder.name(folder.source_still(line.frame))
    if before not in line.files:
        before = folder.name(folder.labelled_source_still(line.frame))
    record = {
        "frame": line.frame,
        "after": after,
        "before": before,
        "sha256": line.files[after],
        "before_sha256": line.files[before],
    }
    beside = folder.name(folder.beside_still(line.frame))
    return record | ({"beside": beside, "beside_sha256": line.files[beside]} if beside in line.files else {})
