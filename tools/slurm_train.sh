#!/usr/bin/env bash
# Train under Slurm, one torchrun a node; further arguments go to tools/train.py.
#
#   GPUS=16 bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [args]
#
# GPUS (8) in all, GPUS_PER_NODE (8), CPUS_PER_TASK (5) for each GPU,
# SRUN_ARGS: further options for srun, separated by spaces.
set -euo pipefail

gpus="${GPUS:-8}" per_node="${GPUS_PER_NODE:-8}" cpus_per_gpu="${CPUS_PER_TASK:-5}"
if [[ $# -lt 4 ]]; then
    echo "usage: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [args]" >&2
    exit 2
fi
per_node=$((gpus < per_node ? gpus : per_node))
if ((gpus % per_node != 0)); then
    echo "error: GPUS=$gpus is no multiple of GPUS_PER_NODE=$per_node. Change one of them." >&2
    exit 2
fi
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
read -r -a srun_args <<< "${SRUN_ARGS:-}"

# Runs on every node. The port follows from the job, so two jobs on one node differ.
on_node='
export NNODES="$SLURM_NNODES" NODE_RANK="$SLURM_NODEID" PORT=$((20000 + SLURM_JOB_ID % 20000))
MASTER_ADDR="$(scontrol show hostnames "${SLURM_STEP_NODELIST:-$SLURM_JOB_NODELIST}" | head -n 1)"
export MASTER_ADDR
exec bash "$0" "$@"'
exec srun --partition="$1" --job-name="$2" --nodes="$((gpus / per_node))" --ntasks-per-node=1 \
    --gres="gpu:$per_node" --cpus-per-task="$((per_node * cpus_per_gpu))" --kill-on-bad-exit=1 \
    ${srun_args[@]+"${srun_args[@]}"} bash -c "$on_node" "$tools/torchrun.sh" "$per_node" \
    "$tools/train.py" "$3" --work-dir "$4" --launcher pytorch "${@:5}"
