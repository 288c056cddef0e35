"""Handlers for TensorFlow operations that tf2onnx cannot convert or converts slowly.

A handler has the signature that tf2onnx requires: graph, node, name, arguments. It replaces the
node by ONNX nodes. In opset 18, one `ScatterND` computes sums, maxima or minima by index.
"""

from typing import Any

import numpy as np

OPSET = 18
SEGMENTS = {
    "SegmentSum": ("add", "zero"),
    "UnsortedSegmentSum": ("add", "zero"),
    "UnsortedSegmentMax": ("max", "least"),
    "UnsortedSegmentMin": ("min", "greatest"),
}


class NodeContext:
    """A TensorFlow node in the graph that tf2onnx converts."""

    def __init__(self, graph: Any, node: Any) -> None:
        """Store the node with its inputs and output type."""
        self._graph = graph
        self._node = node
        self.inputs: list[str] = list(node.input)
        self.dtype = graph.get_dtype(node.output[0])

    def numpy_type(self) -> Any:
        """Return the numpy type of the node's output."""
        from tf2onnx.utils import map_onnx_to_numpy_type

        return map_onnx_to_numpy_type(self.dtype)

    def rank(self, name: str) -> int | None:
        """Return the number of dimensions of a tensor, None if it is unknown."""
        rank: int | None = self._graph.get_rank(name)
        return rank

    def attribute(self, name: str) -> Any:
        """Return an attribute of the node, None if the node has no such attribute."""
        return self._node.get_attr_value(name)

    def value(self, at: int) -> list[int] | None:
        """Return the values of input `at`, None if it is no constant."""
        source = self._node.inputs[at]
        if not source.is_const():
            return None
        return [int(number) for number in np.atleast_1d(source.get_tensor_value(as_list=False))]

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """Return the name of a new constant."""
        from tf2onnx.utils import make_name

        made = self._graph.make_const(make_name("constant"), np.array(value, dtype=dtype))
        return str(made.output[0])

    def add(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Return the name of the output of a new node."""
        made = self._graph.make_node(
            operation, list(inputs), attr=attributes, op_name_scope=self._node.name
        )
        return str(made.output[0])

    def add_filled(self, shape: str, value: float) -> str:
        """Return the name of a new tensor of the node's type, filled with `value`."""
        from onnx import helper

        tensor = helper.make_tensor("value", self.dtype, [1], [value])
        return self.add("ConstantOfShape", shape, value=tensor)

    def replace(self, operation: str, *inputs: str, **attributes: Any) -> None:
        """Replace the TensorFlow node by an ONNX node with the same outputs."""
        node, graph = self._node, self._graph
        shapes, dtypes = node.output_shapes, node.output_dtypes
        graph.remove_node(node.name)
        graph.make_node(
            operation,
            list(inputs),
            attr=attributes,
            name=node.name,
            outputs=node.output,
            shapes=shapes,
            dtypes=dtypes,
        )


def convert_segment(graph: Any, node: Any, _name: str, _arguments: Any) -> None:
    """Convert a sum, maximum or minimum per segment; empty segments match TensorFlow's."""
    reduction, empty = SEGMENTS[node.type]
    at = NodeContext(graph, node)
    data, ids, *n_segments = at.inputs
    ids = at.add("Cast", ids, to=_int64())
    if n_segments:
        n = at.add("Reshape", at.add("Cast", n_segments[0], to=_int64()), at.constant([1]))
    else:
        last = at.add("Concat", ids, at.constant([-1]), axis=0)
        n = at.add("Add", at.add("ReduceMax", last, keepdims=1), at.constant([1]))
    shape = n if at.rank(data) == 1 else at.add("Concat", n, at.add("Shape", data, start=1), axis=0)
    index = at.add("Unsqueeze", ids, at.constant([-1]))
    start = at.add_filled(shape, _extreme(at.numpy_type(), empty))
    at.replace("ScatterND", start, index, data, reduction=reduction)


def _extreme(dtype: Any, which: str) -> float:
    if which == "zero":
        return 0
    info: Any = np.finfo(dtype) if np.issubdtype(dtype, np.floating) else np.iinfo(dtype)
    value = info.min if which == "least" else info.max
    return float(value) if np.issubdtype(dtype, np.floating) else int(value)


def convert_log1p(graph: Any, node: Any, _name: str, _arguments: Any) -> None:
    """Convert log(1 + x); the error for tiny x is below single precision of the sum."""
    at = NodeContext(graph, node)
    at.replace("Log", at.add("Add", at.inputs[0], at.constant(1, at.numpy_type())))


def convert_erfc(graph: Any, node: Any, _name: str, _arguments: Any) -> None:
    """Convert the complementary error function, which the exact GELU uses."""
    at = NodeContext(graph, node)
    at.replace("Sub", at.constant(1, at.numpy_type()), at.add("Erf", at.inputs[0]))


def convert_select(graph: Any, node: Any, _name: str, _arguments: Any) -> None:
    """Convert to one `Where`; tf2onnx multiplies both sides, which propagates NaN."""
    at = NodeContext(graph, node)
    at.replace("Where", *at.inputs)


def convert_pack(graph: Any, node: Any, _name: str, _arguments: Any) -> None:
    """Convert a stack to a concatenation and one reshape instead of one reshape per input."""
    at = NodeContext(graph, node)
    ranks = {at.rank(name) for name in at.inputs}
    axis = at.attribute("axis") or 0
    if ranks == {1}:
        joined = at.add("Concat", *at.inputs, axis=0)
        shape = at.constant([len(at.inputs), -1])
        if axis == 0:
            at.replace("Reshape", joined, shape)
        else:
            at.replace("Transpose", at.add("Reshape", joined, shape), perm=[1, 0])
        return
    parts = [at.add("Unsqueeze", name, at.constant([axis])) for name in at.inputs]
    at.replace("Concat", *parts, axis=axis)


def convert_strided_slice(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """Convert `x[i]` and `x[:, i]` to one gather; tf2onnx converts the rest."""
    at = NodeContext(graph, node)
    column = _picked(at)
    if column is None:
        from tf2onnx.onnx_opset.tensor import StridedSlice

        StridedSlice.version_10(graph, node, name=name, args=arguments)
        return
    axis, index = column
    at.replace("Gather", at.inputs[0], at.constant(index), axis=axis)


def _picked(at: NodeContext) -> tuple[int, int] | None:
    """Return the axis and the index if the slice takes one index of one axis, else None."""
    begin, strides = at.value(1), at.value(3)
    masks = [at.attribute(f"{name}_mask") or 0 for name in ("ellipsis", "new_axis")]
    shrink = at.attribute("shrink_axis_mask") or 0
    if begin is None or strides is None or any(masks) or set(strides) != {1}:
        return None
    axis = len(begin) - 1
    whole = (1 << axis) - 1
    kept = all(((at.attribute(f"{edge}_mask") or 0) & whole) == whole for edge in ("begin", "end"))
    if shrink != 1 << axis or not kept:
        return None
    return axis, begin[axis]


def _int64() -> int:
    from onnx import TensorProto

    return int(TensorProto.INT64)


HANDLERS: dict[str, Any] = {name: (convert_segment, []) for name in SEGMENTS} | {
    "Erfc": (convert_erfc, []),
    "Log1p": (convert_log1p, []),
    "SelectV2": (convert_select, []),
    "Pack": (convert_pack, []),
    "StridedSlice": (convert_strided_slice, []),
}
