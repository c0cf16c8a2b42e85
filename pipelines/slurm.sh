#!/usr/bin/env bash
# Run every stage of a pipeline on several hosts:
#   sbatch --nodes 2 --gpus-per-node 8 pipelines/slurm.sh pipelines/htc_resnest269_dcn.toml
# Requeued after a time limit or a lost host, the job resumes from the last checkpoint and shard.
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --signal=TERM@120
set -euo pipefail
head_node=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun torchrun \
  --nnodes "$SLURM_NNODES" \
  --nproc-per-node "${SLURM_GPUS_ON_NODE:-1}" \
  --rdzv-backend c10d \
  --rdzv-endpoint "$head_node:29500" \
  --rdzv-id "$SLURM_JOB_ID" \
  -m lvistk run "$@"
