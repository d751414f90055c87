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
    numbers = safetensors.numpy.save({"weight": np.zeros((2, 2), np.float32)})
    files: dict[str, bytes] = {name: json.dumps(table).encode() for name, table in FILES.items()}
    files |= {f"{part}/diffusion_pytorch_model.safetensors": numbers for part in ("unet", "vqvae")}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    for name, value in changes.items():
        path = folder / name
        if value is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    return folder
