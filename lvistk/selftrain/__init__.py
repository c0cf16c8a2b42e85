"""Missing annotations and pseudo-labelled images as training sources."""
