"""A laboratory's own model from end to end: on record however its enrolment ends, gated, labelled, and never as
evidence.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from forensic.case import modeladd
from forensic.case.enhance import FinishedRun, enhance, exhibit_for
from forensic.case.history import summary
from forensic.case.modeladd import add_model
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.reproduce import reproduce
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace
from forensic.errors import BadInput, Interrupted, PolicyRefused, UsageError, VerificationFailed
from forensic.policy.acknowledgement import SENTENCE
from tests.case.conftest import forensic
from tests.case.reviewing import approve
from tests.external.networks import Planted, onnx_network

MODEL = "lab-x2"
RECIPE = f"creative-external:{MODEL}"
DECLARED = 'class = "fidelity"\nclass_declared_by = "Dr. Who"\ntitle = "Plates, x2"\n'


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORENSIC_MODEL_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def network(tmp_path: Path) -> Path:
    (tmp_path / "laboratory.toml").write_text(DECLARED, "utf-8")
    path = tmp_path / "network.onnx"
    path.write_bytes(onnx_network())
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with create_workspace(tmp_path / "ws", examiner="A. Miner", lab="Lab", passphrase=None, origin="test") as opened:
        yield opened


def added(network: Path, workspace: Workspace) -> None:
    add_model(network, MODEL, workspace, laboratory=network.with_name("laboratory.toml"))


def request(**changes: object) -> EnhanceRequest:
    asked: dict[str, object] = {
        "recipe": RECIPE, "mode": "creative", "frames": (0, 2), "roi": (60, 40, 40, 32), "purpose": "illustration",
        "reason": "Poster for the training room, not evidence", "acknowledgement": SENTENCE, **changes,
    }  # fmt: skip
    return EnhanceRequest(**asked)  # type: ignore[arg-type]


def run(workspace: Workspace, clip: Path, **changes: object) -> FinishedRun:
    exhibit = exhibit_for(workspace, str(clip), Silent())
    approve(workspace, exhibit, request(**changes))
    return enhance(workspace, exhibit, request(**changes), Silent())


def told(workspace: Workspace) -> list[tuple[str, dict[str, object]]]:
    return [(entry.event, entry.data) for entry in workspace.ledger.entries() if entry.event.startswith("model.")]


def test_enrolment_is_on_record_with_digests_and_the_declaration(
    network: Path, store: Path, workspace: Workspace
) -> None:
    added(network, workspace)
    ((event, data),) = told(workspace)
    assert event == "model.added" and data["class"] == "generative" and "not examined" in str(data["class_statement"])
    assert data["weights_sha256"] == data["files"][0]["sha256"] == data["source"]["sha256"]  # type: ignore[index]
    added(network, workspace)
    assert len(told(workspace)) == 1, "nothing happened, nothing is recorded"
    (store / "fetches.jsonl").unlink()
    added(network, workspace)
    assert len(told(workspace)) == 2, "a model that is on no record is put on it"
    line = json.loads((store / "fetches.jsonl").read_text("utf-8"))
    assert line["event"] == "model.added" and line["card_sha256"] == data["card_sha256"]


def test_refused_failed_and_cancelled_enrolments_are_on_record(
    network: Path, store: Path, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "trap"
    torch.save({"params": Planted(trap)}, tmp_path / "planted.pth")
    with pytest.raises(BadInput, match=r"model\.pack-unsafe"):
        add_model(tmp_path / "planted.pth", "planted", workspace)
    with pytest.raises(UsageError, match=r"model\.external-not-local"):
        add_model(Path("https://example.org/model.onnx"), "remote", workspace)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(modeladd, "enrol", interrupted)
    with pytest.raises(Interrupted, match=r"model\.add-cancelled"):
        add_model(network, MODEL, workspace)
    assert [event for event, _ in told(workspace)] == ["model.add-refused", "model.add-failed", "model.add-cancelled"]
    refused = told(workspace)[0][1]
    assert len(refused["given"]["sha256"]) == 64 and refused["code"] == "model.pack-unsafe"  # type: ignore[index,call-overload]
    assert not trap.exists() and not (store / "external.models").exists()


@pytest.mark.parametrize("changes", [{"mode": None}, {"mode": None, "policy": "creative"}, {"purpose": None}, {}])
def test_a_declared_fidelity_model_is_refused_as_the_generative_one_that_it_counts_as(
    network: Path, store: Path, workspace: Workspace, real_clip: Path, changes: dict[str, object]
) -> None:
    added(network, workspace)
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    with pytest.raises(PolicyRefused, match=r"policy\.denied"):
        enhance(workspace, exhibit, request(**changes), Silent())
    decision = next(entry for entry in workspace.ledger.entries() if entry.event == "policy.decided").data["decision"]
    judged = decision["stages"][-1]["request"]
    assert judged["stage"] == "external-upscale" and judged["class"] == judged["model"]["class"] == "generative"
    if changes.get("mode", "creative") is None:
        assert "generative-needs-creative-mode" in json.dumps(decision)
    assert list(workspace.layout.runs.iterdir()) == []


def test_no_policy_of_ones_own_lets_it_into_forensic_mode(
    network: Path, store: Path, workspace: Workspace, real_clip: Path, tmp_path: Path
) -> None:
    added(network, workspace)
    own = tmp_path / "anything.cedar"
    own.write_text('@id("all")\n@explain("Everything.")\npermit (principal, action, resource);\n', "utf-8")
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    with pytest.raises(PolicyRefused, match=r"policy\.denied"):
        enhance(workspace, exhibit, request(mode=None, policy=str(own)), Silent())


def test_it_runs_in_creative_mode_labelled_with_the_declaration_in_record_and_report(
    network: Path, store: Path, workspace: Workspace, real_clip: Path
) -> None:
    added(network, workspace)
    made = [run(workspace, real_clip, workers=workers) for workers in (1, 3)]
    assert len({one.predicate["output"]["sha256"] for one in made}) == 1
    predicate = made[0].predicate
    assert predicate["output"]["stage_class"] == "generative" and predicate["output"]["labelled"] is True
    assert predicate["output"]["geometry"]["width"] == 80 and predicate["recipe"]["source"] == "built-in"
    (model,) = predicate["models"]
    assert model["id"] == MODEL and model["class"] == "generative" and model["declared_class"] == "fidelity"
    assert "onnxruntime" in predicate["environment"] and model["files"][0]["sha256"] == model["weights_sha256"]
    assert (made[0].folder / "recipe.toml").read_text("utf-8").count(f'model = "{MODEL}"') == 1
    assert verify(made[0].folder).verdict.label == "SIGNED"
    text = subprocess.run(
        ["pdftotext", "-layout", made[0].folder / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    words = " ".join(text.split())
    assert "declared by the laboratory (Dr. Who), not examined" in words and "Plates, x2" in words
    assert all("NOT EVIDENCE" in page for page in text.split("\f")[:-1])
    again = reproduce(workspace, predicate["run"]["id"], Silent())
    assert again.exact and again.file_identical


def test_weights_that_change_after_enrolment_stop_runs_and_repetitions(
    network: Path, store: Path, workspace: Workspace, real_clip: Path
) -> None:
    added(network, workspace)
    made = run(workspace, real_clip)
    weights = store / "external.models" / MODEL / "network.onnx"
    weights.write_bytes(onnx_network(seed=5))
    with pytest.raises(PolicyRefused, match=r"model\.digest-mismatch"):
        run(workspace, real_clip)
    with pytest.raises((PolicyRefused, VerificationFailed), match=r"model\."):
        reproduce(workspace, made.predicate["run"]["id"], Silent())
    assert [entry.event for entry in workspace.ledger.entries()][-1] == "reproduction.failed"


def test_the_command_line_enrols_lists_shows_and_verifies(network: Path, store: Path, workspace: Workspace) -> None:
    folder, card = workspace.layout.root, network.with_name("laboratory.toml")
    workspace.close()
    done = forensic("models", "add", network, "--id", MODEL, "--card", card, "-w", folder, "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert facts["new"] is True and facts["class"] == "generative"
    listed = json.loads(forensic("models", "list", "--json").out)
    assert [one["weights"] for one in listed if one["name"] == MODEL] == ["enrolled"]
    assert json.loads(forensic("models", "show", MODEL, "--json").out)["declared_by"] == "Dr. Who"
    (store / "external.models" / MODEL / "network.onnx").write_bytes(b"other")
    checked = forensic("models", "verify")
    assert checked.code == 1 and f"FAIL {MODEL}" in checked.out
    taken = forensic("models", "add", network, "--id", "light-x4", "-w", folder, "--json")
    assert taken.code == 3 and json.loads(taken.out)["error"]["code"] == "model.id-taken"


def test_the_history_says_what_was_enrolled(network: Path, store: Path, workspace: Workspace) -> None:
    added(network, workspace)
    with pytest.raises(BadInput):
        add_model(network.with_name("laboratory.toml"), "other", workspace)
    lines = [
        summary(entry.event, entry.data) for entry in workspace.ledger.entries() if entry.event.startswith("model.")
    ]
    assert "lab-x2 from network.onnx" in lines[0] and "not examined" in lines[0] and lines[1].startswith("other: ")
