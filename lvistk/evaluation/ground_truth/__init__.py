"""The ground truth as flat arrays, read once and cached."""
