"""Masks of truth and detections: their text, their spans, their boundaries."""
