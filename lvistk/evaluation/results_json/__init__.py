"""Detections and ground truth in JSON, scanned into columns."""
