"""Checkpoints of other toolboxes, read without running them."""
