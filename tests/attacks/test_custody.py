"""Attacks on the chain of custody, named as in docs/threat-model.md."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forensic.case import attest, copyout
from forensic.case.acquire import acquire
from forensic.case.copyout import export
from forensic.case.custody import Circumstances, Party, access
from forensic.case.destruction import destroy
from forensic.case.disclosure import custody_record, other_attempts
from forensic.case.enhance import enhance
from forensic.case.exhibits import Exhibit
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.transferring import acknowledge, take_in, transfer
from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace
from forensic.errors import BadInput, ForensicError, UsageError, VerificationFailed
from forensic.hashes import sha256_file
from tests.case.conftest import forensic

WHY = Circumstances(reason="ordered by the court")
TO = Circumstances(reason="second opinion", target=Party("B. Second"))
SHORT = EnhanceRequest(recipe="plain-lanczos", frames=(0, 2))


def _workspace(root: Path, name: str) -> Workspace:
    return create_workspace(root, examiner=name, lab="Lab", passphrase=None, origin="test")


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with _workspace(tmp_path / "ws", "Ada") as opened:
        yield opened


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Workspace]:
    with _workspace(tmp_path / "other", "Bob") as opened:
        yield opened


@pytest.fixture
def exhibit(workspace: Workspace, real_clip: Path) -> Exhibit:
    return acquire(workspace, real_clip, case="C1", exhibit_id="X1", note=None, progress=Silent())


def _failed(root: Path) -> set[str]:
    verification = verify(root)
    failed = {check.number for check in verification.checks if not check.passed}
    assert (verification.verdict is Verdict.FAILED) == bool(failed)
    return failed


def _fail_once(workspace: Workspace, exhibit: Exhibit) -> None:
    with pytest.raises(ForensicError):
        enhance(workspace, exhibit, EnhanceRequest(recipe="no-such-recipe"), Silent())


@pytest.mark.parametrize("hidden", ["entry", "entry and numbers", "reason", "attempt", "list"])
def test_failed_attempts_are_hidden(
    workspace: Workspace, exhibit: Exhibit, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    """An insider with the key and a changed program leaves a refused run out of the record that he signs."""
    _fail_once(workspace, exhibit)

    def told(history: Any) -> dict[str, Any]:
        record = custody_record(history)
        if hidden in ("entry", "entry and numbers", "list"):
            record["events"] = [one for one in record["events"] if one["event"] != "run.refused"]
        if hidden == "entry and numbers":
            record["entries"] = {name: count - 1 for name, count in record["entries"].items()}
        if hidden == "reason":
            for one in record["events"]:
                if one["event"] == "run.refused":
                    one["data"]["reason"] = "a mistype, of no interest"
        return record

    def attempts(items: Any, *more: Any) -> list[dict[str, Any]]:
        kept = [] if hidden == "attempt" else [one for one in items if one["event"] != "run.refused"]
        return other_attempts(kept if hidden != "reason" else items, *more)

    with monkeypatch.context() as changed:
        changed.setattr(attest, "custody_record", told)
        changed.setattr(attest, "other_attempts", attempts)
        run = enhance(workspace, exhibit, SHORT, Silent())
    expected = {"attempt": {"H4"}, "reason": {"H3"}}.get(hidden, {"H3"})
    for root in (run.folder, workspace.layout.root):
        assert expected <= _failed(root), hidden
    honest = enhance(workspace, exhibit, SHORT, Silent())
    assert not _failed(honest.folder)
    assert [one["event"] for one in honest.predicate["failed_attempts"]] == ["run.refused", "run.finished"]


def test_a_record_without_any_list_is_no_older_record(
    workspace: Workspace, exhibit: Exhibit, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fail_once(workspace, exhibit)
    with monkeypatch.context() as changed:
        changed.setattr(attest, "custody_record", lambda _: None)
        changed.setattr(attest, "other_attempts", lambda *_: [])
        run = enhance(workspace, exhibit, SHORT, Silent())
    assert "H3" in _failed(run.folder)


def test_exhibit_is_changed_and_used(workspace: Workspace, exhibit: Exhibit, tmp_path: Path) -> None:
    good = exhibit.original.read_bytes()
    exhibit.original.chmod(0o644)
    exhibit.original.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    uses = (
        lambda: enhance(workspace, exhibit, SHORT, Silent()),
        lambda: export(workspace, "X1", tmp_path / "out.mp4", WHY, Silent()),
        lambda: transfer(workspace, "X1", tmp_path / "out.json", TO),
        lambda: access(workspace, "X1", WHY),
        lambda: destroy(workspace, "X1", exhibit.sha256, WHY),
        lambda: acquire(workspace, exhibit.original, case="C1", exhibit_id="X1", note=None, progress=Silent()),
    )
    for use in uses[:-1]:
        with pytest.raises(VerificationFailed) as caught:
            use()
        assert caught.value.code == "exhibit.changed"
    with pytest.raises(UsageError):
        uses[-1]()
    assert not list(tmp_path.glob("out.*"))
    assert len(list(workspace.ledger.entries(event="exhibit.changed"))) == 5
    assert "W1" in _failed(workspace.layout.root)
    exhibit.original.write_bytes(good)  # put back in silence: that it was changed stays visible
    run = enhance(workspace, exhibit, SHORT, Silent())
    events = [one["event"] for one in run.predicate["custody"]["events"]]
    assert events.count("exhibit.changed") == 5
    assert not _failed(workspace.layout.root)


def test_exhibit_used_after_destruction(workspace: Workspace, exhibit: Exhibit, real_clip: Path) -> None:
    run = enhance(workspace, exhibit, SHORT, Silent())
    destroy(workspace, "X1", exhibit.sha256, WHY)
    assert not _failed(workspace.layout.root)
    # A copy kept in secret and put back: it is not used, and its being there is noticed.
    shutil.copy(real_clip, exhibit.original)
    with pytest.raises(UsageError) as caught:
        enhance(workspace, exhibit, SHORT, Silent())
    assert caught.value.code == "exhibit.destroyed"
    assert _failed(workspace.layout.root) == {"W1"}
    exhibit.original.unlink()
    # A program without the check writes a later use into the ledger: the order of events gives it away.
    workspace.ledger.append("custody.accessed", {"reason": "x", "copy": "unchanged"}, case="C1", exhibit="X1")
    assert _failed(workspace.layout.root) == {"H1"}
    assert run.folder.is_dir()


def test_absence_without_a_word_in_the_ledger(workspace: Workspace, exhibit: Exhibit) -> None:
    exhibit.original.unlink()
    assert _failed(workspace.layout.root) == {"W1"}


def test_destruction_excuses_nothing_but_the_copy(workspace: Workspace, exhibit: Exhibit) -> None:
    destroy(workspace, "X1", exhibit.sha256, WHY)
    exhibit.folder.frames.chmod(0o644)
    exhibit.folder.frames.write_bytes(exhibit.folder.frames.read_bytes()[:-2] + b"}\n")
    assert not _failed(workspace.layout.root)  # the same bytes again
    exhibit.folder.frames.write_bytes(b"")
    assert _failed(workspace.layout.root) == {"W1"}


def test_recipient_denies_receipt(workspace: Workspace, receiver: Workspace, exhibit: Exhibit, tmp_path: Path) -> None:
    """The receiver's signature stands in the sender's ledger; and the sender cannot make one up."""
    statement, answer = tmp_path / "transfer.json", tmp_path / "ack.json"
    transfer(workspace, "X1", statement, TO, fingerprint=receiver.signer.facts()["certificate_sha256"])
    forged, forged_too = tmp_path / "forged.json", tmp_path / "forged-too.json"
    with pytest.raises(UsageError):  # with his own key, in his own workspace
        acknowledge(workspace, statement, exhibit.original, forged, Circumstances(), Silent())
    with _workspace(tmp_path / "straw", "B. Second") as straw:  # with another key, under the receiver's name
        with pytest.raises(UsageError):
            acknowledge(straw, statement, exhibit.original, forged_too, Circumstances(), Silent())
        transfer(workspace, "X1", tmp_path / "open.json", TO)
        acknowledge(straw, tmp_path / "open.json", exhibit.original, forged_too, Circumstances(), Silent())
    with pytest.raises(VerificationFailed):  # answers another transfer than the one it is to stand for
        take_in(workspace, forged_too, Circumstances(), fingerprint=receiver.signer.facts()["certificate_sha256"])
    assert any("not acknowledged" in item for item in verify(workspace.layout.root).not_checked)
    acknowledge(receiver, statement, exhibit.original, answer, Circumstances(), Silent())
    taken = take_in(workspace, answer, Circumstances())
    assert taken.entry.data["signer"]["certificate_sha256"] == receiver.signer.facts()["certificate_sha256"]
    assert not _failed(workspace.layout.root)
    with pytest.raises((BadInput, VerificationFailed)):  # changed by one bit, it is nobody's any more
        answer.write_bytes(answer.read_bytes().replace(b'"payload":"ey', b'"payload":"fy'))
        take_in(workspace, answer, Circumstances())


def test_recipient_is_made_up(workspace: Workspace, receiver: Workspace, exhibit: Exhibit, tmp_path: Path) -> None:
    """An insider acknowledges with a key that he made himself: the verifier is told that nobody compared it."""
    theirs = receiver.signer.facts()["certificate_sha256"]

    def told(*, at_transfer: bool, at_import: bool) -> list[str]:
        files = (tmp_path / f"{kind}-{at_transfer}-{at_import}.json" for kind in ("transfer", "answer"))
        statement, answer = files
        transfer(workspace, "X1", statement, TO, fingerprint=theirs if at_transfer else None)
        acknowledge(receiver, statement, exhibit.original, answer, Circumstances(), Silent())
        entry = take_in(workspace, answer, Circumstances(), fingerprint=theirs if at_import else None).entry
        verification = verify(workspace.layout.root)
        assert verification.verdict is Verdict.SIGNED
        return [note for note in verification.not_checked if f"acknowledgement of entry {entry.seq}:" in note]

    (note,) = told(at_transfer=False, at_import=False)
    assert theirs in note and receiver.signer.facts()["subject"] in note and "nobody compared" in note
    assert not told(at_transfer=True, at_import=False) and not told(at_transfer=False, at_import=True)


def test_refusal_forges_lines_of_the_result(
    workspace: Workspace, receiver: Workspace, exhibit: Exhibit, tmp_path: Path
) -> None:
    """The recipient's own words are shown to whoever verifies, on the line where they belong."""
    forged = "VERDICT: WITNESSED. Also part of a ledger whose history a witness has seen grow."
    for reason in (f"no\n{forged}", f"no\r{forged}", f"no\u2028{forged}", f"no\x85{forged}", f"no\v{forged}\n"):
        statement, answer = tmp_path / "transfer.json", tmp_path / "answer.json"
        transfer(workspace, "X1", statement, TO)
        acknowledge(receiver, statement, exhibit.original, answer, Circumstances(), Silent(), refuse=reason)
        take_in(workspace, answer, Circumstances())
        statement.unlink()
        answer.unlink()
    for command in (("verify", workspace.layout.root), ("log", "-w", workspace.layout.root)):
        done = forensic(*command)
        assert done.code == 0, done.err
        lines = [line for line in done.out.splitlines() if forged in line]
        assert len(lines) == 5 and not any(line.startswith(forged) for line in lines)
    assert forensic("verify", workspace.layout.root).last_line.startswith("VERDICT: SIGNED.")


@pytest.mark.parametrize("lie", ["accepted", "own key", "other transfer", "statement"])
def test_a_made_up_receipt_in_the_ledger_fails(
    workspace: Workspace, receiver: Workspace, exhibit: Exhibit, tmp_path: Path, lie: str
) -> None:
    """An insider writes an acknowledgement into his ledger that the receiver never gave."""
    transfer(workspace, "X1", tmp_path / "t.json", TO)
    wrong = tmp_path / "wrong.bin"
    wrong.write_bytes(b"not the exhibit")
    acknowledge(receiver, tmp_path / "t.json", wrong, tmp_path / "a.json", Circumstances(), Silent())
    data = dict(take_in(workspace, tmp_path / "a.json", Circumstances()).entry.data)
    assert not _failed(workspace.layout.root)
    if lie == "accepted":
        data["accepted"] = True
    elif lie == "own key":
        data["signer"] = {**data["signer"], "certificate_sha256": workspace.signer.facts()["certificate_sha256"]}
    elif lie == "other transfer":
        transfer(workspace, "X1", tmp_path / "t2.json", TO)
        second = list(workspace.ledger.entries(event="custody.transferred"))[-1]
        data |= {"transfer": second.data["transfer"], "transfer_sha256": second.data["statement_sha256"]}
    else:
        data["statement"] = data["statement"].replace('"payload":"ey', '"payload":"fy')
    workspace.ledger.append("custody.acknowledged", data, case="C1", exhibit="X1")
    assert _failed(workspace.layout.root) == {"H2"}


def test_exported_copy_differs(
    workspace: Workspace, exhibit: Exhibit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The medium gives back other bytes than were written: noticed by reading back, recorded, nothing left."""
    real = copyout.create_file

    class Failing:
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            self._stream.close()

        def write(self, block: bytes) -> int:
            return int(self._stream.write(bytes([block[0] ^ 1]) + block[1:]))

        def flush(self) -> None:
            self._stream.flush()

        def fileno(self) -> int:
            return int(self._stream.fileno())

    with monkeypatch.context() as broken:
        broken.setattr(copyout, "create_file", lambda path: Failing(real(path)))
        with pytest.raises(VerificationFailed) as caught:
            export(workspace, "X1", tmp_path / "copy.mp4", WHY, Silent())
    assert caught.value.code == "export.mismatch"
    last = list(workspace.ledger.entries())[-1]
    assert (last.event, last.data["act"], last.data["code"]) == (
        "custody.failed",
        "custody.exported",
        "export.mismatch",
    )
    assert not list(tmp_path.glob("copy.mp4*"))
    done = export(workspace, "X1", tmp_path / "copy.mp4", WHY, Silent())
    assert sha256_file(done.files[0]) == exhibit.sha256
    assert not _failed(workspace.layout.root)


def test_same_bytes_under_another_exhibit_id(workspace: Workspace, exhibit: Exhibit, real_clip: Path) -> None:
    """Attempts under one id are told in the record about the other, whatever id and case."""
    _fail_once(workspace, exhibit)
    with pytest.raises(ForensicError):
        acquire(workspace, real_clip.with_name("no-such-file.mp4"), case="C2", exhibit_id=None, note=None,
                progress=Silent())  # fmt: skip
    clean = acquire(workspace, real_clip, case="C2", exhibit_id="CLEAN", note=None, progress=Silent())
    run = enhance(workspace, clean, SHORT, Silent())
    custody = run.predicate["custody"]
    assert {one["id"] for one in custody["exhibits"]} == {"X1", "CLEAN"}
    told = [(one["event"], one["reason"].startswith("as exhibit X1: ")) for one in run.predicate["failed_attempts"]]
    assert told == [("run.refused", True), ("acquisition.failed", False)]
    assert not _failed(workspace.layout.root)
