"""Describe a TFLite model's input as MediaPipe requires it of every model that takes an image of floats."""

from typing import Any

import flatbuffers
import numpy as np
from mediapipe.tasks.metadata import metadata_schema_py_generated as schema
from mediapipe.tasks.metadata import schema_py_generated as tflite


def described(model: Any, *, name: str, mean: float, scale: float) -> bytes:
    """The file of a model (`tflite.ModelT`) that takes one RGB image, and of its levels 0-255 (level - mean) / scale.

    Nothing in it depends on time or place: the same model becomes the same bytes.
    """
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
