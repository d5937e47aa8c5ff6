"""Turn Google's SSD-MobileNet-V2 graph (TensorFlow, 91 classes, 69 MB) into an ONNX model of people alone (14 MB).

The convolutions are taken over with their batch norms folded in; of the class scores only that of "person" is kept.
What is left is Conv, Clip and Add. Both formats are Protocol Buffers: the few messages that are needed are read and
written here byte by byte, in one fixed order and with exactly rounded arithmetic, so that the file is always the same.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

INPUT_EDGE: Final = 300
"""The model looks at a square of so many pixels."""

_LEVELS: Final = 6
_CLASSES: Final = 91
_PERSON: Final = 1
_VARIANCE_FLOOR: Final = np.float32(0.001)
"""The epsilon of every batch norm in the graph."""

_OPSET: Final = 11
_IR_VERSION: Final = 6
_FLOAT, _INT, _INTS = 1, 2, 7
"""Numbers of ONNX's element and attribute types."""

Floats = NDArray[np.float32]
Fields = Iterator[tuple[int, Any]]


def people_model(frozen_graph: bytes) -> bytes:
    """The ONNX model: `image` (1 x 3 x 300 x 300, RGB, -1 to 1) to six maps `level0` to `level5`.

    Each map has 5 channels for every anchor: first four box numbers (y, x, height, width) of each, then their logits.
    """
    conversion = _Conversion(_nodes_by_name(memoryview(frozen_graph)))
    for level in range(_LEVELS):
        conversion.add_level(level)
    return conversion.model()


@dataclass(frozen=True, slots=True)
class _Node:
    """One operation of the TensorFlow graph."""

    operation: str
    inputs: tuple[str, ...]
    attributes: dict[str, memoryview]

    @classmethod
    def of(cls, message: memoryview) -> tuple[str, Self]:
        name, operation, inputs, attributes = "", "", [], {}
        for number, value in _fields(message):
            if number == 1:
                name = str(value, "utf-8")
            elif number == 2:
                operation = str(value, "utf-8")
            elif number == 3:
                inputs.append(str(value, "utf-8"))
            elif number == 5:
                entry = dict(_fields(value))
                attributes[str(entry[1], "utf-8")] = entry[2]
        return name, cls(operation, tuple(inputs), attributes)

    def stride(self) -> int:
        strides = bytes(dict(_fields(dict(_fields(self.attributes["strides"]))[1]))[3])
        return strides[1]

    def floats(self) -> Floats:
        """The values of a constant."""
        tensor = list(_fields(dict(_fields(self.attributes["value"]))[8]))
        shape = [dict(_fields(size))[1] for number, message in tensor if number == 2 for _, size in _fields(message)]
        return np.frombuffer(dict(tensor)[4], "<f4").reshape(shape)


def _nodes_by_name(graph: memoryview) -> dict[str, _Node]:
    return dict(_Node.of(message) for number, message in _fields(graph) if number == 1)


@dataclass(slots=True)
class _Conversion:
    """Walks from the outputs to the image and writes every operation behind those that it needs."""

    graph: dict[str, _Node]
    nodes: list[bytes] = field(default_factory=list)
    weights: list[bytes] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)
    known: dict[str, tuple[str, int]] = field(default_factory=lambda: {"Preprocessor/sub": ("image", INPUT_EDGE)})

    def add_level(self, level: int) -> None:
        """Box numbers and person scores of one map come out of one convolution."""
        boxes, classes = (f"BoxPredictor_{level}/{part}" for part in ("BoxEncodingPredictor", "ClassPredictor"))
        kernel = np.concatenate(
            [self._constant(f"{boxes}/weights"), self._constant(f"{classes}/weights")[..., _PERSON::_CLASSES]], axis=3
        )
        bias = np.concatenate(
            [self._constant(f"{boxes}/biases"), self._constant(f"{classes}/biases")[_PERSON::_CLASSES]]
        )
        source, edge = self._tensor(self.graph[f"{boxes}/Conv2D"].inputs[0])
        self._write_convolution(f"level{level}", (source, edge), (kernel.transpose(3, 2, 0, 1), bias), 1, groups=1)
        self.outputs.append(_described(f"level{level}", (1, kernel.shape[3], edge, edge)))

    def model(self) -> bytes:
        graph = b"".join(
            [
                *(_message(1, node) for node in self.nodes),
                _message(2, b"people"),
                *(_message(5, tensor) for tensor in self.weights),
                _message(11, _described("image", (1, 3, INPUT_EDGE, INPUT_EDGE))),
                *(_message(12, output) for output in self.outputs),
            ]
        )
        return _number(1, _IR_VERSION) + _message(7, graph) + _message(8, _number(2, _OPSET))

    def _tensor(self, name: str) -> tuple[str, int]:
        """The name in the new model of what a node yields, and its edge in pixels; written when it is new."""
        if name not in self.known:
            self.known[name] = self._written(name, self.graph[name])
        return self.known[name]

    def _written(self, name: str, node: _Node) -> tuple[str, int]:
        if node.operation == "Identity":
            return self._tensor(node.inputs[0])
        if name.endswith("/BatchNorm/batchnorm/add_1"):
            return self._convolution(name)
        sources = [self._tensor(source) for source in node.inputs]
        output = f"t{len(self.nodes)}"
        names = [source for source, _ in sources]
        if node.operation == "Relu6":
            names += [self._weight(f"{output}-least", np.float32(0)), self._weight(f"{output}-most", np.float32(6))]
        self.nodes.append(_operation({"Relu6": "Clip", "Add": "Add"}[node.operation], names, output))
        return output, sources[0][1]

    def _convolution(self, name: str) -> tuple[str, int]:
        """A convolution with the batch norm behind it folded into its weights."""
        convolution = self.graph[self.graph[self.graph[name].inputs[0]].inputs[0]]
        source, edge = self._tensor(convolution.inputs[0])
        kernel = self._constant(convolution.inputs[1].removesuffix("/read"))
        is_depthwise = convolution.operation == "DepthwiseConv2dNative"
        kernel = kernel.transpose(2, 3, 0, 1) if is_depthwise else kernel.transpose(3, 2, 0, 1)
        norm = name.removesuffix("/batchnorm/add_1")
        scale = self._constant(f"{norm}/gamma") / np.sqrt(self._constant(f"{norm}/moving_variance") + _VARIANCE_FLOOR)
        bias = self._constant(f"{norm}/beta") - self._constant(f"{norm}/moving_mean") * scale
        groups = kernel.shape[0] if is_depthwise else 1
        output, stride = f"t{len(self.nodes)}", convolution.stride()
        weights = kernel * scale[:, None, None, None], bias
        self._write_convolution(output, (source, edge), weights, stride, groups=groups)
        return output, -(-edge // stride)

    def _write_convolution(
        self, output: str, source: tuple[str, int], weights: tuple[Floats, Floats], stride: int, *, groups: int
    ) -> None:
        """Padded as TensorFlow's SAME does it: an odd row or column goes to the bottom or right.

        Args: source: name and edge of the input. weights: kernel and bias.
        """
        (name, edge), (kernel, bias) = source, weights
        missing = max(0, (-(-edge // stride) - 1) * stride + kernel.shape[2] - edge)
        before, after = missing // 2, missing - missing // 2
        names = [name, self._weight(f"{output}-kernel", kernel), self._weight(f"{output}-bias", bias)]
        attributes = {
            "dilations": (1, 1),
            "group": groups,
            "kernel_shape": kernel.shape[2:],
            "pads": (before, before, after, after),
            "strides": (stride, stride),
        }
        self.nodes.append(_operation("Conv", names, output, attributes))

    def _weight(self, name: str, values: Floats | np.float32) -> str:
        array = np.asarray(values, "<f4")
        sizes = b"".join(_number(1, size) for size in array.shape)
        self.weights.append(sizes + _number(2, _FLOAT) + _message(8, name.encode()) + _message(9, array.tobytes()))
        return name

    def _constant(self, name: str) -> Floats:
        return self.graph[name].floats()


def _operation(kind: str, inputs: list[str], output: str, attributes: dict[str, Any] | None = None) -> bytes:
    """An ONNX NodeProto."""
    names = b"".join(_message(1, name.encode()) for name in inputs)
    settings = b"".join(_message(5, _attribute(name, value)) for name, value in (attributes or {}).items())
    return names + _message(2, output.encode()) + _message(3, output.encode()) + _message(4, kind.encode()) + settings


def _attribute(name: str, value: int | tuple[int, ...]) -> bytes:
    if isinstance(value, int):
        return _message(1, name.encode()) + _number(3, value) + _number(20, _INT)
    return _message(1, name.encode()) + b"".join(_number(8, item) for item in value) + _number(20, _INTS)


def _described(name: str, shape: tuple[int, ...]) -> bytes:
    """An ONNX ValueInfoProto of floats."""
    sizes = b"".join(_message(1, _number(1, size)) for size in shape)
    return _message(1, name.encode()) + _message(2, _message(1, _number(1, _FLOAT) + _message(2, sizes)))


def _fields(message: memoryview) -> Fields:
    """The fields of a Protocol Buffers message: number and value; the bytes of one with a length."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        value: Any
        if key & 7 == 0:
            value, at = _read_varint(message, at)
        else:
            length, at = (8, at) if key & 7 == 1 else (4, at) if key & 7 == 5 else _read_varint(message, at)
            value, at = message[at : at + length], at + length
        yield key >> 3, value


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _varint(value: int) -> bytes:
    digits = []
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return struct.pack(f"{len(digits) + 1}B", *digits, value)


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content
