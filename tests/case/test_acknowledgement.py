"""Nothing but the sentence itself, given for this run by whoever asks, lets generative pixels through."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from forensic.case import plan as planning
from forensic.case.approvals import approvals
from forensic.case.enhance import enhance, exhibit_for
from forensic.case.exhibits import Exhibit
from forensic.case.explanation import explain_stage
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.reproduce import reproduce
from forensic.case.verification.records import contradictions
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace
from forensic.errors import BadInput, PolicyRefused
from forensic.ledger.store import Ledger
from forensic.policy.acknowledgement import SECOND_SCHEMA_SHA256, SENTENCE, is_unfinished
from forensic.policy.store import load_policy
from forensic.signing.statement import RUN_PREDICATE, Statement, Subject, verify_statement
from forensic.stages.catalogue import registered
from tests.case.conftest import forensic
from tests.case.reviewing import approve
from tests.case.test_generative_gate import _RECIPE, Invention
from tests.case.test_terminal import at_a_terminal

GENERATIVE = "AI-GENERATED-NOT-EVIDENCE"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with create_workspace(tmp_path / "ws", examiner="A. Miner", lab="Lab", passphrase=None, origin="test") as opened:
        yield opened


@pytest.fixture
def exhibit(workspace: Workspace, real_clip: Path) -> Exhibit:
    return exhibit_for(workspace, str(real_clip), Silent())


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[EnhanceRequest]:
    """Everything but the acknowledgement; the inventive stage exists as long as the test runs."""
    recipe = tmp_path / "inventive.toml"
    recipe.write_text(_RECIPE)
    with registered(Invention):
        yield EnhanceRequest(
            recipe=str(recipe), mode="creative", frames=(0, 2), purpose="illustration",
            reason="Poster for the training room, not evidence",
        )  # fmt: skip


def _refused(workspace: Workspace, exhibit: Exhibit, request: EnhanceRequest) -> str:
    with pytest.raises(PolicyRefused) as refused:
        enhance(workspace, exhibit, request, Silent())
    assert refused.value.code == "policy.denied"
    entries = list(workspace.ledger.entries())
    assert [entry.event for entry in entries][-2:] == ["policy.decided", "run.refused"]
    assert entries[-1].data["request"]["acknowledgement"] == request.acknowledgement
    assert list(workspace.layout.runs.iterdir()) == []
    return refused.value.message


def test_python_call_without_the_whole_sentence_is_refused_and_recorded(
    workspace: Workspace, exhibit: Exhibit, asked: EnhanceRequest
) -> None:
    approve(workspace, exhibit, asked)
    for typed in (
        None, "", "yes",
        SENTENCE[:-1], SENTENCE.removesuffix(" anyone or anything."),  # abbreviated
        SENTENCE.upper(), f"{SENTENCE} Yes.",
        "I understand that this result contains no invented detail, is evidence, and may be used.",  # another sentence
    ):  # fmt: skip
        message = _refused(workspace, exhibit, replace(asked, acknowledgement=typed))
        assert "generative-needs-acknowledgement" in message, typed
    assert [one.state for one in approvals(workspace)] == ["open"], "a refused run uses no approval up"


def test_a_config_file_a_recipe_and_the_past_cannot_acknowledge(
    workspace: Workspace, exhibit: Exhibit, asked: EnhanceRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORENSIC_ACKNOWLEDGE", "FORENSIC_ACKNOWLEDGEMENT", "FORENSIC_ENHANCE_ACKNOWLEDGE", "ACKNOWLEDGE"):
        monkeypatch.setenv(name, SENTENCE)
    workspace.layout.settings.write_text(f'acknowledgement = "{SENTENCE}"\n[enhance]\nacknowledge = "{SENTENCE}"\n')
    approve(workspace, exhibit, asked)
    _refused(workspace, exhibit, asked)
    workspace.layout.settings.unlink()
    recipe = Path(str(asked.recipe))
    recipe.write_text(f'acknowledgement = "{SENTENCE}"\n' + _RECIPE)
    with pytest.raises(BadInput):
        enhance(workspace, exhibit, replace(asked, acknowledgement=SENTENCE), Silent())
    recipe.write_text(_RECIPE)
    made = enhance(workspace, exhibit, replace(asked, acknowledgement=SENTENCE), Silent())
    approve(workspace, exhibit, asked)
    with pytest.raises(PolicyRefused):  # it was for that run
        enhance(workspace, exhibit, asked, Silent())
    assert [path.name for path in workspace.layout.runs.iterdir()] == [made.run_id]


def test_a_schema_of_an_earlier_release_decides_about_no_new_run(
    workspace: Workspace, exhibit: Exhibit, asked: EnhanceRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = replace(load_policy("creative"), schema_sha256=SECOND_SCHEMA_SHA256)
    monkeypatch.setattr(planning, "load_policy", lambda _: old)
    with pytest.raises(PolicyRefused, match=r"policy\.old-schema"):
        enhance(workspace, exhibit, asked, Silent())
    assert [entry.event for entry in workspace.ledger.entries()][-1] == "run.refused"


def test_the_sentence_is_on_every_record_and_the_files_say_what_they_show(
    workspace: Workspace, exhibit: Exhibit, asked: EnhanceRequest
) -> None:
    typed = SENTENCE.replace(" and must", "\n  and must")
    request = replace(asked, acknowledgement=typed)
    approve(workspace, exhibit, request)
    made = enhance(workspace, exhibit, request, Silent())
    assert made.predicate["run"]["acknowledgement"] == made.predicate["policy"]["context"]["acknowledgement"] == typed
    (started,) = workspace.ledger.entries(event="run.started")
    (decided,) = workspace.ledger.entries(event="policy.decided")
    assert started.data["request"]["acknowledgement"] == decided.data["request"]["acknowledgement"] == typed
    assert decided.data["decision"]["stages"][0]["cedar"]["request"]["context"]["acknowledged"] is True
    text = subprocess.run(["pdftotext", made.folder / "report.pdf", "-"], capture_output=True, text=True, check=True)
    assert "must not be used to identify or compare" in " ".join(text.stdout.split())

    names = {path.relative_to(made.folder).as_posix() for path in made.folder.rglob("*") if path.is_file()}
    marked = {name for name in names if GENERATIVE in name}
    assert f"output.{GENERATIVE}.mkv" in marked and "output.mkv" not in names
    for name in names - marked:
        assert not name.endswith(".mkv")
        if name.endswith(".png"):
            shows_none = (".source.png", ".risk.png", ".level.png", ".invented.png")
            assert "/beside/" in name or name.endswith(shows_none), name
    assert {f"stills/000000.{GENERATIVE}.png.json", f"risk/000000.overlay.{GENERATIVE}.png"} <= marked
    assert verify(workspace.layout.root).verdict.label == "SIGNED"
    outcome = reproduce(workspace, made.run_id, Silent())
    assert outcome.succeeded and outcome.file_identical

    statement, _ = verify_statement((made.folder / "attestation.json").read_bytes(), predicate_type=RUN_PREDICATE)
    assert contradictions(statement) == []
    for change, told in (
        (lambda record: record["policy"]["context"].pop("acknowledgement"), "not acknowledged"),
        (lambda record: record["policy"]["context"].update(acknowledgement="yes"), "not acknowledged"),
        (lambda record: record["run"].update(acknowledgement="yes"), "another acknowledgement"),
        (lambda record: record["output"].pop("label_form"), "not said to be labelled"),
        (lambda record: record["output"].update(label_form=1), "not said to be labelled"),
        (lambda record: record["exhibit"].update(stage_class="generative"), "does not say so in its name"),
        (
            lambda record: record["risk"]["frames"][0]["files"].update(overlay="risk/000000.overlay.png"),
            "does not say so in its name",
        ),
        (lambda record: record["output"].update(file="output.mkv"), "does not say so in its name"),
        (lambda record: record["stills"][0].update(after="stills/000000.png"), "does not say so in its name"),
    ):
        changed = copy.deepcopy(statement.predicate)
        change(changed)
        found = contradictions(Statement(statement.subjects, statement.predicate_type, changed))
        assert any(told in one for one in found), found
    half = Subject("fusion/000000.even.png", "0" * 64)
    added = Statement((*statement.subjects, half), statement.predicate_type, statement.predicate)
    assert any("split halves" in one for one in contradictions(added))


def _requests(root: Path) -> list[str | None]:
    with Ledger.open(root / "ledger.sqlite") as ledger:
        return [entry.data["request"]["acknowledgement"] for entry in ledger.entries(event="policy.decided")]


def test_at_a_terminal_it_is_asked_for_and_recorded_as_typed(tmp_path: Path, real_clip: Path) -> None:
    root = tmp_path / "ws"
    command = ["enhance", real_clip, "-w", root, "--recipe", "plain-lanczos", "--frames", "0:1", "--mode", "creative"]
    code, shown = at_a_terminal(command, [("> ", SENTENCE)], tmp_path / "out")
    assert code == 0, shown
    assert "only if you type this sentence in full" in " ".join(shown.split())
    head, tail = SENTENCE[: SENTENCE.index(" is not")], SENTENCE[SENTENCE.index(" is not") :]
    code, shown = at_a_terminal(command, [("> ", head), ("> ", tail)], tmp_path / "out")
    assert code == 0, shown
    assert _requests(root) == [SENTENCE, f"{head}\n{tail}"]


def test_only_a_beginning_of_the_sentence_in_whole_words_waits_for_more() -> None:
    assert is_unfinished("I understand\n that this") and is_unfinished("")
    for text in (SENTENCE, SENTENCE + " Yes.", "yes", "I underst", SENTENCE.upper()[:20]):
        assert not is_unfinished(text), text


def test_without_a_terminal_nothing_is_filled_in(tmp_path: Path, real_clip: Path) -> None:
    root = tmp_path / "ws"
    command = ["enhance", real_clip, "-w", root, "--recipe", "plain-lanczos", "--frames", "0:1", "--mode", "creative"]
    done = forensic(
        *command, "--json", env={"FORENSIC_ACKNOWLEDGE": SENTENCE, "FORENSIC_ENHANCE_ACKNOWLEDGE": SENTENCE}
    )
    assert done.code == 0, done.err
    assert json.loads(done.out)["stage_class"] == "geometric"
    assert _requests(root) == [None]


def test_the_explanation_of_a_refusal_names_the_sentence(asked: EnhanceRequest) -> None:
    def explained(typed: str) -> str:
        return explain_stage(
            "test-invention", mode="creative", policy=None, reason=str(asked.reason), purpose="illustration",
            acknowledgement=typed,
        )  # fmt: skip

    without = explained("")
    assert f"the acknowledgement is typed in full: {SENTENCE!r}" in without and "a second person" in without
    assert "typed in full:" not in explained(SENTENCE)
