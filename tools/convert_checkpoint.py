"""`mim-bench convert` under the name that users of OpenMMLab expect."""

import sys

from mim_bench.cli.main import main

if __name__ == '__main__':
    sys.exit(main(['convert', *sys.argv[1:]]))
