"""The door stays shut: every way in which a card and its weights can be wrong is a refusal with a code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forensic.errors import ForensicError, PolicyRefused
from forensic.frames.stageclass import StageClass
from forensic.hashes import sha256_file
from forensic.registry.cards import load_card, model_ids, verify_all, verify_card

from .conftest import ModelMaker


def refused(code: str, models: ModelMaker, name: str = "tiny-x2") -> PolicyRefused:
    with pytest.raises(PolicyRefused) as caught:
        verify_card(load_card(name, models.root))
    assert caught.value.code == code
    assert caught.value.message
    assert caught.value.exit_code == 3
    return caught.value


def test_an_honest_model_passes_and_its_facts_are_those_of_the_files(models: ModelMaker) -> None:
    folder = models.make()
    card = load_card("tiny-x2", models.root)
    verify_card(card)
    facts = card.facts()
    assert facts["card_sha256"] == sha256_file(folder / "card.toml")
    assert facts["weights_sha256"] == sha256_file(folder / "weights.safetensors")
    assert facts["class"] == "fidelity" and card.stage_class is StageClass.FIDELITY
    assert card.to_record()["class"] == "fidelity"
    assert model_ids(models.root) == ["tiny-x2"]


def test_every_flipped_byte_of_the_weights_is_found(models: ModelMaker) -> None:
    path = models.make() / "weights.safetensors"
    data = path.read_bytes()
    for position in {0, 7, 8, len(data) // 2, len(data) - 1}:
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        refused("model.digest-mismatch", models)
    path.write_bytes(data[:-1])
    refused("model.digest-mismatch", models)
    path.write_bytes(data + b"\0")
    refused("model.digest-mismatch", models)
    path.write_bytes(b"")
    refused("model.digest-mismatch", models)


def test_weights_swapped_with_another_model_of_the_same_shape(models: ModelMaker) -> None:
    ours, other = models.make(), models.make("other-x2", seed=2)
    (ours / "weights.safetensors").write_bytes((other / "weights.safetensors").read_bytes())
    refused("model.digest-mismatch", models)


def test_a_whole_folder_renamed_to_another_id(models: ModelMaker) -> None:
    models.make("generative-x2", id="tiny-x2")
    refused("model.id-mismatch", models, "generative-x2")


def test_weights_deleted_or_a_folder_or_a_link_in_their_place(models: ModelMaker, tmp_path: Path) -> None:
    path = models.make() / "weights.safetensors"
    elsewhere = tmp_path / "elsewhere.safetensors"
    path.rename(elsewhere)
    refused("model.weights-missing", models)
    path.symlink_to(elsewhere)
    refused("model.weights-missing", models)
    path.unlink()
    path.mkdir()
    refused("model.weights-missing", models)


@pytest.mark.parametrize("line", ["", 'sha256 = ""'])
def test_missing_digest(models: ModelMaker, line: str) -> None:
    models.make(digest_line=line)
    refused("model.digest-missing", models)


@pytest.mark.parametrize(
    "line", ['sha256 = "abc"', f'sha256 = "{"A" * 64}"', f'sha256 = "{"a" * 64}\\n"', "sha256 = 5"]
)
def test_malformed_digest(models: ModelMaker, line: str) -> None:
    models.make(digest_line=line)
    refused("model.card-invalid", models)


@pytest.mark.parametrize(
    "line", ["", 'class = "harmless"', 'class = "Fidelity"', 'class = ""', "class = 2", "class = []"]
)
def test_missing_or_unknown_class(models: ModelMaker, line: str) -> None:
    models.make(class_line=line)
    refused("model.class-unknown", models)


@pytest.mark.parametrize(
    "line", ["trusted = true", 'class_label = "presentation"', '_card_sha256 = "0"', 'card_sha256 = "0"']
)
def test_a_key_that_this_version_does_not_understand(models: ModelMaker, line: str) -> None:
    models.make(extra=line)
    assert "Extra" in refused("model.card-invalid", models).message


@pytest.mark.parametrize(
    "file",
    ["../other/weights.safetensors", "/etc/weights.safetensors", "..\\\\weights.safetensors", "C:weights.safetensors",
     ".safetensors", "weights.pt", "weights.safetensors\\u0000", "weights.safetensors\\n", "a/b.safetensors", ""],
)  # fmt: skip
def test_a_weights_path_that_leaves_the_folder_or_is_no_safetensors(models: ModelMaker, file: str) -> None:
    models.make(file=file)
    refused("model.card-invalid", models)


@pytest.mark.parametrize(
    "name", ["../tiny-x2", "tiny-x2/../tiny-x2", "..", "", ".", "Tiny-X2", "tiny-x2\n", "a" * 65, "c:x"]
)
def test_an_id_that_is_a_path(models: ModelMaker, name: str) -> None:
    models.make()
    refused("model.id-invalid", models, name)


def test_no_such_model_and_a_folder_without_a_card(models: ModelMaker) -> None:
    models.make()
    (models.root / "empty").mkdir()
    refused("model.card-missing", models, "absent")
    refused("model.card-missing", models, "empty")
    assert model_ids(models.root) == ["tiny-x2"]


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"id = ", b"[" * 100_000, b"a = 1\na = 2", b" " * ((1 << 20) + 1)])
def test_a_card_that_is_no_card(models: ModelMaker, data: bytes) -> None:
    (models.make() / "card.toml").write_bytes(data)
    with pytest.raises(PolicyRefused) as caught:
        load_card("tiny-x2", models.root)
    assert caught.value.code in {"model.card-invalid", "model.class-unknown"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_card_is_refused_or_still_says_what_it_said(models: ModelMaker, data: st.DataObject) -> None:
    path = models.root / "tiny-x2" / "card.toml"
    if not path.exists():
        models.make()
        (models.root / "original").write_bytes(path.read_bytes())
    original = (models.root / "original").read_bytes()
    position = data.draw(st.integers(0, len(original) - 1))
    cut = data.draw(st.integers(0, 20))
    path.write_bytes(original[:position] + data.draw(st.binary(max_size=8)) + original[position + cut :])
    try:
        card = load_card("tiny-x2", models.root)
        verify_card(card)
    except ForensicError as error:
        assert isinstance(error, PolicyRefused)
    else:
        assert card.card_sha256 == sha256_file(path)
        assert card.weights.sha256 == sha256_file(path.with_name("weights.safetensors"))


def test_every_folder_gets_a_verdict_and_none_raises(models: ModelMaker) -> None:
    models.make("good-x2")
    models.make("no-class", class_line="")
    (models.make("flipped") / "weights.safetensors").write_bytes(b"x")
    (models.root / "empty").mkdir()
    (models.root / "Bad Name").mkdir()
    (models.root / "note.txt").write_text("not a folder")
    verdicts = {check.model_id: check.code for check in verify_all(models.root)}
    assert verdicts == {
        "good-x2": "",
        "no-class": "model.class-unknown",
        "flipped": "model.digest-mismatch",
        "empty": "model.card-missing",
        "Bad Name": "model.id-invalid",
    }
    assert [check.ok for check in verify_all(models.root)].count(True) == 1


def test_a_missing_models_folder_is_a_failed_check(tmp_path: Path) -> None:
    (check,) = verify_all(tmp_path / "absent")
    assert (check.ok, check.code) == (False, "model.folder-missing")
    with pytest.raises(PolicyRefused, match=r"model\.folder-missing"):
        model_ids(tmp_path / "absent")


def test_cards_are_read_without_torch() -> None:
    program = (
        "import sys, forensic.registry.cards as c; c.verify_all();"
        "sys.exit(any(m in sys.modules for m in ('torch', 'safetensors', 'cv2', 'av')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
