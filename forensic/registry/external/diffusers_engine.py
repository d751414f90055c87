"""A laboratory's upscaling pipeline, computed by diffusers (Apache-2.0) without anything that diffusers would look up.

Components are made here from the checked bytes: settings by ``from_config``, numbers by a strict ``load_state_dict``.
Neither ``from_pretrained`` nor the Hub's client is called, so there is no path, cache, remote code or pickle to be led
to, and the Hub's libraries are told to stay offline before they are imported. Noise comes from a generator on the CPU
that begins with the seed for every piece of the picture. Calls go one by one: schedulers keep their place between
steps.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Mapping
from threading import Lock
from typing import Any

import numpy as np
import torch

from forensic.errors import BadInput, UsageError
from forensic.registry.engines import pytorch as _deterministic  # noqa: F401 - one thread, deterministic algorithms
from forensic.registry.external import pipeline_folder
from forensic.registry.external.pipeline_folder import NUMBERS, SCHEDULE, SETTINGS
from forensic.registry.external.spandrel_engine import FAULTS, read_tensors
from forensic.registry.external.trial import enlarged_as_stated, failed, tried

_OFFLINE = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DISABLE_TELEMETRY": "YES",
}  # fmt: skip
_TRIAL_STEPS = 2


class LatentUpscaler:
    """``LDMSuperResolutionPipeline``: latent diffusion beside the picture, without words. One call at a time."""

    noise = True

    def __init__(self, pipeline: Any, parameters: int, who: str) -> None:
        self._pipeline = pipeline
        self._lock = Lock()
        self._who = who
        self.parameters = parameters
        self.architecture = f"{type(pipeline).__name__} ({type(pipeline.scheduler).__name__})"
        folds = 2 ** (len(pipeline.unet.config.block_out_channels) - 1)
        self.scale, self.alignment = tried(lambda picture: self._computed(picture, 0, _TRIAL_STEPS), who, (folds,))

    def run(self, picture: np.ndarray, seed: int, steps: int) -> np.ndarray:
        """As :meth:`forensic.registry.external.engine.ExternalEngine.run`."""
        return enlarged_as_stated(self._computed(picture, seed, steps), picture, self.scale, self._who)

    def _computed(self, picture: np.ndarray, seed: int, steps: int) -> np.ndarray:
        given = torch.from_numpy(np.require(picture, requirements=["C"]) * np.float32(2) - np.float32(1))[None]
        with self._lock, torch.random.fork_rng(devices=[]), torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            try:
                made = self._pipeline(
                    given, num_inference_steps=steps, eta=0.0, generator=torch.Generator("cpu").manual_seed(seed),
                    output_type="pt", return_dict=False,
                )  # fmt: skip
                out: np.ndarray = made[0][0].float().contiguous().numpy()
            except FAULTS as error:
                raise failed(self._who, f"{type(error).__name__}: {error}") from error
        return out


def make_engine(files: Mapping[str, bytes], who: str) -> LatentUpscaler:
    """As :func:`forensic.registry.external.engine.make_engine`, and as ``pipeline_folder.components`` raises."""
    _, classes = pipeline_folder.components(dict(files))
    os.environ.update(_OFFLINE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import diffusers
            from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion_superresolution import (
                LDMSuperResolutionPipeline,
            )
        except (ImportError, RuntimeError, OSError) as error:
            raise UsageError(
                "model.engine-missing", f"{who} is computed by diffusers, which cannot be imported: {error}.",
                "Install this program with its extra diffusers: pip install 'forensic-video[diffusers]'.",
            ) from error  # fmt: skip
        diffusers.utils.logging.set_verbosity_error()
        parts, parameters = {}, 0
        for name, kind in classes.items():
            parts[name], count = _component(getattr(diffusers, kind), name, files, who)
            parameters += count
        pipeline = LDMSuperResolutionPipeline(**parts)
    pipeline.set_progress_bar_config(disable=True)
    return LatentUpscaler(pipeline, parameters, who)


def _component(kind: Any, name: str, files: Mapping[str, bytes], who: str) -> tuple[Any, int]:
    """A component with its numbers, strictly, and how many they are (a scheduler has none)."""
    schedules = kind.__name__.endswith("Scheduler")
    settings = pipeline_folder.settings_of(dict(files), f"{name}/{SCHEDULE if schedules else SETTINGS}")
    known = set(inspect.signature(kind.__init__).parameters)
    settings = {key: value for key, value in settings.items() if key in known}  # what diffusers itself would take
    try:
        made = kind.from_config(settings)
    except FAULTS as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        raise BadInput("model.weights-invalid", f"diffusers cannot build {name} of {who}: {reason}.") from error
    if schedules:
        return made, 0
    tensors = read_tensors(files[f"{name}/{NUMBERS}"], who)
    try:
        made.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:400]
        raise BadInput("model.weights-invalid", f"The numbers of {name} of {who} do not fit: {reason}.") from error
    made.to(dtype=torch.float32).eval().requires_grad_(False)
    return made, sum(tensor.numel() for tensor in tensors.values())
