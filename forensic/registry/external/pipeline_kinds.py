"""The pipelines of diffusers that are known here: their components, what each may be, and in which files it lies."""

from __future__ import annotations

from dataclasses import dataclass

from forensic.errors import BadInput

INDEX = "model_index.json"
SETTINGS, SCHEDULE = "config.json", "scheduler_config.json"
#: Files of a tokenizer. Its list of merges (``merges.txt``) is a text about how texts are split: none is split here.
VOCABULARY, WORDS, WORD_SETTINGS, SPECIAL = (
    "vocab.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
)  # fmt: skip
#: Files of numbers by name without variant and suffix, and the variants by which files of half precision go.
STEMS = ("diffusion_pytorch_model", "model")
VARIANTS = ("fp16", "bf16")

_LDM_SCHEDULERS = frozenset(
    {
        "DDIMScheduler", "PNDMScheduler", "LMSDiscreteScheduler", "EulerDiscreteScheduler",
        "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A component: the classes that it may be, of which library, its settings, and the stem of its numbers, if any.

    ``also`` are further files that it may have (a tokenizer's).
    """

    classes: frozenset[str]
    settings: str = SETTINGS
    stem: str | None = STEMS[0]
    library: str = "diffusers"
    also: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Kind:
    """A pipeline: its components by name, those that it can have and must not, and whether its index has a limit.

    ``absent``: watermark, filter and the like. They would change or withhold pictures; the index says null for them.
    """

    parts: dict[str, Part]
    absent: frozenset[str] = frozenset()
    noise_limit: bool = False


PIPELINES: dict[str, Kind] = {
    "LDMSuperResolutionPipeline": Kind(
        {
            "unet": Part(frozenset({"UNet2DModel"})),
            "vqvae": Part(frozenset({"VQModel"})),
            "scheduler": Part(_LDM_SCHEDULERS, SCHEDULE, None),
        }
    ),
    "StableDiffusionUpscalePipeline": Kind(
        {
            "unet": Part(frozenset({"UNet2DConditionModel"})),
            "vae": Part(frozenset({"AutoencoderKL"})),
            "text_encoder": Part(frozenset({"CLIPTextModel"}), stem=STEMS[1], library="transformers"),
            "tokenizer": Part(
                frozenset({"CLIPTokenizer"}), WORD_SETTINGS, None, "transformers",
                frozenset({VOCABULARY, WORDS, SPECIAL}),
            ),
            "scheduler": Part(_LDM_SCHEDULERS | {"DDPMScheduler"}, SCHEDULE, None),
            "low_res_scheduler": Part(frozenset({"DDPMScheduler", "DDIMScheduler"}), SCHEDULE, None),
        },
        absent=frozenset({"watermarker", "safety_checker", "feature_extractor"}),
        noise_limit=True,
    ),
}  # fmt: skip


def number_files(stem: str) -> tuple[str, ...]:
    """Names by which the numbers of a component may go: the plain one first, then its variants."""
    return (f"{stem}.safetensors", *(f"{stem}.{variant}.safetensors" for variant in VARIANTS))


#: Names of all files that components of any of these pipelines have.
FILES = frozenset({SETTINGS, SCHEDULE, VOCABULARY, WORDS, WORD_SETTINGS, SPECIAL}).union(*map(number_files, STEMS))


def refused(what: str, why: str, remedy: str = "") -> BadInput:
    """The error ``model.external-WHAT`` of a pipeline's folder that is not taken."""
    return BadInput(f"model.external-{what}", f"The pipeline's folder is refused: {why}.", remedy)
