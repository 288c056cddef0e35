"""Export a graph to ONNX and run it with ONNX Runtime, which serves the endpoint.

TensorFlow is made for large batches: for one request it takes four times the memory and twice the
time. Deployment exports a fitted graph once and compares both runtimes on every golden request
before it promotes a bundle. Loading and running an ONNX graph does not import TensorFlow.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pipeline.contracts.errors import BundleError
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.saved import (
    Arrays,
    GraphRecommender,
    damaged_error,
    read_description,
    read_vocabulary,
)

GRAPH = "graph.onnx"
PART = 16  # requests at once: the memory of intermediate tensors grows with their number
NAMES = ("groups", "facts")
TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


def export_onnx(module: Any, path: Path) -> None:
    """Write `serve_explained` of a `RankingGraph` as an ONNX graph.

    Args:
        module: Graph to export.
        path: Path of the ONNX file.

    Raises:
        BundleError: ONNX Runtime does not support an operation of the graph.
    """
    import onnx

    model = _check_model(_convert(*_freeze(module)))
    names = {name: list(getattr(module, name)) for name in NAMES}
    entry = model.metadata_props.add()
    entry.key, entry.value = "evergreen", json.dumps(names)
    onnx.save(model, str(path))


def _freeze(module: Any) -> tuple[Any, dict[str, str]]:
    """Return the graph with its variables as constants, and the new name of each tensor."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    from pipeline.recommenders.base.batch import K_SPEC, SIGNATURE

    wanted = {**SIGNATURE, "k": K_SPEC}
    specs = [tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in wanted.items()]

    @tf.function(input_signature=specs, autograph=False)  # type: ignore[untyped-decorator]
    def numbers(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        answer = module.serve_explained(*inputs)
        return {name: values for name, values in answer.items() if name not in NAMES}

    traced = numbers.get_concrete_function()
    frozen = convert_variables_to_constants_v2(traced)
    names = {tensor.name: name for tensor, name in zip(frozen.inputs, wanted, strict=True)}
    outputs = sorted(traced.structured_outputs)
    names |= {tensor.name: name for tensor, name in zip(frozen.outputs, outputs, strict=True)}
    return frozen, names


def _convert(frozen: Any, names: dict[str, str]) -> Any:
    """Return the ONNX model; ONNX Runtime optimises it at load time."""
    import tensorflow as tf
    from onnx import helper
    from tf2onnx import tf_loader
    from tf2onnx.tfonnx import process_tf_graph

    from pipeline.recommenders.onnx.operators import HANDLERS, OPSET

    inputs, outputs = (
        [tensor.name for tensor in initializer] for initializer in (frozen.inputs, frozen.outputs)
    )
    with tf.Graph().as_default(), tf.device("/cpu:0"):
        definition = tf_loader.tf_optimize(inputs, outputs, frozen.graph.as_graph_def())
    with tf.Graph().as_default() as graph, tf.device("/cpu:0"):
        tf.import_graph_def(definition, name="")
        try:
            converted = process_tf_graph(
                graph,
                opset=OPSET,
                input_names=inputs,
                output_names=outputs,
                custom_op_handlers=HANDLERS,
                tensors_to_rename=names,
            )
        except (ValueError, NotImplementedError) as error:
            raise _unsupported_error(error) from error
    model = converted.make_model("evergreen")
    constants = {initializer.name for initializer in model.graph.initializer}
    for node in model.graph.node:
        # A length of 0 means 0 in TensorFlow, but "as before" in ONNX without this attribute.
        if node.op_type == "Reshape" and node.input[1] not in constants:
            node.attribute.append(helper.make_attribute("allowzero", 1))
    return model


def _check_model(model: Any) -> Any:
    """Return the model if it is valid ONNX: tf2onnx keeps operations that it cannot convert."""
    import onnx

    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise _unsupported_error(error) from error
    return model


def _unsupported_error(error: Exception) -> BundleError:
    return BundleError(
        "a graph that ONNX Runtime can run",
        received=f"{type(error).__name__}: {str(error).strip().splitlines()[0]}",
        action="Use other TensorFlow operations, or add a handler to onnx/operators.py.",
    )


@dataclass(frozen=True)
class OnnxRecommender(GraphRecommender):
    """A recommender whose `module` is an ONNX Runtime session.

    Attributes:
        inputs: Type of each input of the graph.
        outputs: Name of each output.
        names: `groups` and `facts` of the explanations, which the graph does not output.
    """

    inputs: Mapping[str, Any]
    outputs: tuple[str, ...]
    names: Mapping[str, np.ndarray[Any, Any]]
    part_size: ClassVar[int] = PART

    def run(self, requests: Requests, k: int, *, explained: bool) -> Arrays:  # noqa: ARG002
        """Return the outputs of `RankingGraph.serve_explained` as arrays."""
        outputs = self.module.run(None, build_feed(self.inputs, requests, k))
        return {**dict(zip(self.outputs, outputs, strict=True)), **self.names}


def open_session(path: Path) -> Any:
    """Return an ONNX Runtime session of a graph's file, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # it would cache a pattern for every history length
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def input_types(session: Any) -> dict[str, Any]:
    """Return the numpy type of each input of the session."""
    return {entry.name: TYPES[entry.type] for entry in session.get_inputs()}


def build_feed(types: Mapping[str, Any], requests: Requests, k: int) -> dict[str, Any]:
    """Return the inputs of a session for the requests."""
    return {
        name: np.asarray(k if name == "k" else getattr(requests, name), dtype=dtype)
        for name, dtype in types.items()
    }


def load_onnx(path: Path) -> OnnxRecommender:
    """Load the recommender in a bundle's folder, which ONNX Runtime runs on one thread.

    Raises:
        BundleError: A file is missing or damaged, or the vocabulary does not match the graph.
    """
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    description = read_description(path)
    vocabulary = read_vocabulary(path, description)
    try:
        session = open_session(path / GRAPH)
    except (states.Fail, states.InvalidProtobuf, states.InvalidGraph, states.NoSuchFile) as error:
        raise damaged_error(path / GRAPH, error) from error
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["evergreen"])
    return OnnxRecommender(
        description,
        vocabulary,
        session,
        inputs=input_types(session),
        outputs=tuple(entry.name for entry in session.get_outputs()),
        names={name: np.array([entry.encode() for entry in metadata[name]]) for name in NAMES},
    )
