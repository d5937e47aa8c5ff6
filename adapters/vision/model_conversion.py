"""Make of other projects' networks the TFLite files that MediaPipe accepts, always byte for byte the same ones.

MediaPipe requires of every model a description of its input. Google's SSD-MobileNet-V2 graph (TensorFlow, 91 classes,
69 MB) becomes a model of people alone (14 MB): its convolutions are taken over with their batch norms folded in; of the
class scores only that of "person" is kept. The graph is a Protocol Buffer, of which the few messages that are needed
are read here byte by byte.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import flatbuffers
import numpy as np
from mediapipe.tasks.metadata import metadata_schema_py_generated as schema
from mediapipe.tasks.metadata import schema_py_generated as tflite
from numpy.typing import NDArray

_LEVELS: Final = 6
_CLASSES: Final = 91
_PERSON: Final = 1
_VARIANCE_FLOOR: Final = np.float32(0.001)
"""The epsilon of every batch norm in the graph."""

_OPERATIONS: Final = (
    (tflite.BuiltinOperator.CONV_2D, tflite.BuiltinOptions.Conv2DOptions),
    (tflite.BuiltinOperator.DEPTHWISE_CONV_2D, tflite.BuiltinOptions.DepthwiseConv2DOptions),
    (tflite.BuiltinOperator.ADD, tflite.BuiltinOptions.AddOptions),
    (tflite.BuiltinOperator.RESHAPE, tflite.BuiltinOptions.ReshapeOptions),
)
_CONVOLUTION, _DEPTHWISE, _ADD, _RESHAPE = range(len(_OPERATIONS))

Floats = NDArray[np.float32]
Fields = Iterator[tuple[int, Any]]


def people_model(frozen_graph: bytes, edge: int) -> bytes:
    """The TFLite model: an image of `edge` x `edge` pixels to six rows of numbers, one for each map.

    A map has 5 channels for every anchor: first four box numbers (y, x, height, width) of each, then their logits.
    """
    conversion = _Conversion(
        dict(_Node.of(message) for number, message in _fields(memoryview(frozen_graph)) if number == 1), edge
    )
    for level in range(_LEVELS):
        conversion.add_level(level)
    return conversion.model()


def pose_landmarks_model(model: bytes) -> bytes:
    """The pose landmarks with the description that MediaPipe needs: an RGB image whose 0-255 is scaled to 0-1.

    Source: MediaPipe's own graph pose_landmark_by_roi_cpu.pbtxt (`output_tensor_float_range {min: 0.0 max: 1.0}`).
    """
    return _described(tflite.ModelT.InitFromPackedBuf(model, 0), name="pose landmarks", mean=0.0, scale=255.0)


@dataclass(frozen=True, slots=True)
class _Node:
    """One operation of the TensorFlow graph."""

    operation: str
    inputs: tuple[str, ...]
    attributes: dict[str, memoryview]

    @classmethod
    def of(cls, message: memoryview) -> tuple[str, Self]:
        fields = list(_fields(message))
        name, operation = (str(dict(fields)[number], "utf-8") for number in (1, 2))
        inputs = tuple(str(value, "utf-8") for number, value in fields if number == 3)
        entries = [dict(_fields(value)) for number, value in fields if number == 5]
        return name, cls(operation, inputs, {str(entry[1], "utf-8"): entry[2] for entry in entries})

    def stride(self) -> int:
        strides = bytes(dict(_fields(dict(_fields(self.attributes["strides"]))[1]))[3])
        return strides[1]

    def floats(self) -> Floats:
        """The values of a constant."""
        tensor = list(_fields(dict(_fields(self.attributes["value"]))[8]))
        shape = [dict(_fields(size))[1] for number, message in tensor if number == 2 for _, size in _fields(message)]
        return np.frombuffer(dict(tensor)[4], "<f4").reshape(shape)


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor of the new model: its number, and height (which is the width) and channels."""

    number: int
    edge: int
    channels: int


class _Conversion:
    """Walks from the outputs to the image and writes every operation behind those that it needs."""

    def __init__(self, graph: dict[str, _Node], edge: int) -> None:
        self._graph = graph
        self._subgraph = tflite.SubGraphT()
        self._subgraph.tensors, self._subgraph.operators, self._subgraph.outputs = [], [], []
        self._buffers = [tflite.BufferT()]  # the first one is empty and belongs to all tensors that are computed
        image = self._add_tensor(edge, 3)
        self._subgraph.inputs = [image.number]
        self._known = {"Preprocessor/sub": image}

    def add_level(self, level: int) -> None:
        """Box numbers and person scores of one map come out of one convolution, in one row."""
        boxes, classes = (f"BoxPredictor_{level}/{part}" for part in ("BoxEncodingPredictor", "ClassPredictor"))
        kernel = np.concatenate(
            [self._constant(f"{boxes}/weights"), self._constant(f"{classes}/weights")[..., _PERSON::_CLASSES]], axis=3
        )
        bias = np.concatenate(
            [self._constant(f"{boxes}/biases"), self._constant(f"{classes}/biases")[_PERSON::_CLASSES]]
        )
        source = self._tensor(self._graph[f"{boxes}/Conv2D"].inputs[0])
        made = self._write_convolution(source, kernel.transpose(3, 0, 1, 2), bias)
        row = self._add(tflite.TensorT(), (1, made.edge**2 * made.channels))
        shape = tflite.ReshapeOptionsT()
        shape.newShape = list(self._subgraph.tensors[row].shape)
        self._write(_RESHAPE, shape, [made.number], row)
        self._subgraph.outputs.append(row)

    def model(self) -> bytes:
        model = tflite.ModelT()
        model.version, model.description = 3, "people"
        model.operatorCodes = [_code(kind) for kind, _ in _OPERATIONS]
        model.subgraphs, model.buffers = [self._subgraph], self._buffers
        return _described(model, name="people", mean=127.5, scale=127.5)

    def _tensor(self, name: str) -> _Tensor:
        """What a node yields in the new model; written when it is new."""
        if name not in self._known:
            self._known[name] = self._written(name, self._graph[name])
        return self._known[name]

    def _written(self, name: str, node: _Node) -> _Tensor:
        if node.operation == "Identity":
            return self._tensor(node.inputs[0])
        if node.operation == "Relu6":
            return self._convolution(node.inputs[0], is_clipped=True)
        if name.endswith("/BatchNorm/batchnorm/add_1"):
            return self._convolution(name)
        sources = [self._tensor(source) for source in node.inputs]
        output = self._add_tensor(sources[0].edge, sources[0].channels)
        self._write({"Add": _ADD}[node.operation], tflite.AddOptionsT(), [one.number for one in sources], output.number)
        return output

    def _convolution(self, name: str, *, is_clipped: bool = False) -> _Tensor:
        """A convolution with the batch norm behind it folded into its weights."""
        convolution = self._graph[self._graph[self._graph[name].inputs[0]].inputs[0]]
        source = self._tensor(convolution.inputs[0])
        kernel = self._constant(convolution.inputs[1].removesuffix("/read"))
        norm = name.removesuffix("/batchnorm/add_1")
        scale = self._constant(f"{norm}/gamma") / np.sqrt(self._constant(f"{norm}/moving_variance") + _VARIANCE_FLOOR)
        bias = self._constant(f"{norm}/beta") - self._constant(f"{norm}/moving_mean") * scale
        is_depthwise = convolution.operation == "DepthwiseConv2dNative"
        kernel = kernel.transpose(3, 0, 1, 2) * (scale if is_depthwise else scale[:, None, None, None])
        return self._write_convolution(
            source, kernel, bias, convolution.stride(), is_depthwise=is_depthwise, is_clipped=is_clipped
        )

    def _write_convolution(
        self, source: _Tensor, kernel: Floats, bias: Floats, stride: int = 1, *,
        is_depthwise: bool = False, is_clipped: bool = False,
    ) -> _Tensor:  # fmt: skip
        options = tflite.DepthwiseConv2DOptionsT() if is_depthwise else tflite.Conv2DOptionsT()
        options.padding = tflite.Padding.SAME
        options.strideW = options.strideH = stride
        if is_depthwise:
            options.depthMultiplier = 1
        if is_clipped:
            options.fusedActivationFunction = tflite.ActivationFunctionType.RELU6
        output = self._add_tensor(-(-source.edge // stride), len(bias))
        inputs = [source.number, self._add_weight(kernel), self._add_weight(bias)]
        self._write(_DEPTHWISE if is_depthwise else _CONVOLUTION, options, inputs, output.number)
        return output

    def _write(self, kind: int, options: Any, inputs: list[int], output: int) -> None:
        operator = tflite.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = kind, inputs, [output]
        operator.builtinOptionsType, operator.builtinOptions = _OPERATIONS[kind][1], options
        self._subgraph.operators.append(operator)

    def _add_tensor(self, edge: int, channels: int) -> _Tensor:
        return _Tensor(self._add(tflite.TensorT(), (1, edge, edge, channels)), edge, channels)

    def _add_weight(self, values: Floats) -> int:
        tensor, buffer = tflite.TensorT(), tflite.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values, "<f4").tobytes(), np.uint8)
        tensor.buffer = len(self._buffers)
        self._buffers.append(buffer)
        return self._add(tensor, values.shape)

    def _add(self, tensor: Any, shape: tuple[int, ...]) -> int:
        tensor.shape, tensor.type = list(shape), tflite.TensorType.FLOAT32
        tensor.name = f"t{len(self._subgraph.tensors)}"
        self._subgraph.tensors.append(tensor)
        return len(self._subgraph.tensors) - 1

    def _constant(self, name: str) -> Floats:
        return self._graph[name].floats()


def _code(kind: int) -> Any:
    code = tflite.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = kind
    code.version = 1
    return code


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


def _described(model: Any, *, name: str, mean: float, scale: float) -> bytes:
    """The file of a `tflite.ModelT` that takes one RGB image, and of its levels 0-255 (level - mean) / scale."""
    levels = schema.ProcessUnitT()
    levels.optionsType = schema.ProcessUnitOptions.NormalizationOptions
    levels.options = schema.NormalizationOptionsT()
    levels.options.mean, levels.options.std = [mean], [scale]
    content = schema.ContentT()
    content.contentPropertiesType = schema.ContentProperties.ImageProperties
    content.contentProperties = schema.ImagePropertiesT()
    content.contentProperties.colorSpace = schema.ColorSpaceType.RGB
    image = schema.TensorMetadataT()
    image.name, image.content, image.processUnits = "image", content, [levels]

    graph = model.subgraphs[0]
    subgraph = schema.SubGraphMetadataT()
    subgraph.inputTensorMetadata, subgraph.outputTensorMetadata = [image], []
    for output in graph.outputs:
        tensor = schema.TensorMetadataT()
        tensor.name = graph.tensors[output].name
        subgraph.outputTensorMetadata.append(tensor)
    description = schema.ModelMetadataT()
    description.name, description.subgraphMetadata = name, [subgraph]

    buffer = tflite.BufferT()
    buffer.data = np.frombuffer(_packed(description, b"M001"), np.uint8)
    model.buffers.append(buffer)
    entry = tflite.MetadataT()
    entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    return _packed(model, b"TFL3")


def _packed(table: Any, identifier: bytes) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(table.Pack(builder), identifier)
    return bytes(builder.Output())
