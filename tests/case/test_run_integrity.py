"""A run is bound to its exhibit, its policy and its record: swaps, forged permits and hidden attempts."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from forensic.case import enhance as enhancing
from forensic.case import reproduce as reproducing
from forensic.case.acquire import acquire
from forensic.case.enhance import enhance, exhibit_for
from forensic.case.execution import execute
from forensic.case.exhibits import Exhibit, check_untouched
from forensic.case.layout import SCRATCH, RunFolder
from forensic.case.plan import EnhanceRequest, judge, settle
from forensic.case.progress import Silent
from forensic.case.recovery import scratch_folder
from forensic.case.reissue import reissue
from forensic.case.reproduce import reproduce
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, open_workspace
from forensic.errors import ForensicError, InternalError, PolicyRefused, UsageError, VerificationFailed
from forensic.frames.frame import CodedFrame
from forensic.frames.stageclass import StageClass
from forensic.frames.still import read_still, still_png
from forensic.media.label import is_labelled
from forensic.media.reader import ExhibitReader
from forensic.policy.acknowledgement import SENTENCE
from forensic.stages.catalogue import registered
from forensic.stages.stage import Stage
from tests.case.conftest import Case
from tests.case.reviewing import approve
from tests.case.test_generative_gate import _RECIPE, Invention

_SHORT = EnhanceRequest(recipe="plain-lanczos", frames=(0, 2))


@pytest.fixture
def workspace(attacked: Case) -> Iterator[Workspace]:
    with open_workspace(attacked.root, lambda: "") as opened:
        yield opened


@pytest.fixture
def exhibit(attacked: Case, workspace: Workspace) -> Exhibit:
    return exhibit_for(workspace, attacked.predicate()["exhibit"]["id"], Silent())


def _last(workspace: Workspace) -> tuple[str, dict[str, Any]]:
    entry = list(workspace.ledger.entries())[-1]
    return entry.event, dict(entry.data)


def _writable(path: Path) -> Path:
    path.chmod(0o644)
    return path


# --- the exhibit, swapped while it is in use --------------------------------------------------


@pytest.mark.parametrize("what", ["original", "manifest"])
def test_exhibit_swapped_after_the_check_gives_no_run(
    workspace: Workspace, exhibit: Exhibit, street_clip: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def swap(opened: Workspace, checked: Exhibit) -> None:
        check_untouched(opened, checked)
        if what == "original":
            shutil.copyfile(street_clip, _writable(exhibit.original))
        else:
            data = exhibit.folder.frames.read_bytes()
            _writable(exhibit.folder.frames).write_bytes(data.replace(b'"sha256":"', b'"sha256":"0', 1))

    monkeypatch.setattr(enhancing, "check_untouched", swap)
    with pytest.raises(ForensicError):
        enhance(workspace, exhibit, _SHORT, Silent())
    assert _last(workspace)[0] == "run.failed"


def test_bytes_appended_to_the_exhibit_during_the_run_are_noticed_before_it_is_signed(
    workspace: Workspace, exhibit: Exhibit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frames still decode as recorded: only the second hash of the file can see this (sound, subtitles)."""

    def work(*arguments: Any) -> Any:
        result = execute(*arguments)
        with _writable(exhibit.original).open("ab") as stream:
            stream.write(b"\0" * 8)
        return result

    monkeypatch.setattr(enhancing, "execute", work)
    with pytest.raises(VerificationFailed) as failed:
        enhance(workspace, exhibit, _SHORT, Silent())
    assert failed.value.code == "exhibit.changed"
    assert [entry.event for entry in workspace.ledger.entries()][-2:] == ["exhibit.changed", "run.failed"]


# --- the gate stands on the way of the pixels -------------------------------------------------


@pytest.fixture
def inventive(tmp_path: Path) -> Iterator[EnhanceRequest]:
    path = tmp_path / "inventive.toml"
    path.write_text(_RECIPE)
    with registered(Invention):
        yield EnhanceRequest(recipe=str(path), frames=(0, 2))


def test_pixels_are_not_made_on_a_refusal(
    workspace: Workspace, exhibit: Exhibit, inventive: EnhanceRequest, tmp_path: Path
) -> None:
    plan = settle("R-x", exhibit, inventive, 1)
    _, decision = judge(workspace, plan)
    with pytest.raises(PolicyRefused):
        execute(plan, decision, exhibit.manifest(), RunFolder(tmp_path / "run"), Silent())
    assert not (tmp_path / "run").exists()


def test_pixels_are_not_made_on_a_permit_for_another_plan(
    workspace: Workspace, exhibit: Exhibit, inventive: EnhanceRequest, tmp_path: Path
) -> None:
    _, permit = judge(workspace, settle("R-y", exhibit, _SHORT, 1))
    assert permit.allowed
    plan = settle("R-x", exhibit, inventive, 1)
    with pytest.raises(InternalError) as refused:
        execute(plan, permit, exhibit.manifest(), RunFolder(tmp_path / "run"), Silent())
    assert refused.value.code == "policy.other-plan"
    assert not (tmp_path / "run").exists()


def test_a_stage_cannot_lower_its_class_by_itself_or_by_inheritance() -> None:
    class Modest:
        effective_class = StageClass.PRESENTATION

    with pytest.raises(TypeError):
        type("Sly", (Modest, Stage), {})
    with pytest.raises(TypeError):
        type("Sly", (Invention,), {"effective_class": StageClass.PRESENTATION})


def test_a_generative_still_without_its_label_is_not_made(exhibit: Exhibit) -> None:
    with ExhibitReader(exhibit.original) as reader:
        frame = next(iter(reader.frames()))
    tainted = CodedFrame(frame.planes, frame.geometry, frame.colour, frame.timing, StageClass.GENERATIVE)
    with pytest.raises(InternalError) as refused:
        still_png(tainted)
    assert refused.value.code == "still.unlabelled"


def test_source_stills_of_an_exhibit_tagged_generative_carry_the_label(
    workspace: Workspace, real_clip: Path, tmp_path: Path
) -> None:
    """Somebody cut our output anew and kept the tag: its pixels lack the label, and get it before they are shown."""
    tagged = tmp_path / "tagged.mkv"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", real_clip, "-frames:v", "4", "-c:v", "ffv1",
         "-metadata", "HIGHEST_STAGE_CLASS=generative", tagged], check=True,
    )  # fmt: skip
    exhibit = exhibit_for(workspace, str(tagged), Silent())
    with pytest.raises(PolicyRefused):
        enhance(workspace, exhibit, _SHORT, Silent())
    asked = EnhanceRequest(
        recipe="plain-lanczos", frames=(0, 2), mode="creative", purpose="illustration",
        reason="Poster for the training room, not evidence", acknowledgement=SENTENCE,
    )  # fmt: skip
    approve(workspace, exhibit, asked)
    run = enhance(workspace, exhibit, asked, Silent())
    assert run.predicate["exhibit"]["stage_class"] == run.predicate["output"]["stage_class"] == "generative"
    for still in run.predicate["stills"]:
        assert still["before"] == f"stills/labelled-source/{still['frame']:06d}.AI-GENERATED-NOT-EVIDENCE.png"
        shown = read_still((run.folder / still["before"]).read_bytes())
        frame = CodedFrame(shown.planes, shown.geometry, shown.colour, shown.timing, shown.stage_class)
        assert shown.stage_class is StageClass.GENERATIVE
        assert is_labelled(frame)
    assert verify(run.folder).verdict.label == "SIGNED"
    assert reproduce(workspace, run.run_id, Silent()).succeeded


# --- everything on the record -----------------------------------------------------------------


def test_unknown_mode_is_a_recorded_refusal(workspace: Workspace, exhibit: Exhibit) -> None:
    with pytest.raises(UsageError):
        enhance(workspace, exhibit, EnhanceRequest(mode="evil"), Silent())
    event, data = _last(workspace)
    assert (event, data["by"], data["code"]) == ("run.refused", "program", "mode.unknown")


@pytest.mark.parametrize(("error", "by"), [(KeyboardInterrupt, "user"), (RuntimeError, "program")])
def test_whatever_ends_a_run_before_its_start_is_recorded(
    workspace: Workspace, exhibit: Exhibit, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], by: str
) -> None:
    def stop(*_: Any) -> None:
        raise error

    monkeypatch.setattr(enhancing, "check_untouched", stop)
    with pytest.raises(error):
        enhance(workspace, exhibit, _SHORT, Silent())
    event, data = _last(workspace)
    assert (event, data["by"]) == ("run.refused", by)


def test_other_attempts_are_told_under_another_id_of_the_same_file(
    workspace: Workspace, exhibit: Exhibit, attacked: Case, real_clip: Path
) -> None:
    with pytest.raises(ForensicError):
        enhance(workspace, exhibit, EnhanceRequest(recipe="no-such-recipe"), Silent())
    clean = acquire(workspace, real_clip, case="Other", exhibit_id="CLEAN", note=None, progress=Silent())
    good = clean.original.read_bytes()
    _writable(clean.original).write_bytes(good + b"x")
    with pytest.raises(VerificationFailed):
        enhance(workspace, clean, _SHORT, Silent())
    clean.original.write_bytes(good)
    record = enhance(workspace, clean, _SHORT, Silent()).predicate
    told = record["failed_attempts"]
    assert [one["event"] for one in told] == ["run.finished", "run.refused", "exhibit.changed", "run.refused"]
    assert told[0]["run"] == attacked.run_id
    assert told[0]["reason"] == f"as exhibit {exhibit.id}: recipe classic, class fidelity, finished"
    assert set(told[0]) == {"seq", "run", "event", "utc", "reason"}


def test_every_default_is_told(workspace: Workspace, exhibit: Exhibit) -> None:
    told = " | ".join(enhance(workspace, exhibit, EnhanceRequest(frames=(0, 1)), Silent()).predicate["defaults"])
    for word in ("mode:", "recipe:", "scale:", "stills and risk maps:", "reason:", "purpose:", "question asked:",
                 "policy:", "region of interest:", "workers:"):  # fmt: skip
        assert word in told, word


# --- reproduction -----------------------------------------------------------------------------


def _altered_manifest(run: Path) -> None:
    path = run / "frames.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"pts":', b'"pts":1', 1))


def _shortened_manifest(run: Path) -> None:
    path = run / "frames.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(True)[:2]))


def _garbage_manifest(run: Path) -> None:
    (run / "frames.jsonl").write_bytes(b"zzz")


def _altered_output(run: Path) -> None:
    with (run / "output.mkv").open("ab") as stream:
        stream.write(b"\0")


def _permissive_policy(run: Path) -> None:
    (run / "policy.cedar").write_text((run / "policy.cedar").read_text() + "// more\n")


def _no_record(run: Path) -> None:
    (run / "attestation.json").unlink()


@pytest.mark.parametrize(
    "attack",
    [_altered_manifest, _shortened_manifest, _garbage_manifest, _altered_output, _permissive_policy, _no_record],
)
def test_reproducing_a_changed_run_fails_and_is_recorded(
    workspace: Workspace, attacked: Case, attack: Callable[[Path], None]
) -> None:
    attack(attacked.run)
    with pytest.raises(VerificationFailed) as failed:
        reproduce(workspace, attacked.run_id, Silent())
    assert failed.value.code in ("run.changed", "run.missing")
    event, data = _last(workspace)
    assert (event, data["code"]) == ("reproduction.failed", failed.value.code)


def test_interrupted_reproduction_is_recorded_and_leaves_nothing(
    workspace: Workspace, attacked: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reproducing, "compare", stop)
    with pytest.raises(KeyboardInterrupt):
        reproduce(workspace, attacked.run_id, Silent())
    assert _last(workspace)[0] == "reproduction.cancelled"
    assert not list(attacked.root.glob(f"{SCRATCH}*"))


def test_a_file_that_differs_on_the_same_platform_is_not_reproduced() -> None:
    made = reproducing.Reproduction("R", frames=3, identical=3, same_platform=True, file_identical=False)
    assert not made.succeeded
    assert made.verdict.startswith("NOT REPRODUCED")
    made.file_identical = True
    assert made.succeeded


def test_scratch_of_a_living_process_survives_the_opening_of_its_workspace(attacked: Case) -> None:
    from forensic.case.layout import WorkspaceLayout

    with scratch_folder(WorkspaceLayout(attacked.root)) as scratch:
        open_workspace(attacked.root, lambda: "").close()
        assert scratch.is_dir()
    assert not scratch.exists()


# --- reissue ----------------------------------------------------------------------------------


def test_failed_reissue_leaves_the_run_as_it_was(
    workspace: Workspace, attacked: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    from forensic.case import reissue as reissuing

    def full(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reissuing, "issue_report", full)
    with pytest.raises(OSError, match="No space"):
        reissue(workspace, attacked.run_id)
    assert _last(workspace)[0] == "report.failed"
    assert verify(attacked.run).verdict.label == "SIGNED"


def test_an_exchanged_report_is_not_kept_as_the_superseded_one(workspace: Workspace, attacked: Case) -> None:
    (attacked.run / "report.pdf").write_bytes(b"%PDF-1.7 not the report")
    reissue(workspace, attacked.run_id)
    event, data = _last(workspace)
    assert event == "report.issued"
    assert data["superseded"] is None
    assert data["discarded"]["file"] == "report.pdf"
    assert not list(attacked.run.glob("report-superseded-*"))
    assert verify(attacked.run).verdict.label == "SIGNED"
