"""The methods of a suite that give yes or no: integrity, tampering that must be found, attempts that must be refused.

Every attack has its control: the same copy, untouched, must verify first, or a failure would prove nothing.
"""

from __future__ import annotations

import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

from forensic import resources
from forensic.case.acquire import acquire
from forensic.case.enhance import enhance
from forensic.case.exhibits import find_exhibit
from forensic.case.layout import RunFolder, WorkspaceLayout
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.reproduce import reproduce
from forensic.case.storage import write_file
from forensic.case.validating.bench import Bench
from forensic.case.verification.checks import Verdict as Rung
from forensic.case.verification.checks import Verification
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, open_workspace
from forensic.errors import ForensicError, InternalError
from forensic.frames.stageclass import StageClass
from forensic.hashes import sha256_file
from forensic.policy.acknowledgement import SENTENCE
from forensic.policy.engine import evaluate
from forensic.policy.request import Mode, PolicyContext, StageRequest
from forensic.policy.store import SCHEMA_NAME, load_policy
from forensic.registry.cards import load_card, model_ids, verify_card
from forensic.validation.suite import Integrity, Refusal, Tamper
from forensic.validation.verdicts import Case

_NOT_REFUSED = "nothing was refused"


def integrity(bench: Bench, method: Integrity) -> list[Case]:
    """1 for every file, or everything verified, that is as it must be."""
    if method.check in ("original-untouched", "copy-verified"):
        bench.any_run()
    if method.check == "original-untouched":
        return [_case(name, found := original.differences(), ", ".join(found) or "as it was before")
                for name, original in bench.originals.items()]  # fmt: skip
    if method.check == "copy-verified":
        return [_copy(bench, name) for name in bench.originals]
    _, made = bench.any_run()
    target = {
        "run-verifies": made.folder.root, "report-verifies": made.folder.report,
        "workspace-verifies": bench.workspace.layout.root,
    }[method.check]  # fmt: skip
    verification = verify(target)
    return [_case(target.name if target.is_file() else verification.kind, _failed(verification), _told(verification))]


def _case(name: str, faults: object, detail: str) -> Case:
    return Case(name, 0.0 if faults else 1.0, {"found": detail})


def _copy(bench: Bench, name: str) -> Case:
    exhibit = find_exhibit(bench.workspace, bench.originals[name].exhibit)
    if exhibit is None:
        return _case(name, True, "no exhibit")
    faults = [] if sha256_file(exhibit.original) == bench.originals[name].sha256 else ["other content"]
    if exhibit.original.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        faults.append("can be written to")
    return _case(name, faults, ", ".join(faults) or "same digest, read-only")


def _failed(verification: Verification) -> list[str]:
    """Numbers of failed checks; a verdict below SIGNED without one is none of them, and a fault all the same."""
    failed = sorted({check.number for check in verification.checks if not check.passed})
    return failed or ([] if verification.verdict >= Rung.SIGNED else ["unsigned"])


def _told(verification: Verification) -> str:
    failed = _failed(verification)
    passed = sum(check.passed for check in verification.checks)
    verdict = verification.verdict.label
    return f"{verdict}: {', '.join(failed)} failed" if failed else f"{verdict}: {passed} checks passed"


# --- tampering ---------------------------------------------------------------------------------------------------


def tamper(bench: Bench, method: Tamper) -> list[Case]:
    """1 if the untouched copy is accepted and the changed one is not, for the reason that the suite expects."""
    if method.target in ("weights", "card"):
        control, found = _model(bench, method)
    elif method.target == "policy-file":
        control, found = _policy_file(bench, method)
    else:
        root = bench.copied("now")
        control = _examined(root, method)
        _change(root, method)
        found = _examined(root, method)
    held = not control and method.expect in found
    told = ", ".join(found) or "nothing was found"
    detail = {"expected": method.expect, "found": told, "control": ", ".join(control) or "accepted"}
    return [Case(f"{method.target} at {method.place:g}", float(held), detail)]


def _examined(root: Path, method: Tamper) -> list[str]:
    """Checks or codes that object to the copy at ``root``."""
    layout = WorkspaceLayout(root)
    if method.target == "reproduced-policy":
        with open_workspace(root, lambda: "") as workspace:
            outcome = _refused(lambda: reproduce(workspace, _run(layout).root.name, Silent()))
        return [] if outcome == _NOT_REFUSED else [outcome]
    return _failed(verify(root if method.target in ("ledger", "original") else _run(layout).root))


def _run(layout: WorkspaceLayout) -> RunFolder:
    return RunFolder(next(path for path in sorted(layout.runs.iterdir()) if path.is_dir()))


def _change(root: Path, method: Tamper) -> None:
    layout = WorkspaceLayout(root)
    run = _run(layout)
    still = next(path for path in sorted(run.stills.glob("*.png")) if "source" not in path.name)
    files = {
        "output": run.output, "frames": run.frames, "attestation": run.attestation, "report": run.report,
        "policy": run.policy, "reproduced-policy": run.policy, "recipe": run.recipe, "still": still,
        "still-proof": still.with_name(f"{still.name}.json"), "manifest": run.manifest,
        "risk-map": next(iter(sorted(run.root.glob("risk/*.risk.png")))),
    }  # fmt: skip
    if method.target == "ledger":
        _change_ledger(layout.ledger)
    elif method.target == "added-file":
        (run.root / "stills" / "000099.png").write_bytes(b"planted")
    elif method.target == "removed-file":
        files["risk-map"].unlink()
    elif method.target == "original":
        flip(next(iter(sorted(layout.exhibits.glob("*/original*")))), method.place)
    elif method.target == "manifest":
        change_digest(run.manifest, method.place)
    else:
        flip(files[method.target], method.place)


def flip(path: Path, place: float) -> None:
    """Change the lowest bit of one byte of ``path``, at a share of its length."""
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[min(int(len(data) * place), len(data) - 1)] ^= 1
    path.write_bytes(data)


def change_digest(path: Path, place: float) -> None:
    """Another hexadecimal digit in a line's digest, so that the list can still be read; the line: at a share of all."""
    path.chmod(0o644)
    lines = path.read_text("utf-8").splitlines(keepends=True)
    line = min(int(len(lines) * place), len(lines) - 1)
    lines[line] = ("1" if lines[line][0] == "0" else "0") + lines[line][1:]
    path.write_text("".join(lines), "utf-8")


def _change_ledger(path: Path) -> None:
    """Somebody with the database's own tools changes one character of the second entry, and nothing else."""
    with sqlite3.connect(path) as connection:
        triggers = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        for name in triggers:
            connection.execute(f'DROP TRIGGER "{name}"')
        (envelope,) = connection.execute("SELECT envelope FROM entries WHERE seq = 2").fetchone()
        middle = len(envelope) // 2
        other = "B" if envelope[middle] == "A" else "A"
        changed = envelope[:middle] + other + envelope[middle + 1 :]
        connection.execute("UPDATE entries SET envelope = ? WHERE seq = 2", (changed,))
    connection.close()


def _model(bench: Bench, method: Tamper) -> tuple[list[str], list[str]]:
    """A private copy of a shipped model, its weights or the class on its card changed."""
    shipped = [load_card(name) for name in model_ids()]
    card = next(one for one in shipped if one.weights.pack is None)
    folder = bench.root / "attacked-models"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(card.folder, folder / card.id)
    control = _refused(lambda: verify_card(load_card(card.id, folder)))
    if method.target == "weights":
        flip(folder / card.id / card.weights.file, method.place)
    else:
        path = next(iter((folder / card.id).glob("*.toml")))
        lines = path.read_text("utf-8").splitlines(keepends=True)
        path.chmod(0o644)
        path.write_text("".join(line for line in lines if not line.startswith("class =")), "utf-8")
    found = _refused(lambda: verify_card(load_card(card.id, folder)))
    return [] if control == _NOT_REFUSED else [control], [] if found == _NOT_REFUSED else [found]


def _policy_file(bench: Bench, method: Tamper) -> tuple[list[str], list[str]]:
    """A private copy of the shipped policy ``forensic``, cut off: what is left must permit nothing."""
    folder = bench.root / "attacked-policies"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ("forensic.cedar", SCHEMA_NAME):
        shutil.copyfile(resources.policies_dir() / name, folder / name)
    control = _refused(lambda: load_policy("forensic", folder))
    data = (folder / "forensic.cedar").read_bytes()
    (folder / "forensic.cedar").write_bytes(data[: int(len(data) * method.place)])
    found = _refused(lambda: load_policy("forensic", folder))
    return [] if control == _NOT_REFUSED else [control], [] if found == _NOT_REFUSED else [found]


# --- refusals ----------------------------------------------------------------------------------------------------


def refusal(bench: Bench, method: Refusal) -> list[Case]:
    """1 if the attempt was refused with the expected code and, where a ledger takes part, is on record."""
    if method.attempt in ("generative-stage", "generative-in-creative-unapproved"):
        code, recorded = _refused(lambda: _ask_about_generative(method.attempt)), "the policy engine was asked alone"
    else:
        root = bench.copied("now")
        with open_workspace(root, lambda: "") as workspace:
            before = workspace.ledger.head().seq
            code = _refused(_attempt(workspace, root, method.attempt))
            said = [entry.event for entry in workspace.ledger.entries() if entry.seq > before and
                    entry.data.get("code") == code]  # fmt: skip
        recorded = ", ".join(said)
    held = code == method.expect and bool(recorded)
    return [Case(method.attempt, float(held), {"expected": method.expect, "found": code, "on record": recorded})]


def _attempt(workspace: Workspace, root: Path, attempt: str) -> Callable[[], object]:
    exhibit = find_exhibit(workspace, "V001")
    if exhibit is None:
        raise InternalError("validation.bench", "The bench has lost its exhibit.")

    def enhanced(**asked: object) -> Callable[[], object]:
        request = EnhanceRequest(frames=(0, 1), **asked)  # type: ignore[arg-type]
        return lambda: enhance(workspace, exhibit, request, Silent())

    if attempt == "learned-under-classical-only":
        return enhanced(recipe="learned", policy="classical-only")
    if attempt == "too-large-scale":
        return enhanced(recipe="plain-lanczos", scale=16)
    if attempt == "changed-copy":
        flip(exhibit.original, 0.5)
        return enhanced(recipe="plain-lanczos")
    path = root.with_name("no-video.mkv")
    write_file(path, b"This is no video." * 64)
    return lambda: acquire(workspace, path, case="VALIDATION", exhibit_id="V999", note=None, progress=Silent())


def _ask_about_generative(attempt: str) -> None:
    """Ask the shipped policy about a made-up stage of generative class; nothing generative is run."""
    creative = attempt != "generative-stage"
    request = StageRequest(stage="invention", stage_class=StageClass.GENERATIVE, learned=False)
    context = PolicyContext(
        examiner="forensic validate",
        mode=Mode.CREATIVE if creative else Mode.FORENSIC,
        purpose="illustration" if creative else "evidence",
        reason="validation",
        recipe="invention",
        acknowledgement=SENTENCE,
    )
    evaluate(load_policy("creative" if creative else "forensic"), [request], context).require()


def _refused(attempt: Callable[[], object]) -> str:
    """Code of the error that ``attempt`` ends in; ``nothing was refused`` where there is none."""
    try:
        attempt()
    except ForensicError as error:
        return error.code
    return _NOT_REFUSED
