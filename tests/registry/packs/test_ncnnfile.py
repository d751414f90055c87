"""The numbers of an ncnn model are read as data: what is not known exactly is refused, and nothing is executed."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.errors import BadInput
from forensic.registry.packs.ncnnfile import ncnn_layers, ncnn_tensors

TEXT = """\
7767517
7 8
Input                    input                    0 1 data
Split                    split                    1 2 data one two
Convolution              first                    1 1 one a 0=5 1=3 4=1 5=1 6=135 9=2 -23310=1,2.000000e-01
PReLU                    slope                    1 1 a b 0=5
Convolution              last                     1 1 b c 0=12 1=3 4=1 5=1 6=540
PixelShuffle             shuffle                  1 1 c d 0=2
Interp                   enlarge                  1 1 two e 0=1 1=2.000000e+00 2=2.000000e+00
"""
ADDED = TEXT.replace("7 8", "8 9") + "BinaryOp                 add                      2 1 d e output\n"
HALF, SINGLE = struct.pack("<I", 0x01306B47), bytes(4)


def numbers(half: bool = True) -> tuple[list[np.ndarray], bytes]:
    """Weights and bias of both convolutions with the slopes between, and the file that holds them."""
    rng = np.random.default_rng(3)
    made = [rng.normal(size=count).astype(np.float16).astype(np.float32) for count in (135, 5, 5, 540, 12)]
    data = b""
    for place, values in enumerate(made):
        if place in (0, 3):
            raw = values.astype("<f2").tobytes() if half else values.astype("<f4").tobytes()
            data += (HALF if half else SINGLE) + raw + bytes(-len(raw) % 4)
        else:
            data += values.astype("<f4").tobytes()
    return made, data


@pytest.mark.parametrize("half", [True, False])
def test_numbers_come_out_as_they_went_in(half: bool) -> None:
    made, data = numbers(half)
    found = ncnn_tensors(ADDED.encode(), data)
    assert {name: value.shape for name, value in found.items()} == {
        "convolutions.0.weight": (5, 3, 3, 3), "convolutions.0.bias": (5,), "slopes.0.weight": (5,),
        "convolutions.1.weight": (12, 5, 3, 3), "convolutions.1.bias": (12,),
    }  # fmt: skip
    names = ["convolutions.0.weight", "convolutions.0.bias", "slopes.0.weight", "convolutions.1.weight"]
    for name, values in zip([*names, "convolutions.1.bias"], made, strict=True):
        assert found[name].dtype == np.float32 and np.array_equal(found[name].ravel(), values)


Change = Callable[[str], str]
UNSAFE: dict[str, Change] = {
    "a layer of another kind": lambda text: text.replace("PReLU   ", "Custom  "),
    "a layer that reads memory of its own": lambda text: text.replace("PReLU   ", "MemoryData"),
    "a larger kernel": lambda text: text.replace("0=5 1=3", "0=5 1=5"),
    "a kernel of another height": lambda text: text.replace("0=5 1=3", "0=5 1=3 11=5"),
    "a dilation": lambda text: text.replace("0=5 1=3", "0=5 1=3 2=2"),
    "other padding": lambda text: text.replace("0=5 1=3 4=1", "0=5 1=3 4=-233"),
    "no bias": lambda text: text.replace("0=5 1=3 4=1 5=1", "0=5 1=3 4=1 5=0"),
    "integer weights": lambda text: text.replace("0=5 1=3", "0=5 1=3 8=1"),
    "another activation": lambda text: text.replace("9=2", "9=3"),
    "another slope": lambda text: text.replace("1,2.000000e-01", "1,3.000000e-01"),
    "a whole number where a real one is due": lambda text: text.replace("1=2.000000e+00", "1=2"),
    "another interpolation": lambda text: text.replace("e 0=1 1", "e 0=2 1"),
    "a product in place of a sum": lambda text: text.replace("d e output", "d e output 0=2"),
    "a setting twice": lambda text: text.replace("0=5 1=3", "0=5 0=5 1=3"),
    "an empty line": lambda text: text + "\n",
}
BROKEN: dict[str, Change] = {
    "another beginning": lambda text: "7767518" + text[7:],
    "more layers than said": lambda text: text.replace("8 9", "7 9"),
    "more blobs than said": lambda text: text.replace("8 9", "8 8"),
    "a setting left out": lambda text: text.replace(" 9=2", ""),
    "a blob given twice": lambda text: text.replace("1 1 a b", "1 1 a one"),
    "a blob taken twice": lambda text: text.replace("1 1 two e", "1 1 one e"),
    "a blob from nowhere": lambda text: text.replace("1 1 two e", "1 1 three e"),
    "a ring": lambda text: text.replace("1 1 one a", "1 1 d a"),
    "two results": lambda text: text.replace("8 9", "7 8").replace(text.splitlines(keepends=True)[-1], ""),
    "a second input": lambda text: text.replace("PReLU                    slope                    1 1 a b 0=5",
                                               "Input slope 0 1 b"),
    "slopes for other channels": lambda text: text.replace("a b 0=5", "a b 0=4"),
    "weights for other channels": lambda text: text.replace("6=135", "6=136"),
    "channels that do not shuffle": lambda text: text.replace("0=12 1=3 4=1 5=1 6=540", "0=11 1=3 4=1 5=1 6=495"),
    "a sum of two sizes": lambda text: text.replace("1=2.000000e+00 2=2.000000e+00", "1=4.000000e+00 2=4.000000e+00"),
    "unequal enlargement": lambda text: text.replace("2=2.000000e+00", "2=4.000000e+00"),
    "a count below nothing": lambda text: text.replace("a b 0=5", "a b 0=-5"),
    "two layers of one name": lambda text: text.replace("slope ", "first "),
    "letters beyond ASCII": lambda text: text.replace("slope ", "sløpe "),
    "a name that is none": lambda text: text.replace("slope ", "../sl "),
    "nothing": lambda text: "",
    "no end": lambda text: text + "x" * (1 << 20),
}  # fmt: skip


@pytest.mark.parametrize(("code", "change"), [("unsafe", c) for c in UNSAFE] + [("weights", c) for c in BROKEN])
def test_what_is_not_known_is_refused(code: str, change: str) -> None:
    changed = (UNSAFE | BROKEN)[change](ADDED)
    assert changed != ADDED
    with pytest.raises(BadInput) as caught:
        ncnn_tensors(changed.encode(), numbers()[1])
    assert caught.value.code == f"model.pack-{code}", caught.value


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"",
        lambda data: struct.pack("<I", 0x000D4B38) + data[4:],  # ncnn's tag of 8-bit integers
        lambda data: struct.pack("<I", 0x0002C056) + data[4:],  # ncnn's tag of raw single precision
        lambda data: b"\1" + data[1:],  # a table of 256 numbers
        lambda data: data[:4] + b"\0\x7c" + data[6:],  # infinity in half precision
        lambda data: data[:-4] + struct.pack("<f", float("nan")),
        lambda data: data[:274] + b"\1" + data[275:],  # where 135 numbers are filled up to a whole word
    ],
)
def test_numbers_that_are_others_are_refused(change: Callable[[bytes], bytes]) -> None:
    data = numbers()[1]
    assert change(data) != data
    with pytest.raises(BadInput, match=r"model\.pack-weights"):
        ncnn_tensors(ADDED.encode(), change(data))


def test_a_size_beyond_all_measure_takes_no_memory() -> None:
    vast = ADDED.replace("0=5 1=3 4=1 5=1 6=135", "0=30000000 1=3 4=1 5=1 6=810000000").replace(
        "a b 0=5", "a b 0=30000000"
    )
    with pytest.raises(BadInput, match=r"model\.pack-weights"):
        ncnn_tensors(vast.replace("6=540", "6=999999999").encode(), numbers()[1])


def test_layers_are_listed_in_order() -> None:
    layers = ncnn_layers(ADDED.encode())
    assert [layer.kind for layer in layers[:3]] == ["Input", "Split", "Convolution"]
    assert layers[-1].takes == ("d", "e") and layers[2].values[-23310] == (0.2,)


@given(st.binary(max_size=400), st.binary(max_size=400))
def test_anything_else_is_refused_in_one_way(text: bytes, data: bytes) -> None:
    with pytest.raises(BadInput, match=r"model\.pack-(unsafe|weights)"):
        ncnn_tensors(text, data)


@given(st.data())
def test_a_changed_list_of_layers_is_refused_or_says_the_same_numbers(data: st.DataObject) -> None:
    words = ADDED.split(" ")
    place = data.draw(st.integers(0, len(words) - 1))
    words[place] = data.draw(st.sampled_from([*words, "", "0", "1", "-1", "0=1", "999999999", "2.000000e+00"]))
    try:
        found = ncnn_tensors(" ".join(words).encode(), numbers()[1])
    except BadInput as error:
        assert error.code in ("model.pack-unsafe", "model.pack-weights")
    else:
        assert sum(value.size for value in found.values()) == 697


@given(st.integers(0, 2000), st.integers(0, 255))
def test_a_changed_byte_of_the_numbers_is_refused_or_changes_numbers_only(place: int, value: int) -> None:
    data = bytearray(numbers()[1])
    data[place % len(data)] = value
    try:
        found = ncnn_tensors(ADDED.encode(), bytes(data))
    except BadInput as error:
        assert error.code == "model.pack-weights"
    else:
        assert all(np.isfinite(array).all() for array in found.values())
