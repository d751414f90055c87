"""A laboratory's upscaling pipeline, computed by diffusers (Apache-2.0) without anything that diffusers would look up.

Components come from checked bytes (:mod:`forensic.registry.external.diffusers_parts`). Noise comes from a generator on
the CPU that begins with the seed for every piece of the picture. Calls go one by one: schedulers keep their place
between steps. A pipeline that takes words gets the empty text, always: its text encoder is asked once, with the token
numbers of that text, and let go; there is no tokenizer, and nothing that a word could be given to.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import torch

from forensic.registry.engines import pytorch as _deterministic  # noqa: F401 - one thread, deterministic algorithms
from forensic.registry.external.card import NO_WORDS, Conditions
from forensic.registry.external.diffusers_parts import Parts, built, imported
from forensic.registry.external.empty_text import in_short
from forensic.registry.external.pipeline_index import NOISE_LEVEL, Described, described
from forensic.registry.external.spandrel_engine import FAULTS
from forensic.registry.external.trial import enlarged_as_stated, failed, tried

GUIDANCE = 1.0
"""None: guidance goes from what the empty text gives towards what the words give, and the words are the empty text."""
_TRIAL_STEPS = 4  # PNDMScheduler begins with four of Runge and Kutta


@dataclass(frozen=True)
class Call:
    """How a pipeline is called: in which range it wants the picture, and with what beside it, for every picture."""

    lowest: float
    arguments: Mapping[str, Any]
    alignment: int
    conditions: Conditions | None = None


class PipelineUpscaler:
    """A pipeline that makes a larger picture of a picture and noise. One call at a time."""

    noise = True

    def __init__(self, pipeline: Any, call: Call, parameters: int, who: str) -> None:
        self._pipeline, self._call, self._who = pipeline, call, who
        self._lock = Lock()
        self.parameters = parameters
        self.conditions = call.conditions
        self.architecture = f"{type(pipeline).__name__} ({type(pipeline.scheduler).__name__})"
        self.scale, self.alignment = tried(
            lambda picture: self._computed(picture, 0, _TRIAL_STEPS), who, (call.alignment,)
        )

    def run(self, picture: np.ndarray, seed: int, steps: int) -> np.ndarray:
        """As :meth:`forensic.registry.external.engine.ExternalEngine.run`."""
        return enlarged_as_stated(self._computed(picture, seed, steps), picture, self.scale, self._who)

    def _computed(self, picture: np.ndarray, seed: int, steps: int) -> np.ndarray:
        lowest = np.float32(self._call.lowest)
        # cut off: diffusers tells the range of a picture that begins at 0 by whether anything in it lies below
        inside = np.clip(np.require(picture, requirements=["C"]), 0, 1)
        given = torch.from_numpy(inside * (1 - lowest) + lowest)[None]
        with self._lock, torch.random.fork_rng(devices=[]), torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            try:
                made = self._pipeline(
                    image=given, num_inference_steps=steps, eta=0.0, generator=torch.Generator("cpu").manual_seed(seed),
                    output_type="pt", return_dict=False, **self._call.arguments,
                )  # fmt: skip
                out: np.ndarray = made[0][0].float().contiguous().numpy()
            except (ImportError, *FAULTS) as error:
                raise failed(self._who, f"{type(error).__name__}: {error}") from error
        return out


def make_engine(files: Mapping[str, bytes], who: str) -> PipelineUpscaler:
    """As :func:`forensic.registry.external.engine.make_engine`, and as ``pipeline_index.described`` raises."""
    pipeline = described(files)
    parts = Parts(files, pipeline, who)
    with imported(who):
        import diffusers

        diffusers.utils.logging.set_verbosity_error()
    made, call = (_with_empty_text if pipeline.tokens is not None else _without_words)(parts, pipeline, who)
    made.set_progress_bar_config(disable=True)
    return PipelineUpscaler(made, call, parts.parameters, who)


def _without_words(parts: Parts, pipeline: Described, who: str) -> tuple[Any, Call]:
    """``LDMSuperResolutionPipeline``: latent diffusion beside the picture."""
    with imported(who):
        from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion_superresolution import (
            LDMSuperResolutionPipeline,
        )
    components = {name: parts.made(name) for name in pipeline.classes}
    with built(who):
        made = LDMSuperResolutionPipeline(**components)
        return made, Call(-1.0, {}, _folds(made.unet))


def _with_empty_text(parts: Parts, pipeline: Described, who: str) -> tuple[Any, Call]:
    """``StableDiffusionUpscalePipeline``, with what its text encoder makes of the empty text."""
    with imported(who):
        from diffusers import StableDiffusionUpscalePipeline
    components = {name: parts.made(name) for name in pipeline.classes if name not in ("text_encoder", "tokenizer")}
    encoder, tokens = parts.text_encoder(), pipeline.tokens or []
    limit = {} if pipeline.noise_limit is None else {"max_noise_level": pipeline.noise_limit}
    with built(who), torch.inference_mode():
        embedded = encoder(torch.tensor([tokens]))[0]
        made = StableDiffusionUpscalePipeline(text_encoder=None, tokenizer=None, **components, **limit)
        conditions = Conditions(
            words=NO_WORDS, prompt_tokens=in_short(tokens), noise_level=NOISE_LEVEL, guidance=GUIDANCE,
            scaling_factor=float(made.vae.config.scaling_factor),
        )  # fmt: skip
        arguments = {
            "prompt": None, "prompt_embeds": embedded, "noise_level": NOISE_LEVEL, "guidance_scale": GUIDANCE,
        }  # fmt: skip
        return made, Call(0.0, arguments, max(_folds(made.unet), made.vae_scale_factor), conditions)


def _folds(unet: Any) -> int:
    """Of how many pixels sides are multiples in a U-Net that halves them between its levels."""
    return int(2 ** (len(unet.config.block_out_channels) - 1))
