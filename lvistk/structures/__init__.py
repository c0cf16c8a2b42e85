"""What flows between the rooms: boxes, masks, targets, detections, image batches, categories."""
