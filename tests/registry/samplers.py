"""A tiny sampler, written as real files: the architecture of diffusion-x4 with few channels and drawn weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

import safetensors.torch
import torch

from forensic.registry.architectures.residual_shift.network import ResidualShift
from tests.registry.conftest import CARD

HYPERPARAMETERS = {
    "width": 6, "middle": 6, "deep": 6, "blocks": 1, "noise": 400,
    "single_width": 4, "single_blocks": 1, "single_fold": 2, "single_fused": 1,
}  # fmt: skip
ID = "tiny-noise-x4"


def make(root: Path, *, works_on: str | None = "noise", class_label: str = "generative") -> Path:
    """Write the model under ``root`` and return ``root``; torch's own random state is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = ResidualShift(4, **HYPERPARAMETERS)
    data = safetensors.torch.save({name: value.contiguous() for name, value in network.state_dict().items()})
    text = CARD.format(
        id=ID, class_line=f'class = "{class_label}"', scale=4,
        extra="" if works_on is None else f'works_on = "{works_on}"', architecture="residual-shift",
        parameters=sum(one.numel() for one in network.parameters()), radius=network.radius,
        hyperparameters=", ".join(f"{name} = {value}" for name, value in HYPERPARAMETERS.items()),
        file="weights.safetensors", digest_line=f'sha256 = "{hashlib.sha256(data).hexdigest()}"',
    ).replace('channels = "luma"', 'channels = "rgb"')  # fmt: skip
    folder = root / ID
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(data)
    (folder / "card.toml").write_text(text, encoding="utf-8")
    return root
