#!/usr/bin/env bash
# Lint and test, after setting everything up; see tools/setup.sh.
#
#   bash tools/test.sh                      ruff, then the tests but the slow ones
#   bash tools/test.sh --all                the slow tests too
#   bash tools/test.sh --stack openmmlab    the smoke tests on the original OpenMMLab
#                                           distribution, in an environment of its own
#   bash tools/test.sh tests/masking -x     further arguments go to pytest
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

marker='not slow' stack='' pytest_args=()
while [[ $# -gt 0 ]]; do
    case "$1" in
        --all) marker='' ;;
        --stack) stack="${2:-?}" && shift || true ;;
        *) pytest_args+=("$1") ;;
    esac
    shift || true
done

cd "$repo_root"
if [[ -z "$stack" ]]; then
    set_up --test
    ruff check .
    ruff format --check .
elif [[ "$stack" == openmmlab ]]; then
    set_up --test openmmlab "$repo_root/.venv-openmmlab"
    marker='stack'
else
    echo "error: unknown stack '$stack'. Use: bash tools/test.sh --stack openmmlab" >&2
    exit 2
fi

# One process a core; more threads than that only wait for each other.
export OMP_NUM_THREADS=1
workers="$(python -c 'import os; print(min(len(os.sched_getaffinity(0)), 8))')"
# A worker takes whole files, so that what a file shares is made once.
exec python -m pytest -n "$workers" --dist loadfile --no-loadscope-reorder -m "$marker" \
    ${pytest_args[@]+"${pytest_args[@]}"}
