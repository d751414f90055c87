"""A laboratory's ONNX file, computed by ONNX Runtime as the models of this program are: one thread, in sequence, CPU
alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from forensic.errors import BadInput
from forensic.registry.engines.onnx_file import Refused
from forensic.registry.engines.onnx_runtime import PROVIDER, require_runtime, session_options
from forensic.registry.engines.protobuf import WireError
from forensic.registry.external import onnx_program
from forensic.registry.external.material import PROGRAM
from forensic.registry.external.onnx_program import OnnxProgram
from forensic.registry.external.trial import enlarged_as_stated, failed, tried


@dataclass(frozen=True)
class OnnxNetwork:
    """A session over a file that passed. Safe to call from several threads."""

    session: Any
    faults: tuple[type[Exception], ...]
    program: OnnxProgram
    who: str
    scale: int = 0
    alignment: int = 1
    architecture: str = "ONNX"
    noise: bool = False
    conditions: None = None

    @property
    def parameters(self) -> int:
        """Numbers in the file's constants."""
        return self.program.parameters

    def run(self, picture: np.ndarray, seed: int, steps: int) -> np.ndarray:
        """As :meth:`forensic.registry.external.engine.ExternalEngine.run`; ``seed`` and ``steps`` change nothing."""
        return enlarged_as_stated(self.computed(picture), picture, self.scale, self.who)

    def computed(self, picture: np.ndarray) -> np.ndarray:
        """What the file makes of ``picture``, as it comes. Raises ``BadInput`` (``model.external-run``)."""
        given = {self.program.given: np.ascontiguousarray(picture)[None]}
        try:
            out: np.ndarray = self.session.run([self.program.made], given)[0]
        except self.faults as error:
            raise failed(self.who, str(error)) from error
        if not isinstance(out, np.ndarray) or out.ndim != 4 or out.shape[0] != 1:
            raise failed(self.who, "it made something else than one picture")
        return out[0]


def make_engine(files: Mapping[str, bytes], who: str) -> OnnxNetwork:
    """As :func:`forensic.registry.external.engine.make_engine`."""
    runtime = require_runtime(who)
    data = files[PROGRAM]
    try:
        program = onnx_program.read(data)
    except Refused as error:
        raise BadInput(
            "model.program-refused", f"The ONNX file of {who} is refused: {error}.",
            "Export it with operators of the standard set alone, numbers inside the file.",
        ) from error  # fmt: skip
    except WireError as error:
        raise BadInput("model.weights-invalid", f"{who} is not ONNX: {error}.") from error
    found = runtime.capi.onnxruntime_pybind11_state
    faults = (
        found.Fail, found.InvalidArgument, found.InvalidGraph, found.InvalidProtobuf, found.NotImplemented,
        found.RuntimeException,
    )  # fmt: skip
    try:
        session = runtime.InferenceSession(data, session_options(runtime), providers=[PROVIDER])
    except faults as error:
        reason = " ".join(str(error).split())[:400]
        raise BadInput("model.weights-invalid", f"The ONNX file of {who} cannot be computed: {reason}.") from error
    network = OnnxNetwork(session, faults, program, who)
    scale, alignment = tried(network.computed, who)
    return OnnxNetwork(session, faults, program, who, scale, alignment)
