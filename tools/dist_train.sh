#!/usr/bin/env bash
# Train on GPUS processes; further arguments go to tools/train.py.
#
#   bash tools/dist_train.sh CONFIG GPUS [args]
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 bash tools/dist_train.sh CONFIG 8
#
# GPUS counts those of one node. Without a GPU the processes run on the CPU.
set -euo pipefail

if [[ $# -lt 2 || ! "$2" =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: bash tools/dist_train.sh CONFIG GPUS [args]" >&2
    exit 2
fi
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
exec bash "$tools/torchrun.sh" "$2" "$tools/train.py" "$1" --launcher pytorch "${@:3}"
