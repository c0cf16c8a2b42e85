#!/usr/bin/env bash
# Run every stage of a pipeline on all GPUs of this host; what is done is skipped, what was stopped resumes.
#   pipelines/torchrun.sh pipelines/htc_r50.toml [options of lvistk run]
set -euo pipefail
gpus=$(nvidia-smi --list-gpus 2>/dev/null | wc -l)
exec torchrun --standalone --nproc-per-node "$((gpus > 0 ? gpus : 1))" -m lvistk run "$@"
