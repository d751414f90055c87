"""A tiny model of the real architecture, written as real files, for the tests to attack."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from forensic.registry.architectures.luma_residual.network import LumaResidual

CARD = """\
id = "{id}"
version = "1.0.0"
title = "Tiny test network"
{class_line}
scale = {scale}
channels = "luma"
precision = "float32"
parameters = {parameters}
receptive_field = {radius}
licence = "Apache-2.0"
explanation = "For tests."
calibration = "uncalibrated"
known_artefacts = ["random"]
limitations = ["untrained"]
references = ["none"]
{extra}

[architecture]
name = "{architecture}"
hyperparameters = {{ {hyperparameters} }}

[weights]
file = "{file}"
{digest_line}

[forward_model]
blur = "gaussian"
blur_sigma = [0.4, 1.2]
downsample = "area"

[training]
data = "none"
data_list = "none"
data_licences = "none"
degradation = "none"
loss = "none"
optimiser = "none"
schedule = "none"
seed = 1
duration = "none"
software = "none"
recipe = "none"

[[measured]]
metric = "PSNR-Y"
unit = "dB"
method = "tiny"
value = 1.0
n = 1
conditions = "none"
"""


class ModelMaker:
    """Writes model folders; keyword arguments replace what an honest card would say."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def make(self, name: str = "tiny-x2", *, seed: int = 1, width: int = 4, depth: int = 2, **changes: Any) -> Path:
        torch.manual_seed(seed)
        network = LumaResidual(2, width, depth)
        data = changes.get("data") or safetensors.torch.save(
            {key: value.contiguous() for key, value in network.state_dict().items()}
        )
        facts = {
            "id": name,
            "class_line": 'class = "fidelity"',
            "parameters": sum(weight.numel() for weight in network.parameters()),
            "radius": network.radius,
            "extra": "",
            "architecture": "luma-residual",
            "scale": 2,
            "hyperparameters": f"width = {width}, depth = {depth}",
            "file": "weights.safetensors",
            "digest_line": f'sha256 = "{hashlib.sha256(data).hexdigest()}"',
        }
        facts.update({key: value for key, value in changes.items() if key != "data"})
        folder = self.root / name
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_bytes(data)
        (folder / "card.toml").write_text(CARD.format(**facts), encoding="utf-8")
        return folder


@pytest.fixture
def models(tmp_path: Path) -> ModelMaker:
    return ModelMaker(tmp_path / "models")
