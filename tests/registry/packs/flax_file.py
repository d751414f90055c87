"""What Flax's users pickle: nested dictionaries of NumPy arrays, by the older names that NumPy had then."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np


def flax_file(tree: Any) -> bytes:
    """``tree`` as a pickle of protocol 3, as NumPy 1 wrote it."""
    return pickle.dumps(tree, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def tree_of(state: dict[str, np.ndarray]) -> dict[str, Any]:
    """A state dictionary of torch in Flax's form: names apart, kernels as rows, columns, inputs, outputs."""
    tree: dict[str, Any] = {}
    for name, value in state.items():
        *path, last = name.split(".")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        is_kernel = last == "weight" and value.ndim == 4
        place["kernel" if is_kernel else last] = (
            np.ascontiguousarray(value.transpose(2, 3, 1, 0)) if is_kernel else value
        )
    return tree
