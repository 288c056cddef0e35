"""How TensorFlow operations become ONNX ones, where tf2onnx cannot do it or does it slowly.

A handler has the signature that tf2onnx wants: the graph, the node, its name, its arguments. It
puts ONNX nodes in the node's place. Opset 18: sums, maxima and minima by index are one `ScatterND`.
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
    """The place of one TensorFlow node in the graph that tf2onnx is converting."""

    def __init__(self, graph: Any, node: Any) -> None:
        """Remember what the node yields; its consumers read that from whatever replaces it."""
        self._graph = graph
        self._node = node
        self.inputs: list[str] = list(node.input)
        self.dtype = graph.get_dtype(node.output[0])

    def numpy_type(self) -> Any:
        """Return the numpy type of the node's output."""
        from tf2onnx.utils import map_onnx_to_numpy_type

        return map_onnx_to_numpy_type(self.dtype)

    def rank(self, name: str) -> int | None:
        """Return the number of dimensions of a tensor, None if it is not known."""
        found: int | None = self._graph.get_rank(name)
        return found

    def attribute(self, name: str) -> Any:
        """Return an attribute of the node, None if it has none of that name."""
        return self._node.get_attr_value(name)

    def value(self, at: int) -> list[int] | None:
        """Return the values of the input `at`, None if it is not a constant."""
        source = self._node.inputs[at]
        if not source.is_const():
            return None
        return [int(each) for each in np.atleast_1d(source.get_tensor_value(as_list=False))]

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

    def filled(self, shape: str, value: float) -> str:
        """Return a tensor of the node's type with `value` everywhere."""
        from onnx import helper

        tensor = helper.make_tensor("value", self.dtype, [1], [value])
        return self.add("ConstantOfShape", shape, value=tensor)

    def end(self, operation: str, *inputs: str, **attributes: Any) -> None:
        """Put a node where the TensorFlow one was."""
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


def segment(graph: Any, node: Any, _name: str, _arguments: Any) -> None:
    """Convert a sum, maximum or minimum per segment; an empty one has what TensorFlow gives it."""
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
    start = at.filled(shape, _extreme(at.numpy_type(), empty))
    at.end("ScatterND", start, index, data, reduction=reduction)


def _extreme(dtype: Any, which: str) -> float:
    if which == "zero":
        return 0
    info: Any = np.finfo(dtype) if np.issubdtype(dtype, np.floating) else np.iinfo(dtype)
    found = info.min if which == "least" else info.max
    return float(found) if np.issubdtype(dtype, np.floating) else int(found)


def log1p(graph: Any, node: Any, _name: str, _arguments: Any) -> None:
    """Convert log(1 + x); what is lost for tiny x is below single precision of the sum."""
    at = NodeContext(graph, node)
    at.end("Log", at.add("Add", at.inputs[0], at.constant(1, at.numpy_type())))


def erfc(graph: Any, node: Any, _name: str, _arguments: Any) -> None:
    """Convert the complementary error function, which an exact GELU has."""
    at = NodeContext(graph, node)
    at.end("Sub", at.constant(1, at.numpy_type()), at.add("Erf", at.inputs[0]))


def select(graph: Any, node: Any, _name: str, _arguments: Any) -> None:
    """Convert a choice to one node; tf2onnx multiplies both sides, which NaN survives."""
    at = NodeContext(graph, node)
    at.end("Where", *at.inputs)


def pack(graph: Any, node: Any, _name: str, _arguments: Any) -> None:
    """Convert a stack: one reshape after a concatenation, rather than one per input."""
    at = NodeContext(graph, node)
    ranks = {at.rank(each) for each in at.inputs}
    axis = at.attribute("axis") or 0
    if ranks == {1}:
        joined = at.add("Concat", *at.inputs, axis=0)
        shape = at.constant([len(at.inputs), -1])
        if axis == 0:
            at.end("Reshape", joined, shape)
        else:
            at.end("Transpose", at.add("Reshape", joined, shape), perm=[1, 0])
        return
    parts = [at.add("Unsqueeze", each, at.constant([axis])) for each in at.inputs]
    at.end("Concat", *parts, axis=axis)


def strided_slice(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """Convert `x[i]` and `x[:, i]` to one gather; the rest is left to tf2onnx."""
    at = NodeContext(graph, node)
    column = _picked(at)
    if column is None:
        from tf2onnx.onnx_opset.tensor import StridedSlice

        StridedSlice.version_10(graph, node, name=name, args=arguments)
        return
    axis, index = column
    at.end("Gather", at.inputs[0], at.constant(index), axis=axis)


def _picked(at: NodeContext) -> tuple[int, int] | None:
    """Return the axis and the index when the slice takes one index of one axis, whole otherwise."""
    begin, strides = at.value(1), at.value(3)
    masks = [at.attribute(f"{name}_mask") or 0 for name in ("ellipsis", "new_axis")]
    shrink = at.attribute("shrink_axis_mask") or 0
    if begin is None or strides is None or any(masks) or set(strides) != {1}:
        return None
    axis = len(begin) - 1
    whole = (1 << axis) - 1
    kept = all(((at.attribute(f"{end}_mask") or 0) & whole) == whole for end in ("begin", "end"))
    if shrink != 1 << axis or not kept:
        return None
    return axis, begin[axis]


def _int64() -> int:
    from onnx import TensorProto

    return int(TensorProto.INT64)


HANDLERS: dict[str, Any] = {name: (segment, []) for name in SEGMENTS} | {
    "Erfc": (erfc, []),
    "Log1p": (log1p, []),
    "SelectV2": (select, []),
    "Pack": (pack, []),
    "StridedSlice": (strided_slice, []),
}
