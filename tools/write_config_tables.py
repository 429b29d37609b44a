"""Write the table into the README.md of each folder of configs.

    python tools/write_config_tables.py          # write what is out of date
    python tools/write_config_tables.py --check  # only say what is; exit 1 if anything

A row is the comment at the top of a config and what is published of its recipe. What stands above
the mark in a README.md is written by hand and kept.
"""

import argparse
import sys

from mim_bench.suite.config_tables import stale_tables


def main() -> int:
    """Write or check the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--check', action='store_true', help='write nothing')
    args = parser.parse_args()
    stale = stale_tables()
    for path, text in stale.items():
        print(path)
        if not args.check:
            path.write_text(text, encoding='utf-8')
    return int(args.check and bool(stale))


if __name__ == '__main__':
    sys.exit(main())
