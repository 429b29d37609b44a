"""``python -m mim_bench``: the command ``mim-bench``."""

import sys

from mim_bench.cli.main import main

if __name__ == '__main__':
    sys.exit(main())
