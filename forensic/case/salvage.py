"""What a resumed run takes over from the process before it: frames, stills and maps that are provably right.

Nothing is right because it lies there. A frame counts if its decoded planes have the digest in a journal line
under a signed root, a picture if its file has. Frames are written again by the same encoder, so that the file
comes out as if nothing had happened; the rest is made again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from forensic.case.journal import FrameLine, Kept, MapLine
from forensic.case.layout import RunFolder, WorkingFolder
from forensic.case.plan import RunPlan
from forensic.case.regularfile import digest_regular
from forensic.case.storage import is_folder, is_regular, storage, sync_folder
from forensic.errors import ForensicError, VerificationFailed
from forensic.frames.frame import CodedFrame
from forensic.frames.manifest import FrameRow
from forensic.media.sandbox.reader import SandboxedReader
from forensic.stages.pipeline import PipelineOutput

_MOST_NAMES = 100


@dataclass
class Salvage:
    """Journal lines that count, the partial output to look for their frames in, the maps whose files are whole.

    ``reused`` counts the frames taken over so far, ``removed`` names what lay in the run's folder and was not.
    """

    kept: Kept = field(default_factory=Kept)
    partial: Path | None = None
    maps: dict[int, MapLine] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    reused: int = 0


def take_over(folder: RunFolder, working: WorkingFolder, kept: Kept) -> Salvage:
    """Clear ``folder`` of all but maps and stills that ``kept`` vouches for; put the partial output aside.

    Of two partial outputs (the process before was itself resumed) the larger one stays. What is removed was
    put there by a process that is dead, or by somebody else. Raises ``StorageFailed``, and
    ``VerificationFailed`` (``run.planted``) if the folder is a link.
    """
    salvage = Salvage(kept)
    with storage(folder.root, "taking over"):
        if kept.frames:
            _put_aside(folder, working)
            salvage.partial = working.earlier if is_regular(working.earlier) else None
        else:
            working.earlier.unlink(missing_ok=True)
        if not folder.root.exists() and not folder.root.is_symlink():
            return salvage
        if not is_folder(folder.root):
            raise VerificationFailed(
                "run.planted", f"{folder.root} is no folder of this program but a link or file.", "Remove it."
            )
        # Links first, folders included: what they lead to is neither read nor touched.
        _remove(salvage, folder, [path for path in folder.files() if path.is_symlink()])
        whole: set[Path] = set()
        for number, line in kept.maps.items():
            files = {folder.root / name: digest for name, digest in line.files.items()}
            if all(digest_regular(path) == digest for path, digest in files.items()):
                salvage.maps[number] = line
                whole |= files.keys()
        _remove(salvage, folder, [path for path in folder.files() if path not in whole])
        for path in sorted(folder.root.rglob("*"), reverse=True):  # folders, the innermost first
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
    return salvage


def _remove(salvage: Salvage, folder: RunFolder, paths: list[Path]) -> None:
    for path in paths:
        salvage.removed.append(folder.name(path))
        path.unlink()


def _put_aside(folder: RunFolder, working: WorkingFolder) -> None:
    if not is_folder(folder.root) or not is_regular(folder.output):
        return
    if is_regular(working.earlier) and working.earlier.stat().st_size >= folder.output.stat().st_size:
        return
    folder.output.replace(working.earlier)
    sync_folder(working.root)
    sync_folder(folder.root)


def removed_names(salvage: Salvage) -> list[str]:
    """The first hundred names of files that were removed, for the record."""
    return [name.encode("utf-8", "backslashreplace").decode("utf-8") for name in salvage.removed[:_MOST_NAMES]]


def continued(plan: RunPlan, sources: Iterator[CodedFrame], salvage: Salvage) -> Iterator[PipelineOutput]:
    """What ``plan.pipeline.run`` gives for ``sources``, the leading frames taken from ``salvage`` where they can be.

    The first one is made again in any case: the caller's journal then notices a machine that has come to
    compute otherwise. Frames whose maps are whole come without their window. ``sources`` begins with frame 0.
    """
    first, stop = plan.frames
    radius, wanted = plan.pipeline.radius, frozenset(plan.selection.frames) - salvage.maps.keys()
    held: deque[CodedFrame] = deque()
    number, like = first, None
    for line, taken in _salvaged(plan, salvage):
        while not held or held[-1].timing.index < number + radius:
            source = next(sources, None)
            if source is None:
                break
            held.append(source)
            while held and held[0].timing.index < number - radius:  # far before the first frame of the selection
                held.popleft()
        while held[0].timing.index < number - radius:
            held.popleft()
        at = number - held[0].timing.index
        window = tuple(held)
        if like is None:
            like = made = plan.pipeline.process_window([frame.to_working() for frame in window], at).quantise()
        else:
            timing = window[at].timing
            made = CodedFrame(taken.planes, like.geometry, like.colour, timing, line.stage_class)
            if FrameRow.of(made) != line.row:
                break
        salvage.reused += number > first
        mapped = number in wanted
        yield PipelineOutput(
            made, window[at], line.notes, window if mapped else None, at if mapped else 0, number > first
        )
        number += 1
    _drop(salvage)
    rest = chain(held, sources)
    if number < stop:
        yield from plan.pipeline.run(rest, workers=plan.workers, keep=(number, stop), tap=wanted)
        return
    # All were taken over: read on as far as a run does, for the same findings about the file.
    for source in rest:
        if source.timing.index >= stop + radius:
            return


def _salvaged(plan: RunPlan, salvage: Salvage) -> Iterator[tuple[FrameLine, CodedFrame]]:
    """Frames of the partial output in order, with their lines, as far as both go. Whatever is wrong ends it."""
    if salvage.partial is None:
        return
    shape = plan.output_geometry
    try:
        with open_partial(salvage.partial) as reader:
            found = reader.geometry
            if (found.width, found.height, found.layout) != (shape.width, shape.height, shape.layout):
                return
            for number, frame in zip(range(*plan.frames), reader.frames(), strict=False):
                line = salvage.kept.frames.get(number)
                if line is None or line.stage_class is not plan.planned_class:
                    return
                yield line, frame
    except (ForensicError, OSError):
        return


def open_partial(path: Path) -> SandboxedReader:
    """A reader of an output that nobody finished, or that somebody tampered with: what it gives is not trusted."""
    return SandboxedReader(path)


def _drop(salvage: Salvage) -> None:
    """Remove the partial output: its frames stand in the new one, and the disk may be nearly full."""
    if salvage.partial is not None:
        with storage(salvage.partial, "removing"):
            salvage.partial.unlink(missing_ok=True)
