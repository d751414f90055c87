"""``forensic calibrate``: hash, look, register, measure, test, sign; every way it can end is recorded."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensic.case.calibrating.events import CANCELLED, COMPLETED, FAILED, REFUSED, REGISTERED
from forensic.case.calibrating.measuring import PASSES, PASSES_LEARNED, estimate, measure, trial
from forensic.case.calibrating.pairs import read_given
from forensic.case.calibrating.preparing import Asked, Preparation, prepare
from forensic.case.calibrating.record import (
    Method,
    Registered,
    build_record,
    expectations,
    refused_in_short,
    registration,
)
from forensic.case.ending import record_end, why_ended
from forensic.case.filelist import write_manifest
from forensic.case.incompletefolder import by_user, complete_renames, ended, incomplete, settle_folder, unsigned
from forensic.case.issue import issue_signed
from forensic.case.layout import CalibrationFolder, real
from forensic.case.plan import MOST_DEFAULT_WORKERS
from forensic.case.progress import Progress
from forensic.case.storage import storage, write_file
from forensic.case.workspace import Workspace, utc_now
from forensic.errors import BadInput, UsageError
from forensic.hashes import canonical_json, sha256_bytes
from forensic.ledger.entry import LedgerEntry
from forensic.registry.cards import verify_card
from forensic.registry.loading import require_engine
from forensic.report.calibration.document import build_calibration_pdf
from forensic.risk.calibration.artefact import QUANTILE, SUM, Calibration
from forensic.risk.calibration.artefact import Stratum as Tested
from forensic.risk.calibration.drawn import CLASS
from forensic.risk.calibration.evaluating import held_out
from forensic.risk.calibration.evidence import groups, pictures_of, written
from forensic.risk.calibration.fitting import calibration_of
from forensic.risk.calibration.independence import CALIBRATE, TEST
from forensic.risk.calibration.laboratory import Laboratory, Registration
from forensic.risk.calibration.quantisers import strata_of
from forensic.risk.calibration.shelf import head_for, subject_of
from forensic.risk.calibration.strata import CLAIMS
from forensic.risk.head import Head
from forensic.signing.statement import CALIBRATION_PREDICATE, Subject, build_statement, sign_statement
from forensic.stages.pipeline import Pipeline
from forensic.stages.recipe import load_recipe

DEFAULT_RECIPE, DEFAULT_TEST_SHARE = "light", 0.25
_REASON = "Record of a calibration"
SCORES = {"learned": QUANTILE, "sum": SUM}


@dataclass(frozen=True)
class CalibrateRequest:
    """What was asked for; None where nothing was said. ``strata``: rising limits of the quantiser. ``regions``: of each
    pair a region, not the whole picture. ``deviations``: what the examiner does otherwise than the method says."""

    pairs: Path
    class_name: str
    recipe: str | None = None
    scale: int | None = None
    score: str | None = None
    strata: tuple[float, ...] = ()
    test_share: float | None = None
    regions: bool = False
    frame: int | None = None
    workers: int | None = None
    deviations: tuple[str, ...] = ()
    out: Path | None = None
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class FinishedCalibration:
    """Where the calibration is and what it is."""

    id: str
    folder: Path
    calibration: Calibration
    predicate: dict[str, Any]


@dataclass
class _Settled:
    """What is worked with. ``begun``: the folder called incomplete is ours."""

    method: Method
    pipeline: Pipeline
    head: Head | None
    engines: tuple[str, ...]
    folder: Path
    workers: int
    begun: bool = False

    @property
    def incomplete(self) -> CalibrationFolder:
        """The folder as long as no entry of the ledger completes it."""
        return CalibrationFolder(incomplete(self.folder))

    def left_unsigned(self) -> dict[str, Any]:
        """What the entry on a bad end says of the folder."""
        folder = self.incomplete
        return unsigned(self.folder, (folder.manifest, folder.report, folder.attestation))


def calibrate(workspace: Workspace, request: CalibrateRequest, progress: Progress) -> FinishedCalibration:
    """Fit and test a threshold of LOW on the laboratory's own pairs, and sign what came out, also if that is no LOW.

    Before the first score ``calibration.registered`` holds lists, claims, strata and method. Raises ``UsageError``,
    ``BadInput`` and ``PolicyRefused`` for what cannot be begun (``calibration.refused``); after that whatever stopped
    it (``calibration.failed``, ``calibration.cancelled``): the command can be given again.
    """
    identifier = f"C-{utc_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    settled: _Settled | None = None
    found: Preparation | None = None
    done: FinishedCalibration | None = None
    try:
        _require_text(request)
        complete_renames(
            workspace.ledger.entries(event=COMPLETED), lambda name: workspace.layout.root / name, "calibration"
        )
        settled = _settle(workspace, request, identifier)
        given = read_given(request.pairs, request.frame)
        method = settled.method
        passes = PASSES if settled.head is None else PASSES_LEARNED
        often = "once" if passes == 1 else f"{passes} times"
        progress.say(f"{len(given.pairs)} pairs; the model runs {often} for each that can be used")
        clock = time.monotonic()
        found = prepare(
            given, Asked(method.subject.scale, method.score, method.strata, method.subject.region),
            method.test_share, settled.workers, progress,
        )  # fmt: skip
        reading = (time.monotonic() - clock) / len(given.pairs)
        for one in found.refused:
            progress.say(f"Refused: {one['pair']['degraded']}: {one['reason']}")
        for names in found.merged:
            progress.say(f"One recording, because they share a file or picture: {', '.join(names)}")
        if not any(unit.which == CALIBRATE for unit in found.units):
            raise BadInput(
                "calibration.no-pairs",
                f"None of the {len(given.pairs)} pairs can be used; the first: {found.refused[0]['reason']}.",
            )
        for line in expectations(method, found):
            progress.say(line)
        pace = trial(settled.pipeline, settled.head)
        progress.say(estimate(pace, reading, found.units, settled.workers))
        data = registration(workspace, identifier, method, given, found, workspace.layout.name(settled.folder))
        entry = workspace.ledger.append(REGISTERED, data)
        registered = Registered(identifier, entry.seq, entry.hash, entry.utc, data)
        progress.say(f"Calibration {identifier}: registered (ledger entry {entry.seq})")
        done, told = _carried_out(workspace, request, settled, registered, found, progress)
        workspace.ledger.append(COMPLETED, told)
    except BaseException as error:
        if done is None or _entry(workspace, COMPLETED, identifier) is None:
            told_so = ended(error, "calibration", identifier)
            code, reason = why_ended(error)
            first = _entry(workspace, REGISTERED, identifier)  # an interrupt may have come just after it
            begun = {} if first is None else {"registered": first.seq}
            event = REFUSED if first is None else CANCELLED if by_user(error) else FAILED
            left = settled.left_unsigned() if settled is not None and settled.begun else {}
            told = {"calibration": identifier, **begun, "code": code, "reason": reason, **left}
            if first is None and found is not None and found.refused:  # else the registration has them
                told["refused_pairs"] = refused_in_short(found)
            record_end(workspace.ledger, event, told, told_so)
            if told_so is error:
                raise
            raise told_so from None
        # An interrupt that came after the entry came too late.
    settle_folder(done.folder, "calibration")
    return done


def _require_text(request: CalibrateRequest) -> None:
    """What goes on the record is text: a place or an argument of other bytes cannot be told there."""
    for what in (*request.command, str(request.pairs), *(() if request.out is None else (str(request.out),))):
        try:
            what.encode("utf-8")
        except UnicodeEncodeError as error:
            raise UsageError(
                "calibration.place", f"{what!a} is not UTF-8, and cannot be told in a record.",
                "Give the folder another name, or go by a link to it that has one.",
            ) from error  # fmt: skip


def _settle(workspace: Workspace, request: CalibrateRequest, identifier: str) -> _Settled:
    bound = load_recipe(request.recipe or DEFAULT_RECIPE).bind(scale=request.scale)
    found = subject_of(bound.stages)
    if found is None or found[0].region or found[0].frames is not None:
        raise UsageError(
            "calibration.recipe",
            f"Recipe {bound.recipe.name} cannot be calibrated: that needs one learned enlargement of single frames, "
            "and nothing else that touches luma.",
            "For example: --recipe light",
        )
    subject, card = found[0].model_copy(update={"region": request.regions}), found[1]
    verify_card(card)
    require_engine(card)
    defaults = []
    for value, told in (
        (request.recipe, f"recipe: none was named, {DEFAULT_RECIPE!r} is used"),
        (request.scale, f"scale: none was named, the recipe's own ({subject.scale}) is used"),
        (request.test_share, f"held-out share: none was named, {DEFAULT_TEST_SHARE:g} is used"),
        (request.strata or None, "strata: none were named, all recordings are one"),
        (request.regions or None, "regions: not asked for, whole pictures are measured"),
    ):
        if value is None:
            defaults.append(told)
    score = None if request.score is None else SCORES[request.score]
    head = None if score == SUM else head_for(bound.stages)
    if score == QUANTILE and head is None:
        raise UsageError("calibration.score", f"Model {subject.model} has no learned score.", "Use --score sum.")
    if score is None:
        defaults.append(f"score: none was named, {SUM if head is None else QUANTILE} is used")
    workers = request.workers or min(os.cpu_count() or 1, MOST_DEFAULT_WORKERS)
    method = Method(
        recipe=bound.recipe.name,
        subject=subject,
        head_sha256=None if head is None else head.sha256,
        recordings_class=CLASS + request.class_name if request.regions else request.class_name,
        strata=strata_of(request.strata),
        test_share=DEFAULT_TEST_SHARE if request.test_share is None else request.test_share,
        defaults=tuple(defaults),
        deviations=request.deviations,
        command=request.command,
    )
    folder = _place(workspace, request, identifier)
    pipeline = Pipeline([stage for stage in bound.stages if not stage.keeps_luma])
    return _Settled(method, pipeline, head, (card.engine,), folder, workers)


def _place(workspace: Workspace, request: CalibrateRequest, identifier: str) -> Path:
    """Where the result will really lie: nothing is there yet; within the workspace only where ``verify`` looks."""
    asked = request.out or workspace.layout.calibrations / identifier
    folder = real(asked)
    for path in (asked, folder, incomplete(folder)):
        if os.path.lexists(path):
            raise UsageError("calibration.exists", f"{path} exists already.", "Name another: nothing is overwritten.")
    own = real(workspace.layout.calibrations)
    if folder.is_relative_to(real(workspace.layout.root)) and folder.parent != own:
        raise UsageError(
            "calibration.place",
            f"{folder} lies in the workspace, whose files the ledger accounts for.",
            f"Name a place outside it, or directly in {own}.",
        )
    if request.out is not None and folder.is_relative_to(real(request.pairs)):
        raise UsageError("calibration.place", f"{folder} lies among the pairs.", "Name a place outside their folder.")
    return folder


def _carried_out(
    workspace: Workspace,
    request: CalibrateRequest,
    settled: _Settled,
    registered: Registered,
    found: Preparation,
    progress: Progress,
) -> tuple[FinishedCalibration, dict[str, Any]]:
    clock = time.monotonic()
    folder = settled.incomplete
    with storage(folder.root, "creating"):
        folder.root.parent.mkdir(parents=True, exist_ok=True)
        folder.root.mkdir()
    settled.begun = True
    contents = {folder.registration: canonical_json(registered.data)}
    write_file(folder.registration, contents[folder.registration])
    rows = measure(request.pairs, found.units, settled.pipeline, settled.head, settled.workers, progress)
    contents[folder.recordings] = written(rows)
    calibration = _fitted(workspace, settled.method, registered, rows, contents[folder.registration])
    contents[folder.calibration] = calibration.data
    for path in (folder.recordings, folder.calibration):
        write_file(path, contents[path])
    refused = len(found.refused)
    warnings = [f"{refused} pair{' was' if refused == 1 else 's were'} refused"] if refused else []
    seconds = time.monotonic() - clock
    record = build_record(workspace, registered, calibration, settled.engines, seconds, warnings)
    digests = {folder.name(path): sha256_bytes(content) for path, content in contents.items()}
    subjects = [Subject(name, digest) for name, digest in sorted(digests.items())]
    progress.say("Signing record and report")
    attestation = sign_statement(build_statement(CALIBRATION_PREDICATE, subjects, record), workspace.signer)
    write_file(folder.attestation, attestation)
    digests[folder.name(folder.attestation)] = sha256_bytes(attestation)
    pdf = build_calibration_pdf(record, attestation, {folder.name(path): data for path, data in contents.items()})
    report = issue_signed(workspace, pdf, {}, _REASON, utc_now(), folder.report, progress.say)
    digests[folder.name(folder.report)] = report
    manifest = write_manifest(folder, digests)
    told = {
        "calibration": registered.identifier,
        "registered": registered.seq,
        "calibration_sha256": calibration.sha256,
        "attestation_sha256": sha256_bytes(attestation),
        "report_sha256": report,
        "manifest_sha256": manifest,
        "low": calibration.has_low,
        "strata": record["strata"],
        "folder": workspace.layout.name(settled.folder),
    }
    return FinishedCalibration(registered.identifier, settled.folder, calibration, record), told


def _fitted(
    workspace: Workspace, method: Method, registered: Registered, rows: list[dict[str, str]], plan: bytes
) -> Calibration:
    limits = [one.to_record() for one in method.strata]
    name, examiner = Laboratory.called(str(workspace.facts["lab"]), workspace.actor.name)

    def laboratory(strata: Sequence[Tested]) -> Laboratory:
        return Laboratory(
            id=registered.identifier,
            name=name,
            examiner=examiner,
            certificate_sha256=workspace.signer.facts()["certificate_sha256"],
            workspace=workspace.id,
            registered=Registration(seq=registered.seq, hash=registered.hash, utc=registered.utc),
            pictures=pictures_of(rows),
            held_out=held_out(strata, CLAIMS, method.subject.scale, groups(rows, limits, TEST)),
            earlier=len(registered.data["earlier"]),
            seen_before=registered.data["seen_before"],
            refused=len(registered.data["refused"]),
            remarks=registered.data["remarks"],
        )

    return calibration_of(
        groups(rows, limits, CALIBRATE),
        method.subject,
        head_sha256=method.head_sha256,
        origin="laboratory",
        recordings_class=method.recordings_class,
        scenes_sha256=sha256_bytes(plan),
        recordings_sha256=sha256_bytes(written(rows)),
        software=registered.data["score_software"],
        laboratory=laboratory,
    )


def _entry(workspace: Workspace, event: str, identifier: str) -> LedgerEntry | None:
    found = workspace.ledger.entries(event=event)
    return next((entry for entry in found if entry.data.get("calibration") == identifier), None)
