"""From the index to batches: sources, samplers, data set, loader."""
