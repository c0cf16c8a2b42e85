"""Backbones, necks, heads and the detectors built from them."""
