"""``forensic validate``: register requirements and criteria, measure, judge, sign; every way it can end is recorded."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any

from forensic.case.earlier import CANCELLED, COMPLETED, FAILED, REFUSED, REGISTERED
from forensic.case.ending import record_end, why_ended
from forensic.case.filelist import write_manifest
from forensic.case.incompletefolder import by_user, complete_renames, ended, incomplete, settle_folder, unsigned
from forensic.case.issue import issue_signed
from forensic.case.layout import ValidationFolder, WorkspaceLayout, real
from forensic.case.progress import Progress
from forensic.case.recovery import scratch_folder
from forensic.case.regularfile import digest_regular
from forensic.case.storage import make_folder, storage, write_file
from forensic.case.validating.bench import Bench
from forensic.case.validating.carrying import carry_out
from forensic.case.validating.keeping import keep_master, not_kept
from forensic.case.validating.masters import Master, master_of, read_master
from forensic.case.validating.record import Registered, build_record, earlier_validations
from forensic.case.workspace import Workspace, utc_now
from forensic.errors import UsageError
from forensic.hashes import canonical_json, sha256_bytes
from forensic.ledger.entry import LedgerEntry
from forensic.report.validation.document import build_validation_pdf
from forensic.signing.statement import VALIDATION_PREDICATE, Subject, build_statement, sign_statement
from forensic.validation.recordings import degradation_of, require_sizes
from forensic.validation.scenes import Picture, read_pictures
from forensic.validation.suite import DEFAULT_SUITE, Suite, load_suite
from forensic.validation.verdicts import Verdict, overall

_REASON = "Record of a validation"


@dataclass(frozen=True)
class ValidateRequest:
    """What was asked for. ``deviations``: (requirement or GENERAL, text) of the examiner."""

    suite: str | None = None
    scenes: Path | None = None
    deviations: tuple[tuple[str, str], ...] = ()
    master: Path | None = None
    new_master: bool = False
    keep_master: Path | None = None
    out: Path | None = None
    keep_bench: Path | None = None
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class FinishedValidation:
    """Where the result is and what it is."""

    id: str
    folder: Path
    predicate: dict[str, Any]
    report_sha256: str
    attestation: bytes = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether the whole passed: every mandatory requirement, and the master where there is one."""
        return bool(self.predicate["verdict"] == Verdict.PASS.value)


@dataclass
class _Settled:
    """``begun``: the folder called incomplete is ours, and not somebody else's of the same name."""

    suite: Suite
    pictures: tuple[Picture, ...]
    master: Master | None
    folder: Path
    defaults: tuple[str, ...]
    begun: bool = False

    def left_unsigned(self) -> dict[str, Any]:
        """What the entry on a bad end says of the folder: the digest of the measurements, too."""
        folder = ValidationFolder(incomplete(self.folder))
        left = unsigned(self.folder, (folder.manifest, folder.report, folder.attestation))
        return {**left, "result": digest_regular(folder.result)}


def validate(workspace: Workspace, request: ValidateRequest, progress: Progress) -> FinishedValidation:
    """Carry the suite out and return the signed result, whatever its verdict.

    Before the first measurement ``validation.registered`` holds the suite's digest and every requirement with its
    criterion. Raises ``UsageError``, ``BadInput`` and ``VerificationFailed`` for what cannot be begun
    (``validation.refused``); after that whatever stopped it (``validation.failed``, ``validation.cancelled``):
    the command can be given again.
    """
    identifier = f"V-{utc_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    done: FinishedValidation | None = None
    settled: _Settled | None = None
    try:
        layout = workspace.layout
        complete_renames(workspace.ledger.entries(event=COMPLETED), layout.validation_named, "validation")
        settled = _settle(workspace, request, identifier)
        registered = _register(workspace, settled, request, identifier)
        suite = settled.suite
        progress.say(
            f"Validation {identifier}: suite {suite.id} {suite.version}, {len(suite.requirements)} requirements "
            f"registered (ledger entry {registered.seq})"
        )
        done, data = _carried_out(workspace, settled, registered, request, progress)
        workspace.ledger.append(COMPLETED, data)
    except BaseException as error:
        if done is not None and _entry(workspace, COMPLETED, identifier) is not None:
            # An interrupt that came after the entry came too late.
            return _finished(workspace, done, request, progress)
        told_so = ended(error, "validation", identifier)
        code, reason = why_ended(error)
        first = _entry(workspace, REGISTERED, identifier)  # an interrupt may have come just after it
        begun = {} if first is None else {"registered": first.seq}
        event = REFUSED if first is None else CANCELLED if by_user(error) else FAILED
        left = settled.left_unsigned() if settled is not None and settled.begun else {}
        told = {"validation": identifier, **begun, "code": code, "reason": reason, **left}
        record_end(workspace.ledger, event, told, told_so)
        if told_so is error:
            raise
        raise told_so from None
    return _finished(workspace, done, request, progress)


def _finished(
    workspace: Workspace, done: FinishedValidation, request: ValidateRequest, progress: Progress
) -> FinishedValidation:
    """Name the folder, keep the master where that was asked for: only now is it one that the ledger holds."""
    wanted = request.keep_master
    try:
        try:
            settle_folder(done.folder, "validation")
        except BaseException as error:
            if wanted is not None:
                not_kept(workspace, done.id, wanted, error)
            raise
        if wanted is not None:
            keep_master(workspace, done.id, done.predicate["verdict"], done.attestation, wanted)
    except BaseException as error:
        error.add_note(f"Validation {done.id} itself is completed.")
        raise
    if wanted is not None and not done.passed:
        progress.say(f"Warning: not kept as a master, because its verdict is {done.predicate['verdict']}.")
    return done


def _entry(workspace: Workspace, event: str, identifier: str) -> LedgerEntry | None:
    found = workspace.ledger.entries(event=event)
    return next((entry for entry in found if entry.data.get("validation") == identifier), None)


def _settle(workspace: Workspace, request: ValidateRequest, identifier: str) -> _Settled:
    suite = load_suite(request.suite or DEFAULT_SUITE)
    for condition in suite.conditions.values():
        degradation_of(condition)
    known = {one.id for one in suite.requirements} | {"GENERAL"}
    for named, _ in request.deviations:
        if named not in known:
            raise UsageError(
                "validation.deviation", f"Suite {suite.id} has no requirement {named!r}.",
                "Name one of its requirements, or GENERAL: --deviation GENERAL=TEXT.",
            )  # fmt: skip
    defaults = [] if request.suite else [f"suite: none was named, {DEFAULT_SUITE!r} is used"]
    if request.scenes is None and suite.wants_pictures:
        defaults.append("pictures of the laboratory's own: none were given (--scenes)")
    master = None
    if request.new_master and request.master is not None:
        raise UsageError("validation.master", "--master and --new-master exclude each other.")
    if request.master is not None:
        master = read_master(request.master, request.master.name)
    elif not request.new_master:
        master = master_of(workspace, suite)
        defaults.append("master: none was named, " + (
            "and this workspace has none for this suite yet" if master is None else f"that of {master.source} is used"
        ))  # fmt: skip
    asked = request.out or workspace.layout.validations / identifier
    folder = real(asked)
    _check_places(workspace.layout, asked, folder, request)
    pictures = () if request.scenes is None else tuple(read_pictures(request.scenes))
    require_sizes(suite.conditions.values(), pictures)
    return _Settled(suite, pictures, master, folder, tuple(defaults))


def _check_places(layout: WorkspaceLayout, asked: Path, folder: Path, request: ValidateRequest) -> None:
    """Nothing is there yet, links included; no result really lies within another, or where no check would look."""
    others = [path for path in (request.keep_master, request.keep_bench) if path is not None]
    places = [folder, *map(real, others)]
    for path in (asked, *others, *places, incomplete(folder)):
        if os.path.lexists(path):
            raise UsageError("validation.exists", f"{path} exists already.", "Name another: nothing is overwritten.")
    for one, other in permutations(places, 2):
        if other.is_relative_to(one):
            raise UsageError("validation.exists", f"{other} would lie in {one}.", "Name places apart from each other.")
    root, own = real(layout.root), real(layout.validations)
    for place in places:
        if place.is_relative_to(root) and (place is not folder or place.parent != own):
            raise UsageError(
                "validation.place",
                f"{place} lies in the workspace, whose files the ledger accounts for.",
                f"Name a place outside it; a validation's own folder may lie directly in {own}.",
            )


def _register(workspace: Workspace, settled: _Settled, request: ValidateRequest, identifier: str) -> Registered:
    """Everything that decides about the verdict, on the record before anything is measured."""
    suite = settled.suite
    data: dict[str, Any] = {
        "validation": identifier,
        "suite": suite.facts(),
        "suite_sha256": suite.sha256,
        "requirements": suite.registered(),
        "conditions": [one.model_dump(mode="json") for one in suite.conditions.values()],
        "pictures": [one.to_record() for one in settled.pictures],
        "master": None if settled.master is None else settled.master.to_record(),
        "deviations": [{"id": named, "text": text} for named, text in request.deviations],
        "defaults": list(settled.defaults),
        "command": list(request.command),
        "folder": workspace.layout.name(settled.folder),
    }
    entry = workspace.ledger.append(REGISTERED, data)
    return Registered(identifier, entry.seq, entry.hash, entry.utc, data, earlier_validations(workspace, entry.seq))


def _carried_out(
    workspace: Workspace, settled: _Settled, registered: Registered, request: ValidateRequest, progress: Progress
) -> tuple[FinishedValidation, dict[str, Any]]:
    clock = time.monotonic()
    with _bench_root(workspace, request.keep_bench) as root:
        bench = Bench(root, settled.suite, settled.pictures)
        try:
            results = carry_out(bench, settled.suite, progress)
            record = build_record(workspace, registered, settled.suite, bench, results, time.monotonic() - clock)
        finally:
            bench.close()
    if settled.master is not None:
        record["master"] = settled.master.compared(settled.suite, record)
    record["verdict"] = settled_verdict(record)
    progress.say("Signing record and report")
    return _filed(workspace, settled, record, progress)


def settled_verdict(record: dict[str, Any]) -> str:
    """Overall verdict of a record without one yet, from its results and its comparison."""
    mandatory = {one["id"]: one["mandatory"] for one in record["requirements"]}
    verdicts = [(mandatory[one["id"]], Verdict(one["verdict"])) for one in record["results"]]
    master = record["master"]
    return overall(verdicts, None if master is None else master["agrees"]).value


@contextmanager
def _bench_root(workspace: Workspace, kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        make_folder(kept)
        yield kept
        return
    with scratch_folder(workspace.layout) as scratch:
        yield scratch


def _filed(
    workspace: Workspace, settled: _Settled, record: dict[str, Any], progress: Progress
) -> tuple[FinishedValidation, dict[str, Any]]:
    """Write and sign everything under the name ``….incomplete``, which the entry on the end then makes final."""
    folder = ValidationFolder(incomplete(settled.folder))
    with storage(folder.root, "creating"):
        folder.root.parent.mkdir(parents=True, exist_ok=True)
        folder.root.mkdir()
    settled.begun = True
    passed = record["verdict"] == Verdict.PASS.value
    here = passed and settled.master is None
    record["kept_as_master"] = here
    contents = {folder.result: canonical_json(record), folder.suite: settled.suite.data}
    if settled.master is not None:
        contents[folder.master] = settled.master.data
    for path, content in contents.items():
        write_file(path, content)
    digests = {folder.name(path): sha256_bytes(content) for path, content in contents.items()}
    subjects = [Subject(name, digest) for name, digest in sorted(digests.items())]
    attestation = sign_statement(build_statement(VALIDATION_PREDICATE, subjects, record), workspace.signer)
    write_file(folder.attestation, attestation)
    when = utc_now()
    pdf = build_validation_pdf(record, attestation)
    report = issue_signed(workspace, pdf, {}, _REASON, when, folder.report, progress.say)
    digests |= {folder.name(folder.attestation): sha256_bytes(attestation), folder.name(folder.report): report}
    manifest = write_manifest(folder, digests)
    data = {
        "validation": record["validation"]["id"],
        "registered": record["validation"]["registered"]["seq"],
        "suite_sha256": settled.suite.sha256,
        "verdict": record["verdict"],
        "counts": record["counts"],
        "attestation_sha256": sha256_bytes(attestation),
        "report_sha256": report,
        "manifest_sha256": manifest,
        "folder": workspace.layout.name(settled.folder),
        "master_here": here,
    }
    return FinishedValidation(record["validation"]["id"], settled.folder, record, report, attestation), data
