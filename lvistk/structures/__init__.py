"""The objects that cross a boundary between rooms: targets, image batches, detections, categories."""
