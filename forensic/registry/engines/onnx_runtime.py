"""ONNX Runtime as engine: a network with its operators in one ONNX file, float32 or of 8-bit integers.

ONNX Runtime is an optional extra (``int8``). What is made sure of here, so that pixels repeat: the file is
held against a list of operators (:mod:`forensic.registry.engines.onnx_file`); one session of one thread,
operators in sequence, a stated optimisation level, the CPU provider alone.

8-bit convolutions are exact: products of u8 and s8 are summed in 32-bit integers, and weights within
±64 keep the 16-bit sums of processors without VNNI from saturating, so AVX2, AVX-512 and VNNI kernels
agree. The layers that stay in float32 may round differently between instruction sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from forensic.errors import BadInput, UsageError
from forensic.registry.card import ModelCard
from forensic.registry.engines import onnx_file
from forensic.registry.engines.onnx_file import INPUT, OUTPUT, OnnxFile, Refused
from forensic.registry.engines.protobuf import WireError

PROVIDER = "CPUExecutionProvider"
#: As the Linux kernel names them: what kernels for 8-bit integers and float32 are chosen by.
INSTRUCTION_SETS = (
    "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8",
    "asimddp", "i8mm",
)  # fmt: skip

_TRIAL = 256  # pixels; a network that sees farther than half of this fails on it
_WRONG_FILE = "The file and the card do not belong together; restore the model's folder from a trusted copy."


@dataclass(frozen=True)
class OnnxEngine:
    """A session of ONNX Runtime over a file that passed."""

    session: Any
    parameters: int
    scale: int
    alignment: int
    context: int

    @property
    def radius(self) -> int:
        """A pixel lies up to ``alignment - 1`` pixels inside its place."""
        return self.context + self.alignment - 1

    def run(self, padded: np.ndarray) -> np.ndarray:
        """As :meth:`forensic.registry.engines.engine.Engine.run`."""
        out: np.ndarray = self.session.run([OUTPUT], {INPUT: np.ascontiguousarray(padded)[None, None]})[0][0, 0]
        return out


def make_engine(card: ModelCard, data: bytes) -> OnnxEngine:
    """Make a session of ``data``, the checked bytes of the card's ONNX file.

    How far the network sees is found by trying: what a plane loses at its sides is what it looks at,
    because no convolution pads. Raises ``UsageError`` (``model.engine-missing``) without ONNX Runtime, and
    ``BadInput``: ``model.weights-invalid`` (not ONNX, or nothing that can be computed),
    ``model.program-refused`` (holds something that is not on the list), ``model.precision-mismatch``.
    """
    runtime = require_runtime(f"Model {card.id}")
    try:
        program = onnx_file.read(data)
    except Refused as error:
        raise BadInput(
            "model.program-refused", f"The ONNX file of model {card.id} is refused: {error}.", _WRONG_FILE
        ) from error
    except WireError as error:
        raise BadInput(
            "model.weights-invalid", f"The weights of model {card.id} are not ONNX: {error}.", _WRONG_FILE
        ) from error
    if program.precision != card.precision:
        raise BadInput(
            "model.precision-mismatch",
            f"The ONNX file of model {card.id} is {program.precision}; its card says {card.precision}.",
            _WRONG_FILE,
        )
    faults = runtime.capi.onnxruntime_pybind11_state
    try:
        session = runtime.InferenceSession(data, session_options(runtime), providers=[PROVIDER])
        return measured(session, program)
    except (
        faults.Fail, faults.InvalidArgument, faults.InvalidGraph, faults.InvalidProtobuf, faults.NotImplemented,
        faults.RuntimeException, Refused,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:400]
        raise BadInput(
            "model.weights-invalid", f"The ONNX file of model {card.id} cannot be computed: {reason}.", _WRONG_FILE
        ) from error


def measured(session: Any, program: OnnxFile) -> OnnxEngine:
    """An engine of ``session``, whose geometry is found by trying. Raises ``Refused`` if it has none."""
    alignment, enlarged = program.block("SpaceToDepth"), program.block("DepthToSpace")
    if alignment < 1 or enlarged < 1 or enlarged % alignment:
        raise Refused(f"it folds {alignment} and unfolds {enlarged} pixels")
    scale, side = enlarged // alignment, _TRIAL // alignment * alignment
    out = session.run([OUTPUT], {INPUT: np.zeros((1, 1, side, side), np.float32)})[0]
    lost = side - out.shape[-1] // scale
    if out.dtype != np.float32 or out.shape != (1, 1, out.shape[-1], out.shape[-1]) or lost < 0 or lost % 2:
        raise Refused(f"it makes {out.dtype} {list(out.shape)} of a plane of {side} x {side}")
    return OnnxEngine(session, program.parameters, scale, alignment, lost // 2)


def require_runtime(who: str) -> Any:
    """The package onnxruntime. Raises ``UsageError`` (``model.engine-missing``), saying ``who`` needs it."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(
            "model.engine-missing",
            f"{who} is computed by ONNX Runtime, which is not installed.",
            "Install this program with its extra int8, or use a model of precision float32.",
        ) from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def session_options(runtime: Any) -> Any:
    """Options of every session: one thread, in sequence, deterministic, all optimisations."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.use_deterministic_compute = True
    options.log_severity_level = 3  # errors alone: they come as exceptions too
    return options


def determinism_facts() -> dict[str, Any]:
    """JSON-able facts on which bit-exact repetition depends, for the run's record."""
    runtime = require_runtime("A model of this run")
    return {
        "onnxruntime": runtime.__version__,
        "provider": PROVIDER,
        "intra_op_threads": 1,
        "inter_op_threads": 1,
        "execution": "sequential",
        "graph_optimisation": "all",
        "deterministic_compute": True,
        "instruction_sets": _instruction_sets(),
    }


@cache
def _instruction_sets() -> list[str] | str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return "not known on this system"
    told = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    have = set(told.partition(":")[2].split())
    return [name for name in INSTRUCTION_SETS if name in have]
