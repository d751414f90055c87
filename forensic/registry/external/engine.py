"""What computes a laboratory's own model: three engines with one face, each imported where it is first needed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any, Protocol

import numpy as np

from forensic.errors import UsageError
from forensic.registry.external.card import Conditions, EngineName

#: By engine: what to install, and the distributions whose versions go on the record, those that it needs first.
EXTRAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "spandrel": ("external", ("spandrel", "torchvision", "einops")),
    "onnxruntime": ("int8", ("onnxruntime",)),
    "diffusers": ("diffusers", ("diffusers", "transformers", "huggingface-hub")),
}
_NEEDED = {"diffusers": 2}
"""How many of them a model cannot do without, where that is more than one."""


class ExternalEngine(Protocol):
    """A network or pipeline ready to run on R'G'B' pictures."""

    @property
    def architecture(self) -> str:
        """What it is, in the engine's own word."""
        ...

    @property
    def parameters(self) -> int:
        """Numbers that its files hold."""
        ...

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, each way: found by trying."""
        ...

    @property
    def alignment(self) -> int:
        """Sides of what it is given are multiples of this many pixels."""
        ...

    @property
    def noise(self) -> bool:
        """Whether its result depends on a seed."""
        ...

    @property
    def conditions(self) -> Conditions | None:
        """What it is given beside the picture, the same for every picture, if anything."""
        ...

    def run(self, picture: np.ndarray, seed: int, steps: int) -> np.ndarray:
        """Map float32 [3, H, W], 0 to 1, to [3, scale*H, scale*W], not clipped.

        The same picture, seed and steps give the same bytes, whatever ran before and whatever runs beside it. Raises
        ``BadInput`` (``model.external-run``) where the network cannot compute it.
        """
        ...


def make_engine(name: EngineName, files: Mapping[str, bytes], who: str) -> ExternalEngine:
    """An engine of ``files``, checked bytes by name; ``who`` is how messages call the model.

    Raises ``UsageError`` (``model.engine-missing``) and ``BadInput``: ``model.weights-invalid``,
    ``model.program-refused``, ``model.external-architecture``, ``model.external-kind``, ``model.external-run``.
    """
    require_engine(name, who)
    if name == "spandrel":
        from forensic.registry.external import spandrel_engine

        return spandrel_engine.make_engine(files, who)
    if name == "diffusers":
        from forensic.registry.external import diffusers_engine

        return diffusers_engine.make_engine(files, who)
    from forensic.registry.external import onnx_engine

    return onnx_engine.make_engine(files, who)


def require_engine(name: EngineName, who: str) -> None:
    """Raise ``UsageError`` (``model.engine-missing``) if what computes the model is not installed; imports nothing."""
    extra, distributions = EXTRAS[name]
    there = versions(needed := distributions[: _NEEDED.get(name, 1)])
    if len(there) == len(needed):
        return
    raise UsageError(
        "model.engine-missing",
        f"{who} is computed by {' and '.join(needed)}; not installed: "
        f"{', '.join(one for one in needed if one not in there)}.",
        f"Install this program with its extra {extra}: pip install 'forensic-video[{extra}]'.",
    )


def versions(distributions: tuple[str, ...]) -> dict[str, str]:
    """Installed versions of those of ``distributions`` that are there, without importing them."""
    found = {}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def determinism_facts(name: str) -> dict[str, Any]:
    """JSON-able facts, by engine, on which bit-exact repetition of ``name`` (spandrel, diffusers) depends."""
    from forensic.registry.engines.pytorch import determinism_facts as torch_facts

    return {"torch": torch_facts(), name: versions(EXTRAS[name][1])}
