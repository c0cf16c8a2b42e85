"""lvistk: instance segmentation with a large, long-tailed vocabulary."""

__version__ = "0.1.0"
