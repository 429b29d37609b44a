"""Draw the masks, targets and reconstructions of a pre-training config on images.

Each row is an image. The columns are the masked inputs, the targets and, with a checkpoint,
the predictions.

Examples:
  mim-bench draw configs/pretrain/mae/CONFIG.py cat.jpg dog.jpg --out masks.png
  mim-bench draw CONFIG.py cat.jpg --checkpoint work_dirs/mae/epoch_300.pth --out filled.png
"""

import argparse
from pathlib import Path

from rich.console import Console

from mim_bench.cli._launch_arguments import add_cfg_options, parse_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('config', help='The config of a pre-training.')
    parser.add_argument('images', nargs='+', type=Path, metavar='IMAGE', help='The images to draw.')
    parser.add_argument(
        '--checkpoint',
        type=Path,
        help='Draw with these weights of the whole network, decoder included, by this '
        "project or a paper's code.",
    )
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        metavar='FILE',
        help='Write the picture into this .png file.',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='Draw crops and masks with this seed (default: 0).'
    )
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Draw and save."""
    from mim_bench.engine.drawing import draw_images
    from mim_bench.errors import ConfigError
    from mim_bench.recipe.config import load_config
    from mim_bench.visualization.pictures import save_png

    if args.out.suffix.lower() != '.png':
        raise ConfigError(f'--out {args.out}: the picture is a PNG. Let the name end in .png')
    cfg = load_config(args.config, parse_options(args.cfg_options))
    drawing = draw_images(cfg, args.images, checkpoint=args.checkpoint, seed=args.seed)
    save_png(drawing.picture, args.out)
    console = Console(soft_wrap=True, highlight=False)
    for note in drawing.notes:
        console.print(note, markup=False)
    console.print(str(args.out), markup=False)
    return 0
