#!/usr/bin/env bash
# The main job on the embedded data: pre-train, convert, classify, segment, detect, report.
#
#   bash tools/demo.sh [--out DIR]
#
# Sets everything up first; see tools/setup.sh. Options: mim-bench demo --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
set_up
exec mim-bench demo "$@"
