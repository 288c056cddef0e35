"""The same graph for ONNX Runtime: what the endpoint answers with.

TensorFlow takes four times the memory and twice the time for one request: it is made for large
batches. So a fitted graph is exported once, when it is bundled, and the answers of both are
compared on every golden request before a bundle is promoted. Nothing of TensorFlow is imported to
load or to run it.
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
    Answer,
    GraphRecommender,
    damaged,
    read_description,
    read_vocabulary,
)

GRAPH = "graph.onnx"
PART = 16  # requests at once: what a table of the graph needs grows with them
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
        module: The graph.
        path: Of the file.

    Raises:
        BundleError: It has an operation that ONNX Runtime has not.
    """
    import onnx

    model = _checked(_convert(*_frozen(module)))
    found = {name: list(getattr(module, name)) for name in NAMES}
    entry = model.metadata_props.add()
    entry.key, entry.value = "evergreen", json.dumps(found)
    onnx.save(model, str(path))


def _frozen(module: Any) -> tuple[Any, dict[str, str]]:
    """Return the graph with its variables as constants, and wanted names by those in the graph."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    from pipeline.recommenders.base.graph import K_SPEC, SIGNATURE

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
    """Return the ONNX model; ONNX Runtime optimises it when it is loaded."""
    import tensorflow as tf
    from onnx import helper
    from tf2onnx import tf_loader
    from tf2onnx.tfonnx import process_tf_graph

    from pipeline.recommenders.onnx.operators import HANDLERS, OPSET

    inputs, outputs = ([tensor.name for tensor in each] for each in (frozen.inputs, frozen.outputs))
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
            raise _foreign(error) from error
    model = converted.make_model("evergreen")
    constants = {each.name for each in model.graph.initializer}
    for node in model.graph.node:
        # In TensorFlow a length of 0 means 0; in ONNX it means "as before" unless this is said.
        if node.op_type == "Reshape" and node.input[1] not in constants:
            node.attribute.append(helper.make_attribute("allowzero", 1))
    return model


def _checked(model: Any) -> Any:
    """Return the model if all that is in it is ONNX: tf2onnx leaves in what it does not know."""
    import onnx

    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise _foreign(error) from error
    return model


def _foreign(error: Exception) -> BundleError:
    return BundleError(
        "a graph that ONNX Runtime can run",
        received=f"{type(error).__name__}: {str(error).strip().splitlines()[0]}",
        action="Use other TensorFlow operations, or add a handler to onnx_ops.py.",
    )


@dataclass(frozen=True)
class OnnxRecommender(GraphRecommender):
    """A recommender whose `module` is an ONNX Runtime session.

    Attributes:
        inputs: Type of each input of the graph.
        outputs: Name of each output.
        names: What the graph does not say itself: `groups` and `facts` of the explanations.
    """

    inputs: Mapping[str, Any]
    outputs: tuple[str, ...]
    names: Mapping[str, np.ndarray[Any, Any]]
    part_size: ClassVar[int] = PART

    def run(self, requests: Requests, k: int, *, explained: bool) -> Answer:  # noqa: ARG002
        """Return what `RankingGraph.serve_explained` does, as arrays."""
        found = self.module.run(None, feed_of(self.inputs, requests, k))
        return {**dict(zip(self.outputs, found, strict=True)), **self.names}


def open_session(path: Path) -> Any:
    """Return an ONNX Runtime session of a graph's file, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # it keeps one for every length of a history that it sees
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def types_of(session: Any) -> dict[str, Any]:
    """Return the numpy type of each input of a session."""
    return {each.name: TYPES[each.type] for each in session.get_inputs()}


def feed_of(types: Mapping[str, Any], requests: Requests, k: int) -> dict[str, Any]:
    """Return the inputs of a session for some requests."""
    return {
        name: np.asarray(k if name == "k" else getattr(requests, name), dtype=dtype)
        for name, dtype in types.items()
    }


def load_onnx(path: Path) -> OnnxRecommender:
    """Return the recommender in a bundle's folder, to be run by ONNX Runtime on one thread.

    Raises:
        BundleError: A file is missing or damaged, or the vocabulary does not match the graph.
    """
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    description = read_description(path)
    vocabulary = read_vocabulary(path, description)
    try:
        session = open_session(path / GRAPH)
    except (states.Fail, states.InvalidProtobuf, states.InvalidGraph, states.NoSuchFile) as error:
        raise damaged(path / GRAPH, error) from error
    told = json.loads(session.get_modelmeta().custom_metadata_map["evergreen"])
    return OnnxRecommender(
        description,
        vocabulary,
        session,
        inputs=types_of(session),
        outputs=tuple(each.name for each in session.get_outputs()),
        names={name: np.array([each.encode() for each in told[name]]) for name in NAMES},
    )
