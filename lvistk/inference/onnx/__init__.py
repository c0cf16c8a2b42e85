"""A model as an ONNX graph: one view, from pixels to boxes, scores, labels and masks."""
