"""`facelight export MODEL --onnx OUT`: a network as ONNX, checked against PyTorch before it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facelight import _files
from facelight._extras import extra
from facelight.models import FaceNet
from facelight.weights import ModelCard, load_model, shipped_model

LARGEST = 1e-5  # difference of a landmark, in sides of the crop
BATCHES = (1, 2, 5)
OPSET = 18


def run(model: str | None, output: Path) -> float:
    """Write a network as ONNX; returns the largest difference to PyTorch that onnxruntime found.

    Raises:
        MissingExtra: the extra [onnx] is not installed.
        FileExistsError: the output is there.
        ArithmeticError: onnxruntime computes something else than PyTorch; nothing is written.
    """
    with extra("onnx", "onnx", "onnxruntime", "onnxscript"):
        pass
    if output.exists():
        raise FileExistsError(f"{output} is there already: choose another name, or move it away")
    network, card = load_model(shipped_model() if model is None else model)
    raw = exported(network, card)
    off = difference(network, card, raw)
    if not off < LARGEST:
        raise ArithmeticError(f"onnxruntime differs from PyTorch by {off:.2g}, more than {LARGEST:g}: not written")
    output.parent.mkdir(parents=True, exist_ok=True)
    with _files.whole(output) as stream:
        stream.write(raw)
    return off


def exported(network: FaceNet, card: ModelCard) -> bytes:
    """The network in ONNX: input "image" (batch, 3, S, S) in [0, 1], RGB; output "landmarks" (batch, K, 2) in [0, 1].

    Any batch is taken. The metadata hold the card, the range and the names of the points. Weights that are float16
    numbers, as those of a model file are, are kept as such and cast to float32 when they are used.
    """
    with extra("onnx"):
        import onnx

    example = torch.rand(2, 3, card.size, card.size)
    with torch.inference_mode():
        program: Any = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            optimize=False,  # which would merge batch normalization into weights that are float16 numbers now
            verbose=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["landmarks"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    proto = program.model_proto
    for node in proto.graph.node:  # where in the source it comes from, with paths of this machine
        del node.metadata_props[:]
        node.doc_string = ""
    _halve(proto.graph)
    onnx.helper.set_model_props(proto, metadata(card))
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


def metadata(card: ModelCard) -> dict[str, str]:
    """What an ONNX file says of itself; each value is text or JSON."""
    about = {name: getattr(card, name) for name in ("scheme", "stem", "data", "license", "command", "facelight")}
    numbers: dict[str, Any] = {"size": card.size, "margin": card.margin, "range": [0, 1], "points": card.points}
    return about | {name: json.dumps(value) for name, value in numbers.items()} | {"channels": "RGB"}


def difference(network: FaceNet, card: ModelCard, raw: bytes) -> float:
    """Largest difference of landmarks in [0, 1] between onnxruntime and PyTorch, over noise in batches of `BATCHES`."""
    with extra("onnx"):
        import onnxruntime

    session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    off = []
    for batch in BATCHES:
        x = torch.rand(batch, 3, card.size, card.size, generator=generator)
        x *= torch.rand(batch, 1, 1, 1, generator=generator)
        with torch.inference_mode():
            wanted = network(x).numpy()
        off.append(float(np.abs(session.run(None, {"image": x.numpy()})[0] - wanted).max()))
    return max(off)


def _halve(graph: Any) -> None:
    """Keep weights that are float16 numbers as float16, in place: half the file, and the same numbers."""
    with extra("onnx"):
        import onnx

    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if np.array_equal(half.astype(np.float32), values):
            name = tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, f"{name}_half"))
            casts.append(onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    for node in reversed(casts):
        graph.node.insert(0, node)
