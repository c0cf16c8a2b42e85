"""Everything that a CUDA device is for, in one command: ``python -m tests.gpu.run_all``."""
