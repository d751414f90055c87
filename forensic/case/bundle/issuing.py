"""``forensic bundle``: disclose a run or a case. Whatever happens is on the record before anything leaves.

``bundle.issued`` comes first, so that the history in the bundle ends with the bundle itself; then the checkpoint
under which every entry is proved; then the files; then ``bundle.written`` with the digest, or ``bundle.failed``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensic.case.anchors import anchor_folders, issue_checkpoint
from forensic.case.bundle.gathering import Anchored, Payload
from forensic.case.bundle.sealing import seal
from forensic.case.bundle.selecting import Scope, Selection, select
from forensic.case.bundle.writing import refuse_existing, write_bag
from forensic.case.ending import record_end, why_ended
from forensic.case.exhibits import check_kept, check_untouched, exhibit_of
from forensic.case.layout import AnchorFolder
from forensic.case.logkeys import log_lock, signer_for
from forensic.case.lognames import LOG
from forensic.case.progress import Progress
from forensic.case.recovery import scratch_folder
from forensic.case.storage import is_regular, make_folder, remove_tree
from forensic.case.verification.bundle_links import ISSUED
from forensic.case.verification.bundleform import bag as names
from forensic.case.verification.bundleform.description import INCLUDE
from forensic.case.verification.bundles import verify_bundle
from forensic.case.verification.checks import Verdict
from forensic.case.workspace import Workspace
from forensic.errors import StorageFailed, UsageError, VerificationFailed
from forensic.hashes import sha256_file
from forensic.ledger.entry import LedgerEntry
from forensic.ledger.order import ACQUIRED

WRITTEN, FAILED = "bundle.written", "bundle.failed"


@dataclass(frozen=True)
class BundleRequest:
    """How to disclose. ``out``: file, or folder to be; in an existing folder under the bundle's own name.

    ``originals``: ``include`` or ``hash-only``, None for the default. ``archive``: one zip file, else a folder.
    ``validations``: whether the workspace's validations go along.
    """

    out: Path | None = None
    archive: bool = True
    originals: str | None = None
    validations: bool = False

    def originals_record(self) -> dict[str, Any]:
        """What ``bundle.issued`` says of the originals, and what nobody chose."""
        if self.originals is None:
            return {"originals": INCLUDE, "defaults": [f"originals: not stated, {INCLUDE!r} is used"]}
        return {"originals": self.originals, "defaults": []}


@dataclass(frozen=True)
class WrittenBundle:
    """A bundle that was written and verified. ``sha256``: of the archive, or of the folder's tag manifest."""

    path: Path
    name: str
    seq: int
    checkpoint: int
    sha256: str
    files: int
    size: int
    stage_class: str

    def to_record(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "bundle": str(self.path),
            "name": self.name,
            "issued": self.seq,
            "checkpoint": self.checkpoint,
            "sha256": self.sha256,
            "files": self.files,
            "size": self.size,
            "stage_class": self.stage_class,
        }


def disclose(workspace: Workspace, scope: Scope, request: BundleRequest, progress: Progress) -> WrittenBundle:
    """Issue a bundle about ``scope`` and write it.

    Raises ``UsageError`` (``bundle.exists``, ``bundle.place``), ``VerificationFailed`` (``exhibit.changed``,
    ``bundle.source-changed``, ``bundle.unsound``) and ``StorageFailed``; each is recorded as ``bundle.failed``.
    """
    issued: LedgerEntry | None = None
    try:
        _require_place(workspace, request)
        _check_exhibits(workspace, scope, progress)
        with log_lock(workspace.layout):
            signer_for(workspace, LOG)  # its introduction belongs before the entry that ends the extract
        selection = select(workspace, scope, workspace.ledger.size, validations=request.validations)
        data = {**request.originals_record(), **selection.record()}
        for default in data["defaults"]:
            progress.say(f"Default: {default}")
        issued = workspace.ledger.append(ISSUED, data, **scope.ids())
        return _write(workspace, issued, request, progress)
    except BaseException as error:
        _failed(workspace, scope, issued, error)
        raise


def write_again(workspace: Workspace, seq: int, request: BundleRequest, progress: Progress) -> WrittenBundle:
    """Write the bundle that entry ``seq`` issued once more, with what has arrived for its checkpoint since.

    If nothing has, it comes out the same to the byte. Raises ``UsageError`` (``bundle.unknown``) and as
    :func:`disclose`.
    """
    if not 1 <= seq <= workspace.ledger.size or workspace.ledger.entry(seq).event != ISSUED:
        raise UsageError("bundle.unknown", f"Entry {seq} issued no bundle.", "See: forensic log")
    issued = workspace.ledger.entry(seq)
    scope = _scope_of(issued)
    try:
        _require_place(workspace, request)
        _check_exhibits(workspace, scope, progress)
        return _write(workspace, issued, request, progress)
    except BaseException as error:
        _failed(workspace, scope, issued, error)
        raise


def _scope_of(issued: LedgerEntry) -> Scope:
    return Scope(str(issued.case), issued.exhibit, issued.run)


def _failed(workspace: Workspace, scope: Scope, issued: LedgerEntry | None, error: BaseException) -> None:
    code, reason = why_ended(error)
    data = {"code": code, "reason": reason, "issued": None if issued is None else issued.seq}
    record_end(workspace.ledger, FAILED, data, error, **scope.ids())


def _check_exhibits(workspace: Workspace, scope: Scope, progress: Progress) -> None:
    """Every exhibit as it was acquired; of a destroyed one, what stayed of it."""
    for entry in scope.thread(workspace):
        if entry.event != ACQUIRED:
            continue
        exhibit = exhibit_of(workspace, entry)
        progress.say(f"Checking exhibit {exhibit.id}")
        try:
            check_untouched(workspace, exhibit)
        except UsageError as error:
            if error.code != "exhibit.destroyed":
                raise
            check_kept(workspace, exhibit)


def _write(workspace: Workspace, issued: LedgerEntry, request: BundleRequest, progress: Progress) -> WrittenBundle:
    scope = _scope_of(issued)
    selection = _selection(workspace, issued)
    anchored = Anchored.read(_checkpoint_over(workspace, issued))
    make_folder(workspace.layout.disclosures)
    with scratch_folder(workspace.layout) as scratch:
        payload = Payload(workspace, selection, issued, anchored, scratch)
        disclosed = payload.disclosed()
        target = _target(workspace, request, disclosed.name)
        refuse_existing(target)
        if disclosed.generative:
            progress.say("AI-GENERATED DETAIL, NOT EVIDENCE: the bundle is named and labelled so")
        parts, missing = seal(payload, disclosed), payload.cards_missing(disclosed)
        for card in missing:
            progress.say(f"The card of model {card['id']} with which a run was made is not here, and not in the bundle")
        progress.say(f"Writing {len(parts)} files, {sum(part.size for part in parts)} bytes, and verifying them")

        def check(partial: Path) -> None:
            _require_sound(partial, scratch)

        write_bag(target, parts, top=disclosed.name, archive=request.archive, check=check)
    written = WrittenBundle(
        path=target,
        name=disclosed.name,
        seq=issued.seq,
        checkpoint=anchored.signed.checkpoint.size,
        sha256=sha256_file(target if request.archive else target / names.TAG_MANIFEST),
        files=len(parts),
        size=sum(part.size for part in parts),
        stage_class=disclosed.stage_class.label,
    )
    form = "zip" if request.archive else "folder"
    place = str(target).encode("utf-8", "backslashreplace").decode("utf-8")
    facts = {**written.to_record(), "bundle": place, "form": form, "cards_missing": missing}
    before = workspace.ledger.size
    try:
        workspace.ledger.append(WRITTEN, facts, **scope.ids())
    except BaseException:
        if workspace.ledger.landed(WRITTEN, facts, after=before) is None:
            remove_tree(target) if target.is_dir() else target.unlink(missing_ok=True)
            raise
        # What interrupted came too late: the bundle is there and on the record.
    return written


def _selection(workspace: Workspace, issued: LedgerEntry) -> Selection:
    """The selection as it is now; another process may have added a key between looking and issuing."""
    asked = "validations" in issued.data
    selection = select(workspace, _scope_of(issued), issued.seq - 1, validations=asked)
    if any(issued.data.get(key) != told for key, told in selection.record().items()):
        raise StorageFailed(
            "bundle.raced",
            "Another process wrote about keys or about this exhibit while the bundle was issued.",
            "Give the command again.",
        )
    return selection


def _checkpoint_over(workspace: Workspace, issued: LedgerEntry) -> AnchorFolder:
    """Of the checkpoints that contain the entry, the first that most stands behind: a witness, an authority.

    A new one is issued if there is none.
    """
    covering = [
        folder
        for folder in anchor_folders(workspace.layout)
        if int(folder.root.name) >= issued.seq and is_regular(folder.checkpoint)
    ]
    if not covering:
        return issue_checkpoint(workspace).folder
    return max(covering, key=lambda folder: is_regular(folder.cosigned) + is_regular(folder.timestamp))


def _require_sound(partial: Path, scratch: Path) -> None:
    """Read the bundle back and verify it whole, as its recipient will."""
    verification = verify_bundle(partial, scratch=scratch)
    if verification.verdict is Verdict.FAILED:
        wrong = [f"{check.number} {check.title} ({check.detail})" for check in verification.checks if not check.passed]
        raise VerificationFailed(
            "bundle.unsound",
            f"The bundle does not verify: {'; '.join(wrong[:3])}.",
            "Nothing was disclosed. See: forensic verify DIR",
        )


def _target(workspace: Workspace, request: BundleRequest, name: str) -> Path:
    own = f"{name}.zip" if request.archive else name
    out = request.out
    if out is None:
        return workspace.layout.disclosures / own
    return out.absolute() / own if out.is_dir() else out.absolute()


def _require_place(workspace: Workspace, request: BundleRequest) -> None:
    """Outside the workspace, or in its folder for disclosures: nowhere among what is kept as evidence."""
    if request.out is None:
        return
    out = request.out.absolute()
    folder = out if out.is_dir() else out.parent
    if not folder.is_dir():
        raise UsageError("bundle.place", f"There is no folder {folder}.", "Create it, or name another with --out.")
    root, folder = workspace.layout.root.resolve(), folder.resolve()
    if folder.is_relative_to(root) and folder != workspace.layout.disclosures.resolve():
        raise UsageError(
            "bundle.place",
            f"{request.out} lies inside the workspace.",
            f"Choose a place outside of it, or none: then it goes to {workspace.layout.disclosures}.",
        )
    if not out.is_dir():
        refuse_existing(out)
