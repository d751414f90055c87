"""A small colour model with numbers of its own making, and a models folder that holds it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from forensic.registry.architectures.chroma.network import GuidedChroma
from forensic.registry.packs.canonical import canonical_safetensors
from tests.registry.conftest import CARD

WIDTH, BLOCKS = 6, 1


def small(enlarged: int = 2, seed: int = 5, tail: float = 0.3) -> GuidedChroma:
    """Weights drawn by NumPy, the same on every machine and in every version of torch; ``tail`` 0 is untrained."""
    network = GuidedChroma(1, enlarged, WIDTH, BLOCKS)
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for name, weight in sorted(network.named_parameters()):
            draw = generator.standard_normal(weight.shape).astype(np.float32)
            gain = tail if name.startswith("tail") else 0.5
            weight.copy_(torch.from_numpy(draw * np.float32(gain / np.sqrt(max(weight[0].numel(), 1)))))
    return network.eval().requires_grad_(False)


def write_model(
    root: Path,
    name: str = "tiny-colour-x2",
    enlarged: int = 2,
    *,
    extra: str = "",
    class_line: str = 'class = "fidelity"',
    tail: float = 0.3,
) -> Path:
    """A models folder under ``root`` with the card and weights of :func:`small`."""
    network = small(enlarged, tail=tail)
    data = canonical_safetensors({key: value.contiguous().numpy() for key, value in network.state_dict().items()})
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(data)
    text = CARD.format(
        id=name, class_line=class_line, parameters=sum(weight.numel() for weight in network.parameters()),
        radius=network.radius, extra=f'works_on = "colour"\nenlarged = {enlarged}\n{extra}',
        architecture="guided-chroma", scale=1,
        hyperparameters=f"enlarged = {enlarged}, width = {WIDTH}, blocks = {BLOCKS}", file="weights.safetensors",
        digest_line=f'sha256 = "{hashlib.sha256(data).hexdigest()}"',
    )  # fmt: skip
    text = text.replace('channels = "luma"', 'channels = "chroma"')
    (folder / "card.toml").write_text(text, encoding="utf-8")
    return root
