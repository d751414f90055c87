"""Make the weights of light-x4-int8 from those of light-x4. Re-runnable end to end.

    python models/light-x4-int8/quantise.py --photos DIR --out DIR

Static quantisation after training (ONNX Runtime's quantiser, QDQ form): activations are unsigned 8-bit
integers with one scale each, weights signed integers of 7 bits with a scale per output channel. Ranges of
activations are calibrated on simulated recordings of light-x4's training photographs; validation photographs
only measure what was lost. Seven bits, so that two products of an activation and a weight fit into 16 bits:
then processors with and without VNNI compute the same integers.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from graph import CUBIC_BIAS, KEPT_FLOAT, build, packed
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from forensic.registry.architectures.nafnet.network import NafNet
from forensic.registry.cards import load_card
from forensic.registry.engines.onnx_file import INPUT, OUTPUT
from forensic.registry.engines.pytorch import TorchEngine
from forensic.registry.loading import load_model
from forensic.simulation.draw import draw
from forensic.simulation.simulator import simulate
from forensic.validation.fidelity import inside, psnr

sys.path.append(str(Path(__file__).resolve().parents[1] / "light-x4"))
import recordings  # of light-x4: what its training saw

ORIGIN = "light-x4"
FILE = "network.onnx"
CLIPS = 2  # recordings of every training photograph, of the 32 that the training had
PATCH = 96  # recorded pixels on a side
PERCENTILE = 99.999  # of an activation's values lie within its range; the rest is cut
QUANTISED = ("Add", "Conv", "Mul", "Slice", "Split", "Transpose")


class Patches(CalibrationDataReader):
    """One patch of every calibration recording, float32 [1, 1, PATCH, PATCH]."""

    def __init__(self, patches: list[np.ndarray]) -> None:
        self.rest = iter(patches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """As the quantiser asks."""
        patch = next(self.rest, None)
        return None if patch is None else {INPUT: patch}


def calibration(photos: Path) -> Iterator[np.ndarray]:
    """Patches of the first recordings of every training photograph, as the training made them."""
    for photograph in recordings.listed("train"):
        plane = recordings.luma(photos, photograph)
        for clip in range(CLIPS):
            rng = np.random.default_rng([recordings.SEED, int(photograph.sha256[:8], 16), clip])
            scene = recordings.window(plane, rng)
            how = recordings.drawn(rng)
            frames = simulate(scene, how, recordings.FRAMES, int(rng.integers(2**31)), margin=recordings.MARGIN).frames
            low = frames[int(rng.integers(len(frames)))]
            top, left = (int(rng.integers(length - PATCH + 1)) for length in low.shape)
            yield low[None, None, top : top + PATCH, left : left + PATCH].astype(np.float32)


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """One thread, CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def answer_to_empty(model: onnx.ModelProto, network: NafNet) -> np.ndarray:
    """What the graph makes of a plane of zeros in each of a place's output pixels: float32 [(scale*fold)**2]."""
    side = 2 * network.context + network.fold
    out: np.ndarray = session(model).run([OUTPUT], {INPUT: np.zeros((1, 1, side, side), np.float32)})[0]
    return out.ravel()


def quantise(network: NafNet, patches: list[np.ndarray]) -> onnx.ModelProto:
    """The graph with 8-bit integers; its answer to an empty plane is nothing."""
    with tempfile.TemporaryDirectory() as scratch:
        plain, made = Path(scratch, "float.onnx"), Path(scratch, "int8.onnx")
        plain.write_bytes(build(network).SerializeToString())
        quantize_static(
            plain, made, Patches(patches),
            quant_format=QuantFormat.QDQ, op_types_to_quantize=list(QUANTISED), nodes_to_exclude=list(KEPT_FLOAT),
            per_channel=True, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile, extra_options={"CalibPercentile": PERCENTILE},
        )  # fmt: skip
        model = onnx.load(made)
    return without_empty(model, network)


def without_empty(model: onnx.ModelProto, network: NafNet) -> onnx.ModelProto:
    """The same nodes, with the graph's answer to an empty plane taken from the cubic convolution's bias."""
    empty = answer_to_empty(model, network)
    for constant in model.graph.initializer:
        if constant.name == CUBIC_BIAS:
            constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant) - empty, CUBIC_BIAS))
    return packed(model.graph.node, model.graph.initializer)


def losses(network: NafNet, models: dict[str, onnx.ModelProto], photos: Path) -> list[dict[str, Any]]:
    """PSNR of each model on the validation photographs' recordings, dB: the mean of each of the table's settings."""
    rows = []
    tools = {name: session(model) for name, model in models.items()}
    for crf in recordings.TABLE_CRF:
        found: dict[str, list[float]] = {name: [] for name in tools}
        for number, photograph in enumerate(recordings.listed("validation")):
            rng = np.random.default_rng([recordings.SEED, int(photograph.sha256[:8], 16)])
            scene = recordings.window(recordings.luma(photos, photograph), rng)
            how = draw(rng, "issue-table", crf=crf)
            recording = simulate(scene, how, recordings.FRAMES, number, margin=recordings.MARGIN)
            low, truth = recording.frames[recording.reference], recording.truth[recording.reference]
            padded = np.pad(low, network.context, mode="edge")[None, None].astype(np.float32)
            for name, tool in tools.items():
                out = np.clip(np.rint(tool.run([OUTPUT], {INPUT: padded})[0][0, 0]), 0, 255)
                border = 4 * recordings.SCALE
                found[name].append(psnr(inside(out, border), inside(truth, border)))
        rows.append({"crf": crf, **{name: round(float(np.mean(values)), 4) for name, values in found.items()}})
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder that holds the listed photographs")
    parser.add_argument("--out", type=Path, required=True, help="folder for network.onnx and quantisation.json")
    arguments = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser advises what was done already
    cv2.setNumThreads(1)
    began = time.process_time()
    origin = load_card(ORIGIN)
    engine = load_model(origin).engine
    assert isinstance(engine, TorchEngine) and isinstance(engine.network, NafNet)
    network = engine.network
    patches = list(calibration(arguments.photos))
    model = quantise(network, patches)
    data = model.SerializeToString(deterministic=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / FILE).write_bytes(data)
    plain = without_empty(build(network), network)
    facts = {
        "origin": {"id": origin.id, "version": origin.version, "weights_sha256": origin.weights.sha256},
        "sha256": hashlib.sha256(data).hexdigest(),
        "patches": len(patches),
        "patches_sha256": hashlib.sha256(b"".join(patch.tobytes() for patch in patches)).hexdigest(),
        "validation_psnr_db": losses(network, {"float32": plain, "int8": model}, arguments.photos),
        "cpu_seconds": round(time.process_time() - began),
        "software": {
            "python": platform.python_version(), "onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__,
            "ml_dtypes": ml_dtypes.__version__, "numpy": np.__version__, "opencv": cv2.__version__,
        },
    }  # fmt: skip
    (arguments.out / "quantisation.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
