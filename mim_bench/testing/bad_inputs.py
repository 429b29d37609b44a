"""Damaged copies of the embedded data, and the start of a run on them, for tests."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mmengine.config import Config
from PIL import Image
from torch import nn

from mim_bench.data.checks import CHECKS, CheckOptions
from mim_bench.data.checks.report import Report
from mim_bench.engine.config_layout import import_layout
from mim_bench.engine.data_sets import check_data_sets
from mim_bench.engine.hooks.label_range_hook import LabelRangeHook
from mim_bench.engine.runner import BenchRunner
from mim_bench.errors import MimBenchError
from mim_bench.recipe.building import library_scope
from mim_bench.recipe.config import load_config, set_data_root
from mim_bench.recipe.own_data import use_own_data
from mim_bench.suite.locations import configs_folder

DEMO = configs_folder() / 'demo'
CONFIGS = {
    'imagenet': 'finetune_vit-toy_1xb64-coslr-4e_toy-in1k-64px.py',
    'ade20k': 'upernet_vit-toy_1xb4-200i_toy-ade20k-128px.py',
    'coco': 'mask-rcnn_vit-toy_1xb4-3e_toy-coco-128px.py',
}
FOLDERS = {'imagenet': 'imagenet', 'ade20k': 'ade/ADEChallengeData2016', 'coco': 'coco'}
SPLITS = {'train': 8, 'val': 4}


class Heads(nn.Module):
    """A model of which only the number of classes counts."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Identity()
        self.head.num_classes = num_classes


def launched(layout: str, root: Path, own_data: str | None = None) -> dict[str, Any]:
    """The data sets of a run, compared and read through; raises what the run would raise."""
    cfg = load_config(DEMO / CONFIGS[layout])
    set_data_root(cfg, str(root))
    if own_data:
        use_own_data(cfg, own_data)
    return launched_config(cfg)


def launched_config(cfg: Config, *, read: bool = True) -> dict[str, Any]:
    """See :func:`launched`; samples are read if asked for."""
    model = cfg.model
    head = model.get('decode_head') or model.get('head') or model.roi_head.bbox_head
    loops = {name: SimpleNamespace(dataloader=built(cfg, f'{name}_dataloader')) for name in SPLITS}
    runner = SimpleNamespace(
        train_loop=loops['train'],
        val_loop=loops['val'],
        test_loop=None,
        model=Heads(head.num_classes),
    )
    check_data_sets(runner)
    hook = LabelRangeHook()
    for loop in loops.values() if read else ():
        dataset = loop.dataloader.dataset
        for index in range(len(dataset)):
            hook.before_train_iter(runner, 0, {'data_samples': [dataset[index]['data_samples']]})
    return {name: loop.dataloader.dataset for name, loop in loops.items()}


def built(cfg: Any, name: str, seed: int | None = None) -> Any:
    """A loader of a config, in the scope of its library."""
    import_layout()
    with library_scope(cfg):
        return BenchRunner.build_dataloader(cfg[name], seed=seed)


def copy_layout(toy_root: Path, layout: str, folder: Path) -> Path:
    """A copy of one layout without lists, so that the class folders count."""
    ignored = shutil.ignore_patterns('stuffthingmaps', 'meta')
    return shutil.copytree(toy_root / FOLDERS[layout], folder / layout, ignore=ignored)


def refused(layout: str, root: Path, message: str) -> None:
    """Assert that the start of a run fails with one message on one line."""
    with pytest.raises(MimBenchError, match=message) as caught:
        launched(layout, root)
    if '\n' in str(caught.value):
        pytest.fail(f'more than one line: {caught.value}')


def found_by_check(layout: str, root: Path, **options: int) -> Report:
    """What `mim-bench data check` finds; options are those of --expect."""
    return CHECKS[layout](root, CheckOptions(expect=options or {'classes': 10}))


def resave(path: Path, ending: str) -> None:
    """Save an image in another format in its place."""
    with Image.open(path) as image:
        image.load()
    path.unlink()
    image.save(path.with_suffix(ending))


def tag_exif(path: Path, tag: int) -> None:
    """Give an image an EXIF orientation; its pixels stay."""
    with Image.open(path) as image:
        image.load()
    exif = Image.Exif()
    exif[0x0112] = tag
    image.save(path, quality=95, exif=exif)


def cut(path: Path) -> None:
    """Keep the first half of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def link(folder: Path, name: str = 'elsewhere') -> None:
    """Put a link in the place of a folder, which moves up and gets another name."""
    target = folder.parent.parent / name
    folder.rename(target)
    folder.symlink_to(target, target_is_directory=True)
