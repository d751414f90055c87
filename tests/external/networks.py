"""Networks and folders as a laboratory could bring them, made by hand: small, and whole enough to be computed or
refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

SCHEDULER = "DDIMScheduler"
FILES = {
    "model_index.json": {
        "_class_name": "LDMSuperResolutionPipeline",
        "_diffusers_version": "0.42.1",
        "scheduler": ["diffusers", SCHEDULER],
        "unet": ["diffusers", "UNet2DModel"],
        "vqvae": ["diffusers", "VQModel"],
    },
    "scheduler/scheduler_config.json": {"_class_name": SCHEDULER, "num_train_timesteps": 1000},
    "unet/config.json": {"_class_name": "UNet2DModel", "in_channels": 6, "_name_or_path": "somebody/something"},
    "vqvae/config.json": {"_class_name": "VQModel", "latent_channels": 3},
}

FIRST, LAST = "<|startoftext|>", "<|endoftext|>"
#: The usual local upscaler of diffusers, which takes words: index and settings.
UPSCALER = {
    "model_index.json": {
        "_class_name": "StableDiffusionUpscalePipeline",
        "_diffusers_version": "0.42.1",
        "feature_extractor": [None, None],
        "low_res_scheduler": ["diffusers", "DDPMScheduler"],
        "max_noise_level": 350,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", SCHEDULER],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "watermarker": [None, None],
    },
    "low_res_scheduler/scheduler_config.json": {"_class_name": "DDPMScheduler"},
    "scheduler/scheduler_config.json": {"_class_name": SCHEDULER, "prediction_type": "v_prediction"},
    "text_encoder/config.json": {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model"},
    "tokenizer/tokenizer_config.json": {"model_max_length": 77, "tokenizer_class": "CLIPTokenizer"},
    "tokenizer/special_tokens_map.json": {
        "bos_token": {"content": FIRST, "lstrip": False}, "eos_token": LAST, "pad_token": "!",
    },
    "tokenizer/vocab.json": {"!": 0, "a": 1, FIRST: 2, LAST: 3},
    "unet/config.json": {"_class_name": "UNet2DConditionModel", "in_channels": 7},
    "vae/config.json": {"_class_name": "AutoencoderKL", "scaling_factor": 0.08333},
}  # fmt: skip


class Planted:
    """Unpickled by pickle, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def onnx_network(*, scale: int = 2, seed: int = 0, change: Callable[[Any], None] | None = None) -> bytes:
    """Interpolates and adds what two convolutions make: red, green and blue, any size. ``change`` alters the model."""
    import onnx  # not in every environment that reads this module
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(seed)
    constants = {
        "first": (rng.normal(size=(4, 3, 3, 3)) * 0.2).astype(np.float32),
        "second": (rng.normal(size=(3 * scale * scale, 4, 3, 3)) * 0.05).astype(np.float32),
        "scales": np.array([1, 1, scale, scale], np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["picture", "first"], ["a"], pads=[1] * 4),
        helper.make_node("LeakyRelu", ["a"], ["b"], alpha=0.2),
        helper.make_node("Conv", ["b", "second"], ["c"], pads=[1] * 4),
        helper.make_node("DepthToSpace", ["c"], ["detail"], blocksize=scale),
        helper.make_node("Resize", ["picture", "", "scales"], ["plain"], mode="linear"),
        helper.make_node("Add", ["detail", "plain"], ["larger"]),
    ]
    given = helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, "rows", "columns"])
    made = helper.make_tensor_value_info("larger", TensorProto.FLOAT, [1, 3, "rows2", "columns2"])
    arrays = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "network", [given], [made], arrays)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if change is not None:
        change(model)
    data: bytes = onnx.ModelProto.SerializeToString(model)
    return data


def pipeline_folder(folder: Path, **changes: Any) -> Path:
    """A folder that looks like a pipeline; ``changes`` are files by name, None to leave one out."""
    return _folder(folder, FILES, ("unet/diffusion_pytorch_model", "vqvae/diffusion_pytorch_model"), changes)


def upscaler_folder(folder: Path, **changes: Any) -> Path:
    """A folder that looks like an upscaler with words; ``changes`` as for :func:`pipeline_folder`."""
    stems = ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model")
    return _folder(folder, UPSCALER, stems, {"tokenizer/merges.txt": b"#version: 0.2\n", **changes})


def numbers(kind: Any = np.float32) -> bytes:
    """A safetensors file with one tensor."""
    return safetensors.numpy.save({"weight": np.zeros((2, 2), kind)})


def _folder(folder: Path, tables: dict[str, Any], stems: tuple[str, ...], changes: dict[str, Any]) -> Path:
    files: dict[str, Any] = {**tables, **{f"{stem}.safetensors": numbers() for stem in stems}, **changes}
    for name, value in files.items():
        if value is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    return folder
