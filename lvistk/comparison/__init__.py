"""Two sets of results on one ground truth: differences, and how sure they are."""
