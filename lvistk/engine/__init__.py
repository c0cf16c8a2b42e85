"""The training loop and its parts: optimiser, schedule, averages, checkpoints."""
