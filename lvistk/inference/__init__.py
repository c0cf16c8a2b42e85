"""Views, prediction, non-maximum suppression, merging, mask pasting."""
