"""The training loop, optimisers, schedules, checkpoints, foreign weights."""
