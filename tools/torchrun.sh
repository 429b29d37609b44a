#!/usr/bin/env bash
# Start one process a GPU on this node with torchrun; dist_train.sh and the others call it.
#
#   bash tools/torchrun.sh GPUS SCRIPT [args]
#
# One node: torchrun picks a free port. Several nodes: start it on each with
# NNODES, NODE_RANK and MASTER_ADDR set. PORT follows from the command by default, so that two runs
# on the same nodes differ.
# SIGTERM, SIGUSR1 and SIGUSR2 reach the processes, which save and end; the exit status is 75 then.
# Without a GPU the processes run on the CPU and talk over gloo.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

if [[ "${NNODES:-1}" -gt 1 ]]; then
    if [[ -z "${NODE_RANK:-}" || -z "${MASTER_ADDR:-}" ]]; then
        echo "error: NNODES=$NNODES, but NODE_RANK or MASTER_ADDR is not set. Set NODE_RANK to" \
            "this node's number (0 to $((NNODES - 1))) and MASTER_ADDR to node 0's address." >&2
        exit 2
    fi
    port=$((20000 + $(echo "$MASTER_ADDR $*" | cksum | cut -d ' ' -f 1) % 20000))
    nodes=(--nnodes="$NNODES" --node-rank="$NODE_RANK"
        --master-addr="$MASTER_ADDR" --master-port="${PORT:-$port}")
else
    nodes=(--standalone --local-addr=127.0.0.1)
fi

# The environment that tools/setup.sh made, unless another one is active.
if [[ -z "${VIRTUAL_ENV:-}" && -x "$root/.venv/bin/torchrun" ]]; then
    PATH="$root/.venv/bin:$PATH"
fi
# The default, one thread a core in every process, would have them wait for each other.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec python -m mim_bench.suite.torchrun "${nodes[@]}" --nproc-per-node="$1" "${@:2}"
