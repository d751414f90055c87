"""Whether a file that is acquired came out of this program: the class its pixels already have.

Creative output must not become evidence by being acquired again. Four things can tell: marks in the file
(:mod:`forensic.media.declared`), its digest, the digests of its frames, these two compared with the runs of
this workspace, and the invisible mark in the pixels (:mod:`forensic.case.recognising`), which outlives encoding
anew, scaling and cropping within limits (docs/creative.md). The highest class counts. Beyond the limits the
label burned into the pixels remains for the eye.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from forensic.case.exhibits import exhibit_of
from forensic.case.filelist import read_manifest_file
from forensic.case.generativeruns import class_of_run, generative_runs
from forensic.case.layout import RunFolder
from forensic.case.recognising import findings
from forensic.case.storage import is_regular
from forensic.case.workspace import Workspace
from forensic.errors import BadInput, VerificationFailed
from forensic.frames.manifest import read_manifest
from forensic.frames.stageclass import StageClass
from forensic.media.declared import declarations
from forensic.media.watermark_search import Looked

NOTHING_FOUND = "nothing marks it as output of this program"

_BESIDE = "stills/beside/"  # what the recording itself gives (case.beside)

_Finding = tuple[StageClass, str]


def class_of(
    workspace: Workspace,
    sha256: str,
    media: dict[str, Any],
    original: Path,
    manifest: Path,
    looked: Looked | None = None,
) -> tuple[StageClass, str]:
    """Class of the file ``original`` with digest ``sha256``, and the reason in words.

    ``media`` are its facts (``MediaFacts.to_record()``), ``manifest`` is its frame manifest, ``looked``
    what the search for the invisible mark gave (None: nobody looked).
    """
    found: list[_Finding] = []
    planes: list[str] = []
    for declared in declarations(media, original):
        found.append((declared.stage_class, declared.reason))
        if declared.planes_sha256 is not None:
            planes.append(declared.planes_sha256)
    found += _same_file(workspace, sha256)
    frames = (row.sha256 for row in read_manifest(manifest))
    found += _same_frames(workspace, planes, frames)
    found += [] if looked is None else findings(looked)
    # max() keeps the first of equals: the file's own word before what the ledger knows.
    return max(found, key=lambda finding: finding[0], default=(StageClass.PRESENTATION, NOTHING_FOUND))


def _same_file(workspace: Workspace, sha256: str) -> Iterator[_Finding]:
    for entry in workspace.ledger.entries(event="run.finished"):
        stage_class = class_of_run(entry.data)
        if entry.data.get("output_sha256") == sha256:
            yield stage_class, f"it is the output of run {entry.run}"
        elif stage_class is StageClass.GENERATIVE and entry.run:
            for folder in _folders(workspace, entry.run):
                if (name := _listed(folder, sha256)) is not None:
                    yield stage_class, f"it is {name} of run {entry.run}"


def _same_frames(workspace: Workspace, planes: Iterable[str], frames: Iterable[str]) -> Iterator[_Finding]:
    """A frame of a generative run carries the burned-in label: footage cannot have the same digest by chance."""
    invented: dict[str, str] = {}
    for run in generative_runs(workspace):
        for folder in _folders(workspace, run):
            invented.update((sha256, f"generative run {run}") for sha256 in _frames_of(folder.frames))
    for entry in workspace.ledger.entries(event="exhibit.acquired"):
        if entry.data.get("stage_class") == StageClass.GENERATIVE.label:
            try:
                manifest = exhibit_of(workspace, entry).folder.frames
            except VerificationFailed:
                continue  # malformed: no file is to be followed from it
            invented.update((sha256, f"generative exhibit {entry.exhibit}") for sha256 in _frames_of(manifest))
    if invented:
        for sha256 in chain(planes, frames):
            if sha256 in invented:
                yield StageClass.GENERATIVE, f"it shows a frame of the {invented[sha256]}"
                return


def _folders(workspace: Workspace, run: str) -> Iterator[RunFolder]:
    """Folders that the run may have. A name that is no plain name is nobody's folder."""
    if Path(run).name == run:
        yield workspace.layout.run(run)
        yield workspace.layout.incomplete_run(run)


def _listed(folder: RunFolder, sha256: str) -> str | None:
    """Name of a still or other picture of the run with this digest, except those that show no generated pixels."""
    try:
        listed = read_manifest_file(folder.manifest)
    except (OSError, ValueError):
        return None
    for name, digest in listed.items():
        shown = name.endswith(".source.png") or name.startswith(_BESIDE)
        if digest == sha256 and name.endswith(".png") and not shown:
            return name
    return None


def _frames_of(manifest: Path) -> Iterator[str]:
    """Digests of the frames that a manifest lists, up to where it can be read."""
    if not is_regular(manifest):
        return
    try:
        for row in read_manifest(manifest):
            yield row.sha256
    except (OSError, BadInput, TypeError):
        return
