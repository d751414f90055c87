"""Tensors as a safetensors file of which there is only one: the same tensors give the same bytes.

The safetensors format leaves open in which order names and data come and how the header is spaced. Here
names are sorted (by their UTF-8), data follow in that order without gaps, the header is JSON without
spaces, with the keys ``data_offsets``, ``dtype``, ``shape``, filled up with spaces to a multiple of 8 bytes. So
the SHA-256 of the file is a digest of names, dtypes, shapes and values, and ``sha256sum`` checks it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from forensic.errors import BadInput


def canonical_safetensors(tensors: Mapping[str, np.ndarray]) -> bytes:
    """The one file that holds ``tensors``, all float32 and finite. Raises ``BadInput`` (``model.pack-weights``)."""
    header: dict[str, dict[str, object]] = {}
    parts: list[bytes] = []
    at = 0
    for name in sorted(tensors, key=lambda name: name.encode("utf-8")):
        tensor = tensors[name]
        if tensor.dtype != np.float32 or not np.isfinite(tensor).all() or name == "__metadata__":
            raise BadInput(
                "model.pack-weights",
                f"Tensor {name!r} ({tensor.dtype}) is not finite float32.",
                "A card must name those that are left out; this pack does not fit its card.",
            )
        data = np.ascontiguousarray(tensor, "<f4").tobytes()
        header[name] = {"data_offsets": [at, at + len(data)], "dtype": "F32", "shape": list(tensor.shape)}
        parts.append(data)
        at += len(data)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)
