"""Training and inference on a device that is played on the CPU: what mixes devices, and what waits for it."""
