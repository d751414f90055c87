"""A small BasicVSR with numbers of its own making, and a models folder that holds it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from forensic.registry.architectures.basicvsr.network import BasicVsr
from forensic.registry.packs.canonical import canonical_safetensors
from tests.registry.conftest import CARD

WIDTH, BLOCKS, LEAST = 4, 1, 8
ID = "tiny-sequence-x4"


def small(width: int = WIDTH, blocks: int = BLOCKS, seed: int = 5) -> BasicVsr:
    """Weights drawn by NumPy, the same on every machine and in every version of torch; flows of a few pixels."""
    network = BasicVsr(4, width, blocks)
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for name, weight in sorted(network.named_parameters()):
            gain = 0.7 if name.startswith("spynet") else 1.15
            draw = generator.standard_normal(weight.shape) * gain / np.sqrt(max(weight[0].numel(), 1))
            weight.copy_(torch.from_numpy(draw.astype(np.float32)))
            if name.startswith("spynet") and name.endswith("8.bias"):
                weight.copy_(torch.from_numpy(generator.uniform(-0.2, 0.2, 2).astype(np.float32)))
    return network.eval().requires_grad_(False)


def write_model(root: Path, *, extra: str = 'works_on = "sequence"', class_line: str = 'class = "fidelity"') -> Path:
    """A models folder under ``root`` with the card and weights of :func:`small`."""
    network = small()
    data = canonical_safetensors({name: value.contiguous().numpy() for name, value in network.state_dict().items()})
    folder = root / ID
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(data)
    text = CARD.format(
        id=ID, class_line=class_line, parameters=sum(weight.numel() for weight in network.parameters()),
        radius=f'"tile"\noverlap = {LEAST}', extra=extra, architecture="basicvsr", scale=4,
        hyperparameters=f"width = {WIDTH}, blocks = {BLOCKS}", file="weights.safetensors",
        digest_line=f'sha256 = "{hashlib.sha256(data).hexdigest()}"',
    )  # fmt: skip
    (folder / "card.toml").write_text(text, encoding="utf-8")
    return root
