"""``forensic export``: copies of a run for other people's programs. None of them is the evidence."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from forensic.case.attest import Attestation
from forensic.case.caseuco import CaseGraph
from forensic.case.ending import why_ended
from forensic.case.filelist import read_manifest_file
from forensic.case.layout import RunFolder
from forensic.case.recovery import scratch_folder
from forensic.case.reissue import recorded_run
from forensic.case.storage import storage, sync_file, sync_folder, write_file
from forensic.case.workspace import Workspace
from forensic.errors import UsageError, VerificationFailed
from forensic.frames.stageclass import StageClass
from forensic.frames.still import still_png
from forensic.hashes import canonical_json, sha256_file
from forensic.ledger.entry import LedgerEntry
from forensic.media.label import LABEL, is_labelled
from forensic.media.viewing import frame_of, write_viewing_copy
from forensic.signing.credentials import embed_credentials

GRAPH = ".jsonld"
VIDEO = ".mp4"
PICTURES = {".png": ("PNG", "image/png"), ".jpg": ("JPEG", "image/jpeg"), ".jpeg": ("JPEG", "image/jpeg")}
_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_JPEG_QUALITY = 95


def export(workspace: Workspace, run_id: str, target: Path, *, frame: int | None, credentials: bool) -> dict[str, Any]:
    """Write a copy of a finished run to the new file ``target``; its suffix says which.

    ``.jsonld``: the provenance as a CASE/UCO graph. ``.mp4``: the video as a viewing copy. ``.png``, ``.jpg``:
    frame number ``frame`` of the output (from 0). Viewing copies carry C2PA content credentials
    unless ``credentials`` is False. Returns what the ledger's ``export.written`` says. Failures go on the
    record as ``export.failed``. Raises ``UsageError`` (``export.kind``, ``export.exists``, ``export.frame``,
    ``export.inside``, ``run.unknown``, …), ``VerificationFailed`` (``run.changed``), ``StorageFailed``.
    """
    entry, folder, attestation = recorded_run(workspace, run_id)
    identity = {"case": entry.case, "exhibit": entry.exhibit, "run": run_id}
    try:
        make = _maker(target, frame)
        _require_free(workspace, target)
        with scratch_folder(workspace.layout) as scratch:
            made, facts = make(workspace, entry, folder, attestation, scratch, credentials)
            facts = {"file_name": target.name, "sha256": sha256_file(made), **facts}
            _place(made, target, facts["sha256"])
        workspace.ledger.append("export.written", facts, **identity)
    except BaseException as error:
        code, reason = why_ended(error)
        workspace.ledger.append("export.failed", {"file_name": target.name, "code": code, "reason": reason}, **identity)
        raise
    return facts


_Made = tuple[Path, dict[str, Any]]
_Maker = Callable[[Workspace, LedgerEntry, RunFolder, Attestation, Path, bool], _Made]


def _maker(target: Path, frame: int | None) -> _Maker:
    suffix = target.suffix.lower()
    if (suffix in PICTURES) != (frame is not None):
        raise UsageError(
            "export.frame",
            "A picture is exported of one frame, and nothing else is.",
            "Give --frame N with .png or .jpg.",
        )
    if suffix == GRAPH:
        return _graph
    if suffix == VIDEO:
        return _video
    if suffix in PICTURES:
        return lambda *given: _picture(suffix, frame or 0, *given)
    raise UsageError(
        "export.kind",
        f"{target.name} does not say what to export.",
        "End the name in .mp4 (viewing copy), .png or .jpg (one frame, with --frame N) or .jsonld (CASE/UCO).",
    )


def _require_free(workspace: Workspace, target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise UsageError("export.exists", f"{target} is there already and is not replaced.", "Choose another name.")
    if target.absolute().resolve().is_relative_to(workspace.layout.root.resolve()):
        raise UsageError("export.inside", "Copies do not go into the workspace.", "Choose a folder outside of it.")


def _place(made: Path, target: Path, sha256: str) -> None:
    """Copy to the target and read it back."""
    with storage(target, "writing"):
        write_file(target, made.read_bytes())
        sync_file(target)
        sync_folder(target.absolute().parent)
    if sha256_file(target) != sha256:
        raise VerificationFailed("copy.mismatch", f"{target} does not hold what was written to it.", "Check the disk.")


def _graph(
    workspace: Workspace, entry: LedgerEntry, folder: RunFolder, attestation: Attestation, scratch: Path, _: bool
) -> _Made:
    listed = read_manifest_file(folder.manifest)
    files = [(name, digest, (folder.root / name).stat().st_size) for name, digest in sorted(listed.items())]
    entries = workspace.ledger.entries(exhibit=entry.exhibit)
    graph = CaseGraph(attestation.predicate).build(files, entries)
    made = scratch / "graph"
    write_file(made, canonical_json(graph))
    return made, {"kind": "CASE/UCO graph", "credentials": None}


def _master(folder: RunFolder, attestation: Attestation) -> tuple[Path, StageClass]:
    output = attestation.predicate["output"]
    master = folder.root / output["file"]
    if sha256_file(master) != output["sha256"]:
        raise VerificationFailed("run.changed", f"{master} is not the output on record.", "See: forensic verify")
    return master, StageClass.parse(output["stage_class"])


def _video(
    workspace: Workspace, entry: LedgerEntry, folder: RunFolder, attestation: Attestation, scratch: Path, signed: bool
) -> _Made:
    master, stage_class = _master(folder, attestation)
    plain = scratch / "viewing.mp4"
    how = write_viewing_copy(master, plain, stage_class=stage_class, title=f"Run {entry.run}")
    made, credential = _with_credentials(workspace, attestation, plain, "video/mp4", signed)
    return made, {"kind": "viewing copy", **how, "credentials": credential}


def _picture(
    suffix: str,
    number: int,
    workspace: Workspace,
    entry: LedgerEntry,
    folder: RunFolder,
    attestation: Attestation,
    scratch: Path,
    signed: bool,
) -> _Made:
    master, stage_class = _master(folder, attestation)
    frame = frame_of(master, number, stage_class)
    if frame is None:
        raise UsageError("export.frame", f"The output of run {entry.run} has no frame {number} (counted from 0).")
    name, media_type = PICTURES[suffix]
    plain = scratch / f"viewing{suffix}"
    with Image.open(io.BytesIO(still_png(frame, labelled=is_labelled))) as picture:
        # Pixels only: what a still proves, the still itself proves, in the run folder.
        picture.convert("RGB").save(plain, name, **({"quality": _JPEG_QUALITY} if name == "JPEG" else {}))
    made, credential = _with_credentials(workspace, attestation, plain, media_type, signed)
    return made, {"kind": "viewing copy", "frame": number, "format": name, "credentials": credential}


def _with_credentials(
    workspace: Workspace, attestation: Attestation, plain: Path, media_type: str, signed: bool
) -> tuple[Path, dict[str, Any] | str]:
    if not signed:
        return plain, "none, by request"
    made = plain.with_name(f"signed{plain.suffix}")
    credential = embed_credentials(plain, media_type, made, _manifest(attestation, media_type), workspace.signer)
    return made, credential.to_record()


def _manifest(attestation: Attestation, media_type: str) -> dict[str, Any]:
    predicate = attestation.predicate
    output, run = predicate["output"], predicate["run"]
    generative = output["stage_class"] == StageClass.GENERATIVE.label
    source = "compositeWithTrainedAlgorithmicMedia" if generative else "algorithmicallyEnhanced"
    about = {
        "run": run["id"],
        "exhibit_sha256": predicate["exhibit"]["sha256"],
        "output_sha256": output["sha256"],
        "attestation_sha256": attestation.sha256,
        "stage_class": output["stage_class"],
        "stages": [stage["name"] for stage in predicate["recipe"]["stages"]],
        "notice": LABEL if generative else "Lossy viewing copy. The evidence is the signed run folder that this names.",
    }
    return {
        "claim_generator_info": [{"name": predicate["tool"]["name"], "version": predicate["tool"]["version"]}],
        "title": f"{LABEL if generative else 'Viewing copy'}: run {run['id']}",
        "format": media_type,
        "assertions": [
            {
                "label": "c2pa.actions",
                "data": {
                    "actions": [
                        {
                            "action": "c2pa.created",
                            "digitalSourceType": _SOURCE_TYPES + source,
                            "when": run["finished_utc"],
                        }
                    ]
                },
            },
            {"label": "org.forensic-tool.run", "data": about},
        ],
    }
