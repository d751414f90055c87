"""``forensic export``: copies of a run for other people's programs. None of them is the evidence."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from forensic.case.attest import Attestation
from forensic.case.caseuco import CaseGraph
from forensic.case.copyout import copy_out, place_outside, printable_path, take_away
from forensic.case.ending import record_end, why_ended
from forensic.case.layout import ATTESTATION, REPORT, RunFolder
from forensic.case.recovery import scratch_folder
from forensic.case.regularfile import digest_regular
from forensic.case.reissue import finished_entry, recorded_run
from forensic.case.storage import write_file
from forensic.case.workspace import Workspace
from forensic.errors import UsageError, VerificationFailed
from forensic.frames.stageclass import StageClass
from forensic.frames.still import still_png
from forensic.hashes import canonical_json, sha256_file
from forensic.ledger.entry import LedgerEntry
from forensic.media.label import LABEL, is_labelled
from forensic.media.viewing import frame_of, write_viewing_copy
from forensic.signing.credentials import embed_credentials
from forensic.signing.statement import RUN_PREDICATE, verify_statement

GRAPH = ".jsonld"
VIDEO = ".mp4"
PICTURES = {".png": ("PNG", "image/png"), ".jpg": ("JPEG", "image/jpeg"), ".jpeg": ("JPEG", "image/jpeg")}
_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_JPEG_QUALITY = 95


def export(workspace: Workspace, run_id: str, target: Path, *, frame: int | None, credentials: bool) -> dict[str, Any]:
    """Write a copy of a finished run to the new file ``target``; its suffix says which.

    ``.jsonld``: the provenance as a CASE/UCO graph. ``.mp4``: the video as a viewing copy. ``.png``, ``.jpg``:
    frame number ``frame`` of the output (from 0). Viewing copies carry C2PA content credentials
    unless ``credentials`` is False. Returns what the ledger's ``export.written`` says. The attempt is on the
    record from its start (``export.started``); a failure too (``export.failed``), and it leaves no file.
    Raises ``UsageError`` (``export.kind``, ``export.exists``, ``export.frame``, ``export.inside``,
    ``run.unknown``, …), ``VerificationFailed`` (``run.changed``), ``StorageFailed``.
    """
    entry = finished_entry(workspace, run_id)
    identity = {"case": entry.case, "exhibit": entry.exhibit, "run": run_id}
    named = printable_path(Path(target.name))
    started = workspace.ledger.append("export.started", {"file_name": named}, **identity).seq
    written: list[Path] = []
    facts: dict[str, Any] = {}
    try:
        make = _maker(target, frame)
        target = _place(workspace, target)
        _, folder, attestation = recorded_run(workspace, run_id)
        with scratch_folder(workspace.layout) as scratch:
            made, facts = make(workspace, entry, folder, attestation, scratch, credentials)
            facts = {"started": started, "file_name": named, "sha256": sha256_file(made), **facts}
            copy_out(made, target, facts["sha256"], written)
        workspace.ledger.append("export.written", facts, **identity)
    except BaseException as error:
        if facts and workspace.ledger.landed("export.written", facts, after=started) is not None:
            return facts  # what interrupted came too late: the copy is there and on the record
        take_away(written)
        code, reason = why_ended(error)
        ended = {"started": started, "file_name": named, "code": code, "reason": reason}
        record_end(workspace.ledger, "export.failed", ended, error, **identity)
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


def _place(workspace: Workspace, target: Path) -> Path:
    if target.is_dir():
        raise UsageError("export.exists", f"{printable_path(target)} is a folder.", "Name a file in it.")
    return place_outside(workspace, target, target.name)


def _graph(
    workspace: Workspace, entry: LedgerEntry, folder: RunFolder, attestation: Attestation, scratch: Path, _: bool
) -> _Made:
    statement, _signers = verify_statement(attestation.data, predicate_type=RUN_PREDICATE)
    reports = list(workspace.ledger.entries(event="report.issued", run=entry.run))
    wanted = {subject.name: subject.sha256 for subject in statement.subjects}
    wanted[ATTESTATION] = attestation.sha256
    wanted[REPORT] = (reports[-1] if reports else entry).data["report_sha256"]
    changed = [name for name, digest in wanted.items() if digest_regular(folder.root / name) != digest]
    if changed:
        raise VerificationFailed(
            "run.changed",
            f"Files of run {entry.run} are not those on record: {', '.join(sorted(changed)[:5])}.",
            f"See: forensic verify {folder.root}",
        )
    files = [(name, digest, (folder.root / name).stat().st_size) for name, digest in sorted(wanted.items())]
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
