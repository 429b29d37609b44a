"""Write the table of timm's families in docs/timm.md: what each can do, measured.

Takes about an hour on one core: every family runs through the tasks of the toy suite.

Example: python tools/write_timm_table.py
         python tools/write_timm_table.py --only beit convnext
"""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.progress import track

DOCUMENT = Path(__file__).resolve().parents[1] / 'docs' / 'timm.md'


def main() -> int:
    """Measure, and replace the rows of the table, each as soon as it is measured."""
    from mim_bench.testing.timm_families import families, read_table, try_family, with_table

    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--only', nargs='+', default=None, help='Measure these families alone.')
    only = parser.parse_args().only
    text = DOCUMENT.read_text('utf-8')
    rows = read_table(text)
    every = families()
    with tempfile.TemporaryDirectory() as folder:
        for family in track(every, 'families'):
            if only is None or family.module in only:
                rows[family.module] = try_family(family, Path(folder))
                DOCUMENT.write_text(with_table(text, every, rows), 'utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
