"""Components of a pipeline, made from checked bytes: settings by ``from_config``, numbers by a strict
``load_state_dict``.

``from_pretrained`` and the Hub's client are not called, so there is no path, cache, remote code or pickle to be led to,
and the Hub's libraries are told to stay offline before they are imported. All is computed in float32. Numbers in half
precision are widened, which changes none of them; other kinds of numbers than the component's own are refused.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from forensic.errors import BadInput, UsageError
from forensic.registry.external.pipeline_index import Described, settings_of
from forensic.registry.external.pipeline_kinds import PIPELINES
from forensic.registry.external.spandrel_engine import FAULTS, read_tensors

_OFFLINE = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DISABLE_TELEMETRY": "YES",
}  # fmt: skip
_HALVES = (torch.float16, torch.bfloat16)
#: Names that layers of attention had in diffusers before 0.17, and have today: files of that time are in use.
_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
#: What CLIPTextConfig takes from the settings, and no more: of its other keys some choose other code.
_TEXT_SETTINGS = (
    "vocab_size", "hidden_size", "intermediate_size", "projection_dim", "num_hidden_layers", "num_attention_heads",
    "max_position_embeddings", "hidden_act", "layer_norm_eps", "attention_dropout", "initializer_range",
    "initializer_factor", "pad_token_id", "bos_token_id", "eos_token_id",
)  # fmt: skip
_TEXT_PREFIX, _POSITIONS = "text_model.", "embeddings.position_ids"


class Parts:
    """Makes components of ``pipeline`` out of ``files``, and counts their numbers. ``who``: the model, for messages."""

    def __init__(self, files: Mapping[str, bytes], pipeline: Described, who: str) -> None:
        self._files, self._pipeline, self._who = files, pipeline, who
        self.parameters = 0

    def made(self, name: str) -> Any:
        """The component of diffusers by that name, ready; a scheduler has no numbers.

        Raises ``BadInput`` (``model.weights-invalid``) and ``UsageError`` (``model.engine-missing``).
        """
        with imported(self._who):
            import diffusers

            kind = getattr(diffusers, self._pipeline.classes[name])
        known = set(inspect.signature(kind.__init__).parameters)
        taken = {key: value for key, value in self._settings(name).items() if key in known}  # as diffusers itself
        with built(f"{name} of {self._who}"):
            made = kind.from_config(taken)
        return self._filled(made, name) if name in self._pipeline.numbers else made

    def text_encoder(self) -> Any:
        """The pipeline's text encoder, of transformers. Raises as :meth:`made`."""
        with imported(self._who):
            import transformers
            from huggingface_hub.errors import StrictDataclassError
            from transformers import CLIPTextConfig, CLIPTextModel

            transformers.utils.logging.set_verbosity_error()
        settings = self._settings("text_encoder")
        taken = {name: settings[name] for name in _TEXT_SETTINGS if name in settings}
        with built(f"text_encoder of {self._who}"):
            try:
                made = CLIPTextModel(CLIPTextConfig(**taken))
            except StrictDataclassError as error:
                raise ValueError(str(error)) from error
        return self._filled(made, "text_encoder")

    def _settings(self, name: str) -> dict[str, Any]:
        part = PIPELINES[self._pipeline.name].parts[name]
        return settings_of(self._files, f"{name}/{part.settings}")

    def _filled(self, made: Any, name: str) -> Any:
        """``made`` with its numbers, each of the kind that it has, or of half precision and widened."""
        wanted = made.state_dict()
        tensors = read_tensors(self._files[self._pipeline.numbers[name]], self._who)
        self.parameters += sum(tensor.numel() for tensor in tensors.values())
        tensors = self._without_positions(_renamed(tensors, wanted), wanted)
        for key, tensor in tensors.items():
            own = wanted[key].dtype if key in wanted else tensor.dtype
            if tensor.dtype != own and not (own == torch.float32 and tensor.dtype in _HALVES):
                raise BadInput(
                    "model.weights-invalid",
                    f"Tensor {key[:100]!r} of {name} of {self._who} is {tensor.dtype}, where {own} belongs.",
                )
        try:
            made.load_state_dict(tensors, strict=True)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:400]
            raise BadInput(
                "model.weights-invalid", f"The numbers of {name} of {self._who} do not fit: {reason}."
            ) from error
        return made.to(dtype=torch.float32).eval().requires_grad_(False)

    def _without_positions(
        self, tensors: dict[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Without the numbers 0, 1, 2 … of places, which older text encoders kept: they must be these."""
        key = next((one for one in (_POSITIONS, _TEXT_PREFIX + _POSITIONS) if one in tensors), None)
        if key is None or key in wanted:
            return tensors
        found = tensors[key].flatten()
        if not torch.equal(found.double(), torch.arange(len(found)).double()):
            raise BadInput("model.weights-invalid", f"{key} of {self._who} are not the places 0, 1, 2 …")
        return {name: tensor for name, tensor in tensors.items() if name != key}


@contextmanager
def imported(who: str) -> Iterator[None]:
    """Import in here, offline and silently. Raises ``UsageError`` (``model.engine-missing``) where that fails."""
    os.environ.update(_OFFLINE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (ImportError, RuntimeError, OSError) as error:
            raise _missing(who, error) from error


@contextmanager
def built(what: str) -> Iterator[None]:
    """Build ``what`` in here, silently.

    Raises ``BadInput`` (``model.weights-invalid``) for what the libraries raise, ``UsageError``
    (``model.engine-missing``) where they lack something that it needs (``LMSDiscreteScheduler``: SciPy).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except ImportError as error:
            raise _missing(what, error) from error
        except FAULTS as error:
            reason = f"{type(error).__name__}: {_told(error)}"
            raise BadInput("model.weights-invalid", f"diffusers cannot build {what}: {reason}.") from error


def _missing(who: str, error: Exception) -> UsageError:
    return UsageError(
        "model.engine-missing",
        f"{who} is computed by diffusers, which cannot be used: {_told(error)}.",
        "Install what it lacks, or this program with its extra diffusers: pip install 'forensic-video[diffusers]'.",
    )


def _renamed(tensors: dict[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """``tensors`` by the names of today: attention's, and with or without the text encoder's prefix."""
    found = {}
    for key, tensor in tensors.items():
        name = key
        if name not in wanted:
            path, _, leaf = name.rpartition(".")
            path, _, old = path.rpartition(".")
            named = (f"{path}.{_ATTENTION.get(old, old)}.{leaf}", key.removeprefix(_TEXT_PREFIX), _TEXT_PREFIX + key)
            name = next((one for one in named if one in wanted and one not in tensors), key)
        found[name] = tensor
    return found


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
