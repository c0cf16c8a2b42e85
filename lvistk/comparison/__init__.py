"""Two sets of results on one truth: differences, and how sure they are."""
