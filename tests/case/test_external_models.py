"""A laboratory's own model from end to end: on record however its enrolment ends, gated, labelled, and never as
evidence.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from forensic.case import modelrecord
from forensic.case.bundle.issuing import BundleRequest, disclose
from forensic.case.bundle.selecting import scope_for
from forensic.case.enhance import FinishedRun, enhance, exhibit_for
from forensic.case.history import summary
from forensic.case.modeladd import add_model
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.reproduce import reproduce
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace
from forensic.errors import (
    BadInput,
    ForensicError,
    Interrupted,
    PolicyRefused,
    StorageFailed,
    UsageError,
    VerificationFailed,
)
from forensic.ledger.entry import LedgerEntry
from forensic.ledger.store import Ledger
from forensic.policy.acknowledgement import SENTENCE
from forensic.registry.external import enrolling
from forensic.registry.external.shelf import external_ids, load_external
from forensic.registry.packs.store import noted
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
    (begun, asked), (event, data) = told(workspace)
    assert begun == "model.add-started" and asked["given"]["sha256"] == data["source"]["sha256"]  # type: ignore[index]
    assert event == "model.added" and data["class"] == "generative" and "not examined" in str(data["class_statement"])
    assert data["weights_sha256"] == data["files"][0]["sha256"] == data["source"]["sha256"]  # type: ignore[index]
    added(network, workspace)
    assert len(told(workspace)) == 2, "nothing happened, nothing is recorded"
    (store / "fetches.jsonl").unlink()
    added(network, workspace)
    assert [event for event, _ in told(workspace)] == ["model.add-started", "model.added"] * 2, "put on record again"
    line = json.loads((store / "fetches.jsonl").read_text("utf-8").splitlines()[-1])
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

    monkeypatch.setattr(enrolling, "make_engine", interrupted)
    with pytest.raises(Interrupted, match=r"model\.add-cancelled"):
        add_model(network, MODEL, workspace)
    events = ["model.add-refused", "model.add-failed", "model.add-started", "model.add-cancelled"]
    assert [event for event, _ in told(workspace)] == events == [line["event"] for line in noted(store)]
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
    assert lines[0] == "lab-x2 from network.onnx: about to be tried" and lines[2].startswith("other: ")
    assert "lab-x2 from network.onnx" in lines[1] and "not examined" in lines[1]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StorageFailed("storage.failed", "No space left on device.")])
def test_a_model_whose_entry_could_not_be_made_is_removed_and_the_record_says_so(
    network: Path, store: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    append = Ledger.append

    def struck(self: Ledger, name: str, data: dict[str, object], **ids: str) -> LedgerEntry:
        if name == "model.added":
            raise error
        return append(self, name, data, **ids)

    monkeypatch.setattr(Ledger, "append", struck)
    with pytest.raises(ForensicError):
        added(network, workspace)
    assert external_ids(store) == [] and list((store / "external.models").iterdir()) == []
    started, (event, data) = told(workspace)
    assert started[0] == "model.add-started" and data["folder_removed"] is True
    assert event == ("model.add-cancelled" if isinstance(error, KeyboardInterrupt) else "model.add-failed")
    assert [line["event"] for line in noted(store)] == ["model.add-started", event]
    assert "its folder was removed" in summary(event, data)


def test_ctrl_c_between_the_rename_and_the_entry_leaves_no_model(
    network: Path, store: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def struck(self: Path, target: Path) -> Path:
        made = rename(self, target)
        if self.name.endswith(".partial"):
            raise KeyboardInterrupt
        return made

    monkeypatch.setattr(Path, "rename", struck)
    with pytest.raises(Interrupted):
        added(network, workspace)
    assert list((store / "external.models").iterdir()) == []
    assert told(workspace)[-1][0] == "model.add-cancelled" and told(workspace)[-1][1]["folder_removed"] is True


def test_an_interrupt_that_comes_after_the_entry_comes_too_late(
    network: Path, store: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Ledger.append

    def struck(self: Ledger, name: str, data: dict[str, object], **ids: str) -> LedgerEntry:
        made = append(self, name, data, **ids)
        if name == "model.added":
            raise KeyboardInterrupt
        return made

    monkeypatch.setattr(Ledger, "append", struck)
    added(network, workspace)
    assert [event for event, _ in told(workspace)] == ["model.add-started", "model.added"] and load_external(MODEL)


def test_a_store_that_takes_no_line_leaves_no_usable_model(
    network: Path, store: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = modelrecord.note

    def full(place: Path, record: dict[str, object]) -> None:
        if record["event"] == "model.added":
            raise StorageFailed("storage.failed", "No space left on device.")
        write(place, record)

    monkeypatch.setattr(modelrecord, "note", full)
    with pytest.raises(StorageFailed):
        added(network, workspace)
    assert external_ids(store) == []
    assert [event for event, _ in told(workspace)] == ["model.add-started", "model.added", "model.add-failed"]


def test_enrolling_in_a_second_workspace_is_on_its_ledger_too(
    network: Path, store: Path, workspace: Workspace, tmp_path: Path
) -> None:
    added(network, workspace)
    with create_workspace(tmp_path / "second", examiner="B", lab="Lab", passphrase=None, origin="test") as second:
        for _ in range(2):
            added(network, second)
        assert [event for event, _ in told(second)] == ["model.add-started", "model.added"]
        assert told(second)[-1][1]["card_sha256"] == told(workspace)[-1][1]["card_sha256"]
    assert len(told(workspace)) == 2


def test_what_the_trial_would_end_with_the_process_was_started_on_record(
    network: Path, store: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def trial(*_: object) -> None:
        seen.append([event for event, _ in told(workspace)] + [line["event"] for line in noted(store)])
        raise MemoryError

    monkeypatch.setattr(enrolling, "make_engine", trial)
    with pytest.raises(MemoryError):
        added(network, workspace)
    assert seen == [["model.add-started"] * 2]
    begun = next(entry for entry in workspace.ledger.entries() if entry.event == "model.add-started")
    assert told(workspace)[-1][0] == "model.add-failed" and told(workspace)[-1][1]["started"] == begun.seq


def test_ids_and_roots_that_are_no_text_are_refused_at_the_command_line(
    network: Path, store: Path, workspace: Workspace
) -> None:
    folder = workspace.layout.root
    for odd in ("lab\udcff", "a" * 70_000):
        with pytest.raises(PolicyRefused, match=r"model\.id-invalid"):
            add_model(network, odd, workspace)
    refused = [data for event, data in told(workspace) if event == "model.add-refused"]
    assert refused[0]["model"] == "lab\\udcff" and len(str(refused[1])) < 2500
    workspace.close()
    for asked in (("--id", "lab\udcff"), ("--id", "a" * 70_000), ("--id", "lab", "--root", "\udcff")):
        assert forensic("models", "add", network, *asked, "-w", folder).code == 2


def test_a_card_of_another_declaration_is_not_the_one_the_run_was_made_with(
    network: Path, store: Path, workspace: Workspace, real_clip: Path
) -> None:
    added(network, workspace)
    made = run(workspace, real_clip)
    shutil.rmtree(store / "external.models" / MODEL)
    network.with_name("laboratory.toml").write_text('class = "generative"\n', "utf-8")
    added(network, workspace)  # the same weights, another card
    assert load_external(MODEL).weights_sha256 == made.predicate["models"][0]["weights_sha256"]
    with pytest.raises(VerificationFailed, match=r"model\.swapped"):
        reproduce(workspace, made.predicate["run"]["id"], Silent())


@pytest.mark.parametrize("kept", ["first", "second", "none"])
def test_a_bundle_has_the_card_that_is_here_and_its_record_names_those_that_are_not(
    network: Path, store: Path, workspace: Workspace, real_clip: Path, tmp_path: Path, kept: str
) -> None:
    card = store / "external.models" / MODEL / "card.toml"
    added(network, workspace)
    first, text = run(workspace, real_clip, frames=(0, 1)), card.read_bytes()
    shutil.rmtree(card.parent)
    network.with_name("laboratory.toml").write_text('class = "generative"\n', "utf-8")
    added(network, workspace)
    second = run(workspace, real_clip, frames=(0, 1))
    if kept == "first":
        card.write_bytes(text)
    elif kept == "none":
        shutil.rmtree(card.parent)
    digests = {name: one.predicate["models"][0]["card_sha256"] for name, one in (("first", first), ("second", second))}
    assert len(set(digests.values())) == 2
    case = exhibit_for(workspace, str(real_clip), Silent()).case
    written = disclose(workspace, scope_for(workspace, str(case)), BundleRequest(tmp_path / "b", False), Silent())
    missing = sorted(digest for name, digest in digests.items() if name != kept)
    facts = next(entry for entry in workspace.ledger.entries("bundle.written")).data
    assert facts["cards_missing"] == [{"id": MODEL, "card_sha256": digest} for digest in missing]
    assert len(list(written.path.glob("data/models/*/card.toml"))) == (kept != "none")
    checked = verify(written.path)
    assert checked.verdict.label == "SIGNED" and all(any(d in line for line in checked.not_checked) for d in missing)
    script = Path(__file__).parents[2] / "docs" / "formats" / "verify_bundle.py"
    assert subprocess.run([sys.executable, script, written.path], check=False, capture_output=True).returncode == 0
