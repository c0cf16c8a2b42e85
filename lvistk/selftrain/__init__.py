"""Missing annotations and pseudo-labelled photos as training sources."""
