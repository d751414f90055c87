"""A workspace with something to disclose and something to hide, its bundles, and what a dishonest holder of the key
can do to a bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from forensic.case.acquire import acquire
from forensic.case.anchors import issue_checkpoint
from forensic.case.bundle import issuing
from forensic.case.bundle.issuing import BundleRequest
from forensic.case.bundle.selecting import scope_for
from forensic.case.enhance import enhance
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.verification.bundleform import bag as names
from forensic.case.verification.bundleform.description import PREDICATE
from forensic.case.verification.checks import Check, Verdict
from forensic.case.verification.trust import NOTHING, Trust
from forensic.case.verify import verify
from forensic.case.workspace import create_workspace, open_workspace
from forensic.errors import PolicyRefused
from forensic.hashes import canonical_json, sha256_file
from forensic.signing.identity import load_identity
from forensic.signing.statement import Subject, build_statement, sign_statement, verify_statement
from tests.case.conftest import Case

CASE, EXHIBIT = "2026/17 Harbour", "CAM-3"


@dataclass(frozen=True)
class Disclosure:
    """A bundle as a folder and as an archive, issued by the same entry, and the workspace that it comes from."""

    case: Case
    folder: Path
    archive: Path
    seq: int

    def copy(self, target: Path) -> Path:
        """A private copy of the folder, free to be tampered with."""
        shutil.copytree(self.folder, target)
        return target


def prepare(root: Path, clip: Path, other: Path) -> Case:
    """A finished run on an exhibit, an acquisition in another case, a checkpoint, a refused run."""
    with create_workspace(root, examiner="A. Examiner", lab="Lab", passphrase=None, origin="test") as workspace:
        exhibit = acquire(workspace, clip, case=CASE, exhibit_id=EXHIBIT, note=None, progress=Silent())
        request = EnhanceRequest(frames=(10, 13), stills=(12,), recipe="plain-lanczos")
        run = enhance(workspace, exhibit, request, Silent())
        acquire(workspace, other, case="another case", exhibit_id="OTHER-1", note=None, progress=Silent())
        issue_checkpoint(workspace)
        with pytest.raises(PolicyRefused):
            enhance(workspace, exhibit, EnhanceRequest(recipe="learned", policy="classical-only"), Silent())
    return Case(root, run.folder)


def disclose(case: Case, target: str, out: Path, originals: str | None = None) -> Disclosure:
    """Disclose as an archive, and the same again as a folder."""
    with open_workspace(case.root, lambda: "") as workspace:
        request = BundleRequest(out / "bundle.zip", archive=True, originals=originals)
        written = issuing.disclose(workspace, scope_for(workspace, target), request, Silent())
    again(case, written.seq, out / "bundle", archive=False)
    return Disclosure(case, out / "bundle", out / "bundle.zip", written.seq)


def again(case: Case, seq: int, out: Path, *, archive: bool) -> Path:
    """Write a bundle once more."""
    with open_workspace(case.root, lambda: "") as workspace:
        return issuing.write_again(workspace, seq, BundleRequest(out, archive=archive), Silent()).path


def failures(path: Path, trust: Trust = NOTHING) -> dict[str, Check]:
    """Failed checks by number; the verdict says FAILED exactly if there are any."""
    verification = verify(path, trust=trust)
    failed = {check.number: check for check in verification.checks if not check.passed}
    assert (verification.verdict is Verdict.FAILED) == bool(failed)
    return failed


def predicate_of(folder: Path) -> dict[str, Any]:
    """The signed description."""
    return verify_statement((folder / names.STATEMENT).read_bytes(), predicate_type=PREDICATE)[0].predicate


def entries_of(folder: Path) -> list[dict[str, Any]]:
    """The extract, parsed."""
    return [json.loads(json.loads(line)["entry"]) for line in (folder / names.ENTRIES).read_bytes().splitlines()]


def keep_entries(folder: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Leave entries out of the extract, with their proofs."""
    path, kept = folder / names.ENTRIES, []
    for line in path.read_bytes().splitlines(keepends=True):
        entry = json.loads(json.loads(line)["entry"])
        if wanted(entry):
            kept.append(line)
        else:
            (folder / names.proof_name(entry["seq"])).unlink()
    path.write_bytes(b"".join(kept))


def reseal(folder: Path, workspace: Path, predicate: dict[str, Any] | None = None) -> None:
    """List everything in the folder anew and sign it: what an insider with the examiner's key can do."""
    predicate = predicate_of(folder) if predicate is None else predicate
    for name in (names.STATEMENT, names.MANIFEST, names.TAG_MANIFEST):
        (folder / name).unlink()
    payload = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file() and "data" in p.parts}
    payload = {name: path for name, path in payload.items() if name.startswith(names.PAYLOAD)}
    octets = sum(path.stat().st_size for path in payload.values())
    info = names.parse_info((folder / names.BAG_INFO).read_bytes())
    lines = {**info, "Payload-Oxum": f"{octets}.{len(payload)}"}
    (folder / names.BAG_INFO).write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
    digests = {name: sha256_file(path) for name, path in payload.items()}
    (folder / names.MANIFEST).write_bytes(names.list_text(digests))
    tags = {name: sha256_file(folder / name) for name in names.TAG_FILES - {names.STATEMENT}}
    subjects = [Subject(name, digest) for name, digest in sorted({**digests, **tags}.items())]
    identity = load_identity(workspace / "identity", lambda: "")
    (folder / names.STATEMENT).write_bytes(sign_statement(build_statement(PREDICATE, subjects, predicate), identity))
    tags[names.STATEMENT] = sha256_file(folder / names.STATEMENT)
    (folder / names.TAG_MANIFEST).write_bytes(names.list_text(tags))


def line_of(entry: str, envelope: str) -> bytes:
    """A line of the extract."""
    return canonical_json({"entry": entry, "envelope": envelope}) + b"\n"
