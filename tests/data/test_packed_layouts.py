"""The three layouts in one file in place of folders: the same samples, classes and checks."""

import shutil
from copy import deepcopy

import numpy as np
import pytest
import torch

from mim_bench.data.archives import pack
from mim_bench.data.checks import CHECKS, CheckOptions, Kind
from mim_bench.data.listing import list_files
from mim_bench.data.summary import summary_of
from mim_bench.engine.batch_stream import start_at
from mim_bench.recipe.config import load_config, set_data_root
from mim_bench.recipe.data_content import dataset_content
from mim_bench.recipe.own_data import use_own_data
from mim_bench.testing.bad_inputs import CONFIGS, DEMO, FOLDERS, built, cut, launched, tag_exif

CLASSES = {'imagenet': 10, 'ade20k': 11, 'coco': 10}
NUM_TRAIN = {'imagenet': 40, 'ade20k': 8, 'coco': 8}
ENDINGS = {'imagenet': '.zip', 'ade20k': '.tar', 'coco': '.zip'}
PHOTOS = {
    'imagenet': 'train/*/*.JPEG',
    'ade20k': 'images/training/*.jpg',
    'coco': 'train2017/*.jpg',
}


@pytest.fixture
def packed(tmp_path):
    """Packs the folder of a layout."""

    def make(folder, layout):
        archive = (tmp_path / folder.name).with_suffix(ENDINGS[layout])
        pack(folder, archive, list_files(folder, ('',)).files)
        return archive

    return make


def check(layout, root):
    return CHECKS[layout](root, CheckOptions(expect={'classes': CLASSES[layout]}))


def facts(dataset, root):
    """What a run sees of a data set, without where it lies."""
    samples = [
        {key: str(value).replace(str(root), '') for key, value in dataset.get_data_info(i).items()}
        for i in range(len(dataset))
    ]
    summary = summary_of(dataset)
    return samples, summary.names, dataset_content(dataset, evaluated=True)


@pytest.mark.parametrize('layout', FOLDERS)
def test_archive_has_the_samples_order_classes_and_content_of_its_folder(layout, toy_root, packed):
    folder = toy_root / FOLDERS[layout]
    archive = packed(folder, layout)

    wanted, found = launched(layout, folder), launched(layout, archive)

    assert len(found['train']) == NUM_TRAIN[layout]
    for split in ('train', 'val'):
        assert facts(found[split], archive) == facts(wanted[split], folder)
    inputs = [data['val'][0]['inputs'] for data in (wanted, found)]
    np.testing.assert_array_equal(*[np.asarray(each) for each in inputs])


@pytest.mark.parametrize('layout', FOLDERS)
def test_check_finds_in_an_archive_what_it_finds_in_the_folder(layout, toy_root, tmp_path, packed):
    ignored = shutil.ignore_patterns('meta')
    folder = shutil.copytree(toy_root / FOLDERS[layout], tmp_path / 'data', ignore=ignored)
    whole = check(layout, packed(folder, layout))
    assert (whole.problems, whole.counts) == ([], check(layout, folder).counts)
    damaged, turned, lost = sorted(folder.glob(PHOTOS[layout]))[:3]
    maps = sorted(folder.glob('annotations/validation/*.png'))[:1]
    for path in (damaged, *maps):
        cut(path)
    tag_exif(turned, 3)
    lost.unlink()
    folder = folder.rename(tmp_path / 'damaged')

    report = check(layout, packed(folder, layout))

    assert report.to_dict()['problems'] == check(layout, folder).to_dict()['problems']
    kinds = set(report.kinds())
    assert Kind.UNREADABLE in kinds
    if layout != 'imagenet':
        assert {Kind.ORIENTATION, Kind.MISSING} <= kinds


def test_check_of_the_whole_packed_embedded_data_knows_its_counts(toy_root, packed):
    archive = packed(toy_root, 'ade20k')
    for layout in FOLDERS:
        report = CHECKS[layout](archive, CheckOptions(quick=True))
        assert report.problems == []


@pytest.mark.parametrize('layout', FOLDERS)
def test_own_data_in_an_archive_set_the_head(layout, toy_root, packed):
    cfg = load_config(DEMO / CONFIGS[layout])
    set_data_root(cfg, str(packed(toy_root / FOLDERS[layout], layout)))

    use_own_data(cfg, 'mine')

    assert len(cfg.train_dataloader.dataset.metainfo.classes) == CLASSES[layout]


@pytest.mark.parametrize('world_size', [1, 2, 4])
def test_batches_from_an_archive_are_those_from_folders_also_after_a_resume(
    world_size, toy_root, packed, monkeypatch
):
    folder = toy_root / FOLDERS['imagenet']
    archive = packed(folder, 'imagenet')
    cfg = load_config(DEMO / CONFIGS['imagenet'])
    cfg.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)

    def batches(root, rank, start):
        """Names and pixels of the batches of a process in an epoch."""
        own = deepcopy(cfg)
        set_data_root(own, str(root))
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (rank, world_size))
        loader = built(own, 'train_dataloader', seed=3)
        start_at(loader, start)
        return [
            (
                [sample.img_path.removeprefix(str(root)) for sample in batch['data_samples']],
                torch.stack(list(batch['inputs'])),
            )
            for batch in loader
        ]

    seen = set()
    for rank in range(world_size):
        wanted = batches(folder, rank, 0)
        found = batches(archive, rank, 0)
        rest = batches(archive, rank, 1)
        for one, other in [*zip(wanted, found, strict=True), *zip(wanted[1:], rest, strict=True)]:
            assert one[0] == other[0]
            assert torch.equal(one[1], other[1])
        seen |= {name for names, _ in found for name in names}
    assert len(seen) == NUM_TRAIN['imagenet']
