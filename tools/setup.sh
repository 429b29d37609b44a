#!/usr/bin/env bash
# Set up mim_bench on a machine that has only Python and pip; nothing is compiled.
#
#   bash tools/setup.sh            set up, then say how to enter the environment
#   source tools/setup.sh          define set_up, for the other scripts:
#   set_up [--test] [EXTRA] [FOLDER]
#                                  install '.[EXTRA,fast]' ("onedl" by default), with --test what the
#                                  tests need too, into the active virtual environment, else into
#                                  FOLDER (".venv"), and enter it
#
# An active environment is used as it is found; a second start changes nothing
# unless setup.cfg, the tested versions, the extra or the Python have changed.
# PYTHON=/path/to/python chooses the Python of a new environment.

if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then
    # Also for the scripts that source this one: $0 is theirs.
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit
fi

repo_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

fail() {
    echo "error: $*" >&2
    exit 1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.10; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' \
            2> /dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.10 to 3.13 found. Install one, or name it: PYTHON=/path/to/python bash $0"
}

make_environment() {
    local folder="$1" python
    python="$(find_python)" || exit 1
    echo "Making a virtual environment in $folder with $("$python" --version)."
    # Some systems ship venv without the pip that it would copy; then pip installs itself.
    "$python" -m venv --clear "$folder" > /dev/null 2>&1 ||
        { "$python" -m venv --clear --without-pip "$folder" &&
            "$python" -m pip --python "$folder/bin/python" install --quiet pip; } ||
        fail "cannot make a virtual environment in $folder. Install Python's venv module" \
            "(Debian, Ubuntu: apt-get install python3-venv), or activate an environment yourself."
}

fingerprint() {
    "$1" - "$2" "$repo_root" << 'EOF'
import hashlib
import pathlib
import sys

extra, root = sys.argv[1], pathlib.Path(sys.argv[2])
text = repr((extra, str(root), sys.prefix, sys.version)).encode()
for name in ('setup.cfg', 'requirements/constraints.txt'):
    text += (root / name).read_bytes()
print(hashlib.sha256(text).hexdigest())
EOF
}

install_packages() {
    local python="$1" extras="$2" pip_options=()
    # In a log file the progress bars of some 120 packages would hide everything else.
    [[ -t 1 ]] || pip_options=(--quiet)
    echo "Installing mim-bench[$extras]: some minutes, once."
    # Python compiles what is used when it is first imported, a small part of what is installed.
    (cd "$repo_root" && "$python" -m pip install --disable-pip-version-check --no-compile \
        ${pip_options[@]+"${pip_options[@]}"} -c requirements/constraints.txt -e ".[$extras]") ||
        fail "pip could not install mim-bench[$extras]; its message stands above."
    # The OpenMMLab packages ask for the OpenCV that needs libGL, which a server
    # often lacks; the headless build has the same files without windows.
    "$python" -c 'import cv2' 2> /dev/null ||
        (cd "$repo_root" && "$python" -m pip install --quiet --force-reinstall --no-deps \
            -c requirements/constraints.txt opencv-python-headless &&
            "$python" -c 'import cv2') ||
        fail "OpenCV does not load; its message stands above."
}

set_up() {
    local tests='' extra folder stamp done wanted
    if [[ "${1:-}" == --test ]]; then
        tests=,test
        shift
    fi
    extra="${1:-onedl}" folder="${2:-$repo_root/.venv}"
    if [[ $# -lt 2 && -n "${VIRTUAL_ENV:-}" ]]; then
        folder="$VIRTUAL_ENV"
    elif ! "$folder/bin/python" -c '' 2> /dev/null; then
        make_environment "$folder"
    fi
    # An environment that holds the original distribution keeps it: a mixture breaks both.
    if [[ $# -eq 0 ]] && "$folder/bin/python" -m pip show --quiet mmengine 2> /dev/null; then
        extra=openmmlab
    fi
    stamp="$folder/.mim-bench-setup"
    wanted="$(fingerprint "$folder/bin/python" "$extra")" || fail "$folder/bin/python does not run."
    done="$(cat "$stamp" 2> /dev/null)" || done=''
    # What was installed for the tests serves everything else.
    if [[ "$done" != "$wanted,test" && "$done" != "$wanted$tests" ]]; then
        install_packages "$folder/bin/python" "$extra,fast$tests"
        echo "$wanted$tests" > "$stamp"
    fi
    # Nothing was compiled by pip. Python must keep what it compiles, or each of the many processes
    # of a demo or of the tests compiles all that it imports, which takes half a minute.
    export VIRTUAL_ENV="$folder" PATH="$folder/bin:$PATH" PYTHONDONTWRITEBYTECODE=
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then
    set -euo pipefail
    set_up "$@"
    echo "Ready: source $VIRTUAL_ENV/bin/activate, then mim-bench doctor"
fi
