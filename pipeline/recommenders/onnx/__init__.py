"""ONNX: a Keras graph as an ONNX file that runs without TensorFlow."""
