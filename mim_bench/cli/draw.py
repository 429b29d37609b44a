"""Draw the masks, targets and reconstructions of a pre-training config on images, or features.

Each row is an image. The columns are the masked inputs, the targets and, with a checkpoint,
the predictions. With --features there is no config: the columns are the images and, for each
checkpoint, the first three principal components of its patch features as red, green and blue, found
from all the images together.

Examples:
  mim-bench draw configs/pretrain/mae/CONFIG.py cat.jpg dog.jpg --out masks.png
  mim-bench draw CONFIG.py cat.jpg --checkpoint work_dirs/mae/epoch_300.pth --out filled.png
  mim-bench draw --features cats/ --checkpoint mae=a.pth dino=b.pth --out components.png
  mim-bench draw --features cats/ --checkpoint mae=a.pth dino=b.pth --out results/features
"""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from mim_bench.cli._launch_arguments import add_cfg_options, parse_options, seed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mim_bench.engine.drawing import Drawing
    from mim_bench.engine.image_features import FeatureNetwork


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'paths', nargs='+', metavar='CONFIG IMAGE',
        help='The config of a pre-training and the images, folders and archives to draw; with '
        '--features no config.',
    )  # fmt: skip
    parser.add_argument(
        '--checkpoint', nargs='+', action='extend', default=[], metavar='[ID=]CKPT',
        help='Draw predictions with these weights, which must include the decoder; with '
        '--features, draw these backbones, as `mim-bench run --checkpoint` takes them.',
    )  # fmt: skip
    parser.add_argument(
        '--features', action='store_true', help='Draw features of checkpoints instead of masks.'
    )
    parser.add_argument(
        '--foreground', action='store_true',
        help='With --features, grey out the patches on one side of the first component, and '
        'compute the components from the others.',
    )  # fmt: skip
    parser.add_argument(
        '--size', type=int, default=448, metavar='PX',
        help='With --features, crop images to this size (default: 448).',
    )  # fmt: skip
    parser.add_argument(
        '--download',
        action='store_true',
        help="With --features, download weights of timm that are not in timm's cache (default: "
        'stop).',
    )
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        metavar='FILE',
        help='Write the picture into this .png file; with --features also a folder, for a picture '
        'of each checkpoint, which the leaderboard shows if it is features/ in a results folder.',
    )
    parser.add_argument(
        '--seed',
        type=seed,
        default=0,
        help='Choose crops and masks by this seed (default: 0).',
    )
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Draw and save."""
    from mim_bench.errors import ConfigError
    from mim_bench.visualization.pictures import save_png

    if args.out.suffix.lower() != '.png' and (args.out.suffix or not args.features):
        raise ConfigError(f'--out {args.out}: pictures are PNG files. Let the name end in .png')
    console = Console(soft_wrap=True, highlight=False)
    for path, drawing in _features(args) if args.features else [(args.out, _masks(args))]:
        save_png(drawing.picture, path)
        for text in (*drawing.notes, str(path)):
            console.print(text, markup=False)
    return 0


def _masks(args: argparse.Namespace) -> 'Drawing':
    """Masks, targets and reconstructions of a config."""
    from mim_bench.engine.drawing import draw_images
    from mim_bench.errors import ConfigError
    from mim_bench.recipe.config import load_config

    config, *images = args.paths
    if not images or len(args.checkpoint) > 1 or args.foreground:
        raise ConfigError(
            'Without --features, give a config, one or more images and at most one --checkpoint; '
            '--foreground needs --features.'
        )
    cfg = load_config(config, parse_options(args.cfg_options))
    checkpoint = Path(args.checkpoint[0]) if args.checkpoint else None
    return draw_images(cfg, images, checkpoint=checkpoint, seed=args.seed)


def _features(args: argparse.Namespace) -> 'Iterator[tuple[Path, Drawing]]':
    """Principal components of the features of checkpoints: in one picture, or in one of each."""
    from mim_bench.api import word_network
    from mim_bench.engine.drawing import draw_features
    from mim_bench.engine.image_features import list_pictures
    from mim_bench.errors import ConfigError
    from mim_bench.suite.checkpoint_words import parse_word

    if not args.checkpoint or args.size < 1:
        raise ConfigError(
            f'--features needs --checkpoint, and a --size of 1 px or more, not {args.size}.'
        )
    ids = [parse_word(word).id for word in args.checkpoint]
    if twice := [name for name in ids if ids.count(name) > 1]:
        raise ConfigError(
            f'--checkpoint: two are called {twice[0]!r}. Give them names, as in ID=CKPT.'
        )
    pictures = list_pictures(args.paths)

    def networks(words: 'Sequence[str]') -> 'Iterator[tuple[str, FeatureNetwork]]':
        for word in words:
            with tempfile.TemporaryDirectory(prefix='mim_bench_') as folder:
                network = word_network(word, Path(folder), size=args.size, download=args.download)
            yield parse_word(word).id, network

    files = {args.out: args.checkpoint}
    if not args.out.suffix:
        files = {
            args.out / f'{id_}.png': [word] for id_, word in zip(ids, args.checkpoint, strict=True)
        }
    for path, words in files.items():
        yield (
            path,
            draw_features(networks(words), pictures, foreground=args.foreground, seed=args.seed),
        )
