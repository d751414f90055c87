"""Enrolled once, with digests, and generative whatever is declared; what changes afterwards is refused at load."""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from forensic.case.modeladd import add_model
from forensic.errors import BadInput, ForensicError, PolicyRefused, UsageError
from forensic.frames.stageclass import StageClass
from forensic.registry.external import engine as engines
from forensic.registry.external.card import NO_WORDS, ExternalCard, LaboratoryCard, declared
from forensic.registry.external.enrolling import Enrolled, read_laboratory_card, read_model
from forensic.registry.external.enrolling import enrol as enrol_off_record
from forensic.registry.external.loading import load_external_model
from forensic.registry.external.shelf import external_ids, load_external, read_card, verify_all_external
from forensic.registry.installed import require_usable
from forensic.registry.packs.store import noted
from forensic.stages import catalogue
from forensic.stages.external_upscale import ExternalUpscaleParameters
from tests.external.networks import onnx_network, pipeline_folder


def laboratory(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "laboratory.toml"
    path.write_text(text, "utf-8")
    return path


def enrol(path: Path, model_id: str, store: Path, *, laboratory: Path | None = None) -> Enrolled:
    """Enrolled, and on the store's record."""
    return add_model(path, model_id, None, store=store, laboratory=laboratory)


def refused_everywhere(model_id: str, card: ExternalCard, code: str) -> None:
    """Every door by which a model is used refuses it."""
    for door in (
        lambda: load_external(model_id),
        lambda: catalogue.build("external-upscale", {"model": model_id}),
        lambda: require_usable(card),
    ):
        with pytest.raises(PolicyRefused) as caught:
            door()
        assert caught.value.code == code
    assert code in [check.code for check in verify_all_external() if check.model_id == model_id and not check.ok]


def picture(rows: int = 40, columns: int = 56) -> np.ndarray:
    return np.random.default_rng(1).random((3, rows, columns), np.float32)


def test_it_is_kept_with_its_digests_outside_the_installation(network: Path, store: Path) -> None:
    enrolled = enrol(network, "lab-x2", store)
    card = load_external("lab-x2")
    assert enrolled.new and card == enrolled.card and card.folder == store / "external.models" / "lab-x2"
    assert (card.scale, card.engine, card.source.name) == (2, "onnxruntime", "network.onnx")
    assert card.weights_sha256 == card.source.sha256 == card.files[0].sha256
    assert [check.ok for check in verify_all_external()] == [True]
    assert network.exists(), "what was brought stays where it was"


def test_the_same_again_changes_nothing_and_another_by_that_id_is_refused(network: Path, store: Path) -> None:
    first = enrol(network, "lab-x2", store)
    again = enrol(network, "lab-x2", store)
    assert not again.new and again.card.card_sha256 == first.card.card_sha256
    network.write_bytes(onnx_network(seed=9))
    with pytest.raises(PolicyRefused, match=r"model\.external-exists"):
        enrol(network, "lab-x2", store)
    assert load_external("lab-x2").card_sha256 == first.card.card_sha256


@pytest.mark.parametrize("model_id", ["light-x4", "real-esrgan-x4"])
def test_an_id_of_this_programs_own_models_is_not_given_away(network: Path, store: Path, model_id: str) -> None:
    with pytest.raises(PolicyRefused, match=r"model\.id-taken"):
        enrol(network, model_id, store)
    enrol(network, "lab-x2", store)
    (store / "external.models" / "lab-x2").rename(store / "external.models" / model_id)
    with pytest.raises(PolicyRefused, match=r"model\.id-taken"):
        catalogue.build("external-upscale", {"model": model_id})


@pytest.mark.parametrize("model_id", ["", "..", "../x", "a/b", "A", "a.b", "-a", "a" * 65])
def test_no_id_leads_out_of_the_store(network: Path, store: Path, model_id: str) -> None:
    with pytest.raises(PolicyRefused, match=r"model\.id-invalid"):
        enrol(network, model_id, store)
    assert [path.name for path in store.iterdir()] == ["fetches.jsonl"] and not list(store.parent.glob("x"))


@pytest.mark.parametrize("byte", [0, 500, -1])
def test_a_changed_weight_file_is_refused_at_load(network: Path, store: Path, byte: int) -> None:
    card = enrol(network, "lab-x2", store).card
    path = card.folder / card.files[0].name
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    path.write_bytes(data)
    with pytest.raises(PolicyRefused, match=r"model\.digest-mismatch"):
        load_external_model(card)
    assert [(check.ok, check.code) for check in verify_all_external()] == [(False, "model.digest-mismatch")]
    path.write_bytes(data + b"x")
    with pytest.raises(PolicyRefused, match=r"model\.digest-mismatch"):
        load_external_model(card)
    path.unlink()
    with pytest.raises(PolicyRefused, match=r"model\.weights-missing"):
        load_external_model(card)
    with pytest.raises(PolicyRefused, match=r"model\.external-exists"):
        enrol(network, "lab-x2", store)


def test_a_link_in_place_of_the_weights_is_refused(network: Path, store: Path) -> None:
    card = enrol(network, "lab-x2", store).card
    path = card.folder / card.files[0].name
    path.unlink()
    path.symlink_to(network)
    with pytest.raises(PolicyRefused, match=r"model\.weights-missing"):
        load_external_model(card)


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("", "declares no class"),
        ('class = "harmless"', "is no class"),
        ('class = "Fidelity"', "is no class"),
        ('class = "generative"', "Declared generative"),
        ('class = "fidelity"\nclass_declared_by = "Dr. Who"', "declared by the laboratory (Dr. Who), not examined"),
        ('class = "presentation"\nclass_declared_by = "Dr. Who"', "not examined"),
    ],
)
def test_whatever_class_is_declared_or_none_it_is_generative(
    network: Path, store: Path, tmp_path: Path, said: str, word: str
) -> None:
    card = enrol(network, "lab-x2", store, laboratory=laboratory(tmp_path, said)).card
    stage = catalogue.build("external-upscale", {"model": "lab-x2"})
    assert card.stage_class is stage.effective_class is StageClass.GENERATIVE
    assert (
        card.facts()["class"] == card.to_record()["class"] == "generative" and word in card.facts()["class_statement"]
    )


def test_a_lower_class_without_a_name_behind_it_is_refused(network: Path, store: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"model\.laboratory-card"):
        enrol(network, "lab-x2", store, laboratory=laboratory(tmp_path, 'class = "fidelity"'))
    assert external_ids(store) == []


def test_a_card_that_was_rewritten_to_a_lower_class_is_refused(network: Path, store: Path) -> None:
    card = enrol(network, "lab-x2", store).card
    path = card.folder / "card.toml"
    for label in ("fidelity", "presentation", "harmless", ""):
        path.write_text(path.read_text("utf-8").replace('\nclass = "generative"', f'\nclass = "{label}"', 1), "utf-8")
        with pytest.raises(PolicyRefused, match=r"model\.card-invalid"):
            catalogue.build("external-upscale", {"model": "lab-x2"})
        path.write_text(path.read_text("utf-8").replace(f'\nclass = "{label}"', '\nclass = "generative"', 1), "utf-8")
    assert load_external("lab-x2").card_sha256 == card.card_sha256


@pytest.mark.parametrize(
    ("was", "now"), [("scale = 2", "scale = 4"), ("parameters = ", "parameters = 1"), ("noise = false", "noise = true")]
)
def test_a_card_that_says_what_the_model_is_not_is_refused(network: Path, store: Path, was: str, now: str) -> None:
    path = enrol(network, "lab-x2", store).card.folder / "card.toml"
    path.write_text(path.read_text("utf-8").replace(was, now, 1), "utf-8")
    refused_everywhere("lab-x2", read_card("lab-x2"), "model.external-unrecorded")
    with pytest.raises(BadInput, match=r"model\.card-untrue"):
        load_external_model(read_card("lab-x2"))


def test_a_class_statement_that_was_rewritten_is_refused(network: Path, store: Path, tmp_path: Path) -> None:
    card = enrol(network, "lab-x2", store, laboratory=laboratory(tmp_path, "")).card
    path, said = card.folder / "card.toml", card.class_statement
    whole = path.read_text("utf-8")
    path.write_text(whole.replace(said, "Examined by the state's institute: fidelity."), "utf-8")
    refused_everywhere("lab-x2", card, "model.card-invalid")
    # with the declaration put to it, the card agrees with itself and is still not the one that was enrolled
    made_up = "Declared generative by the laboratory."
    path.write_text(whole.replace(said, made_up).replace("\n[source]", 'declared_class = "generative"\n\n[source]'))
    assert read_card("lab-x2").class_statement == made_up
    refused_everywhere("lab-x2", card, "model.external-unrecorded")
    path.write_text(whole.replace(said, "x").replace("\n[source]", 'declared_class = "fidelity"\n\n[source]'), "utf-8")
    refused_everywhere("lab-x2", card, "model.card-invalid")


def test_a_folder_that_was_copied_under_another_id_is_on_no_record_and_refused(network: Path, store: Path) -> None:
    card = enrol(network, "lab-x2", store).card
    twin = store / "external.models" / "lab-twin"
    shutil.copytree(card.folder, twin)
    path = twin / "card.toml"
    path.write_text(path.read_text("utf-8").replace('id = "lab-x2"', 'id = "lab-twin"'), "utf-8")
    refused_everywhere("lab-twin", read_card("lab-twin"), "model.external-unrecorded")
    assert load_external("lab-x2").card_sha256 == card.card_sha256
    with pytest.raises(PolicyRefused, match=r"on no record"):
        network.write_bytes(onnx_network(seed=9))
        enrol(network, "lab-twin", store)


def test_a_folder_from_another_store_is_refused_until_it_is_enrolled_here(
    network: Path, store: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    enrol(network, "lab-x2", other)
    shutil.copytree(other / "external.models", store / "external.models")
    refused_everywhere("lab-x2", read_card("lab-x2"), "model.external-unrecorded")
    assert enrol(network, "lab-x2", store).card == load_external("lab-x2")


def test_without_the_record_nothing_enrolled_is_usable(network: Path, store: Path) -> None:
    card = enrol(network, "lab-x2", store).card
    (store / "fetches.jsonl").unlink()
    refused_everywhere("lab-x2", card, "model.external-unrecorded")
    kept = enrol_off_record(network, "lab-x2", store)
    assert not kept.new
    refused_everywhere("lab-x2", card, "model.external-unrecorded")


def test_withdrawing_removes_the_folder_of_this_attempt_and_no_other(network: Path, store: Path) -> None:
    enrol(network, "lab-x2", store)
    again = read_model(network, "lab-x2", store)
    assert not again.keep().new and not again.withdraw(), "what an earlier call made stays"
    first = read_model(network, "lab-x3", store)
    assert not first.withdraw() and first.keep().new
    (store / "external.models" / "lab-x3").rename(store / "external.models" / "moved")
    shutil.copytree(store / "external.models" / "moved", store / "external.models" / "lab-x3")
    assert not first.withdraw(), "somebody else's by now"
    second = read_model(network, "lab-x4", store)
    assert second.keep().new and second.withdraw() and not second.withdraw()
    assert external_ids(store) == ["lab-x2", "lab-x3", "moved"]


def test_an_id_and_a_root_that_are_no_text_or_have_no_end_are_bounded_on_record(network: Path, store: Path) -> None:
    for odd in ("lab\udcff", "a" * 70_000, "\x00", "\udc80" * 70_000):
        with pytest.raises(PolicyRefused, match=r"model\.id-invalid"):
            add_model(network, odd, None, store=store)
        with pytest.raises(UsageError, match=r"model\.external-root"):
            add_model(network, "lab", None, store=store, root=odd)
    lines = list(noted(store))
    assert len(lines) == 8 and lines[0]["model"] == "lab\\udcff" and lines[1]["given"]["root"] == "lab\\udcff"
    assert lines[2]["model"].endswith("(70000 characters)")
    assert all(len(line) < 2500 for line in (store / "fetches.jsonl").read_text("utf-8").splitlines())


@pytest.mark.parametrize(
    "text",
    ["title = 3", "klass = 'x'", "title = ''", "not toml", 'version = "1"', "\x00", 'title = "a\\u0000"\nscale = 2'],
)
def test_a_laboratorys_card_that_cannot_be_used_is_an_error_in_words(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match=r"model\.laboratory-card"):
        read_laboratory_card(laboratory(tmp_path, text))
    with pytest.raises(BadInput, match=r"model\.laboratory-card"):
        read_laboratory_card(tmp_path)


def test_every_word_of_the_laboratory_is_kept_as_it_was_said(network: Path, store: Path, tmp_path: Path) -> None:
    odd = 'Quote " backslash \\ tab\t DEL \x7f umlaut ü\nline # [x] = 1'
    import json

    text = json.dumps(odd).replace("\x7f", "\\u007f")
    said = f"title = {text}\nlicence = {text}\nlimitations = [{text}]\nversion = '2.3.4'\n"
    enrol(network, "lab-x2", store, laboratory=laboratory(tmp_path, said))
    card = load_external("lab-x2")
    assert (card.title, card.licence, card.version) == (odd, odd, "2.3.4") and odd in card.limitations
    assert card.training == "not stated by the laboratory"


@pytest.mark.parametrize("word", [None, "", "Generative", "FIDELITY", "unknown", "fidelity "])
def test_a_word_that_is_no_class_is_generative(word: str | None) -> None:
    assert declared(word) is StageClass.GENERATIVE


@pytest.mark.parametrize(("kind", "extra"), [("onnx", "int8"), ("safetensors", "external"), ("folder", "diffusers")])
def test_without_its_engine_the_error_names_what_to_install(
    network: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, extra: str
) -> None:
    monkeypatch.setattr(engines, "versions", lambda _: {})
    path = network
    if kind == "safetensors":
        path = pipeline_folder(tmp_path / "p") / "unet" / "diffusion_pytorch_model.safetensors"
    elif kind == "folder":
        path = pipeline_folder(tmp_path / "p")
    with pytest.raises(UsageError) as caught:
        enrol(path, "lab", store)
    assert caught.value.code == "model.engine-missing" and f"forensic-video[{extra}]" in caught.value.remedy
    assert external_ids(store) == []


def test_a_disk_that_takes_no_file_leaves_no_half_model(
    network: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("forensic.registry.external.enrolling.os.fsync", full)
    with pytest.raises(ForensicError, match=r"storage\.failed"):
        enrol_off_record(network, "lab-x2", store)
    assert list((store / "external.models").iterdir()) == []


def test_tiles_sizes_and_threads(network: Path, store: Path) -> None:
    model = load_external_model(enrol(network, "lab-x2", store).card)
    given = picture(71, 53)
    once = model.enlarged(given, 32, 16)
    assert once.shape == (3, 142, 106) and once.dtype == np.float32
    assert np.abs(once - model.enlarged(given, 2048, 16)).max() < 1e-5, "two small convolutions: tiles do not show"
    with ThreadPoolExecutor(3) as pool:
        for made in pool.map(lambda _: model.enlarged(given, 32, 16), range(4)):
            assert made.tobytes() == once.tobytes()


@pytest.mark.parametrize(
    ("values", "code"),
    [({"factor": 3}, "stage.parameters"), ({"seed": 1}, "stage.parameters"), ({"tile": 8}, "stage.parameters")],
)
def test_what_the_model_cannot_do_is_refused(network: Path, store: Path, values: dict[str, int], code: str) -> None:
    enrol(network, "lab-x2", store)
    with pytest.raises(BadInput) as caught:
        catalogue.build("external-upscale", {"model": "lab-x2", **values})
    assert caught.value.code == code


def test_no_parameter_takes_words() -> None:
    """The one text is the model's id: nothing that somebody types reaches a pipeline that takes words."""
    fields = ExternalUpscaleParameters.model_fields
    texts = {name for name, field in fields.items() if field.annotation is not int}
    assert texts == {"model"} and not LaboratoryCard.model_fields.keys() & {"prompt", "words", "conditions"}


def test_a_card_with_words_is_refused(network: Path, store: Path) -> None:
    path = enrol(network, "lab-x2", store).card.folder / "card.toml"
    said = 'prompt_tokens = "2, 3"\nnoise_level = 20\nguidance = 1.0\nscaling_factor = 0.08333\n'
    whole = path.read_text("utf-8")
    path.write_text(whole.replace("[[files]]", f'[conditions]\nwords = "a face"\n{said}\n[[files]]', 1), "utf-8")
    with pytest.raises(PolicyRefused, match=r"model\.card-invalid"):
        read_card("lab-x2")
    path.write_text(whole.replace("[[files]]", f'[conditions]\nwords = "{NO_WORDS}"\n{said}\n[[files]]', 1), "utf-8")
    refused_everywhere("lab-x2", read_card("lab-x2"), "model.external-unrecorded")
    with pytest.raises(BadInput, match=r"model\.card-untrue"):
        load_external_model(read_card("lab-x2"))


def test_other_stages_know_nothing_of_it(network: Path, store: Path) -> None:
    enrol(network, "lab-x2", store)
    for name in ("learned-upscale", "generative-upscale", "learned-sequence", "learned-colour"):
        with pytest.raises(PolicyRefused, match=r"model\.card-missing"):
            catalogue.build(name, {"model": "lab-x2"})


def test_spandrel_diffusers_and_onnxruntime_are_not_imported_to_read_cards(network: Path, store: Path) -> None:
    import subprocess

    enrol(network, "lab-x2", store)
    source = (
        "import sys; from forensic.stages import catalogue\n"
        "catalogue.build('external-upscale', {'model': 'lab-x2'}).record()\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'onnxruntime', 'spandrel', 'diffusers')))"
    )
    assert subprocess.run([sys.executable, "-c", source], check=False).returncode == 0
