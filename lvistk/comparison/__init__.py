"""Two sets of results on one ground truth instance: differences, and how sure they are."""
