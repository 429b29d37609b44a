#!/usr/bin/env bash
# Test on GPUS processes; further arguments go to tools/test.py.
#
#   bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [args]
#
# Several nodes as in tools/dist_train.sh.
set -euo pipefail

if [[ $# -lt 3 || ! "$3" =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [args]" >&2
    exit 2
fi
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
exec bash "$tools/torchrun.sh" "$3" "$tools/test.py" "$1" "$2" --launcher pytorch "${@:4}"
