"""Tests of ImageNet with a part of its labels."""

import random
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from mim_bench.data.label_fraction import LabelFraction
from mim_bench.errors import ConfigError, DataError


@pytest.fixture
def root(toy_root):
    """40 images of 10 classes, four each."""
    return toy_root / 'imagenet'


def names(root, **settings):
    dataset = LabelFraction(data_root=str(root), split='train', **settings)
    return [Path(dataset.get_data_info(i)['img_path']).name for i in range(len(dataset))]


def classes(images):
    return Counter(name.split('_')[0] for name in images)


def test_label_fraction_half_takes_half_of_every_class(root):
    assert set(classes(names(root, share=0.5)).values()) == {2}


def test_label_fraction_tiny_share_keeps_one_image_of_every_class(root):
    counts = classes(names(root, share=0.01))
    assert len(counts) == 10
    assert set(counts.values()) == {1}


def test_label_fraction_whole_share_is_the_data_set_in_its_order(root):
    everything = names(root, share=1)
    assert len(everything) == 40
    assert everything == names(root, share=1, seed=3)


def test_label_fraction_smaller_share_is_part_of_the_larger(root):
    assert set(names(root, share=0.25)) < set(names(root, share=0.5))


def test_label_fraction_seed_of_the_run_does_not_matter(root):
    first = names(root, share=0.25)
    for seed_everything in (random.seed, np.random.seed, torch.manual_seed):
        seed_everything(99)
    assert names(root, share=0.25) == first


def test_label_fraction_own_seed_draws_other_images(root):
    assert names(root, share=0.25) != names(root, share=0.25, seed=1)


def test_label_fraction_draws_by_names_not_by_folders(root, tmp_path):
    moved = shutil.copytree(root, tmp_path / 'elsewhere')
    assert names(moved, share=0.25) == names(root, share=0.25)


def test_label_fraction_labels_stay_those_of_the_whole(root):
    dataset = LabelFraction(data_root=str(root), split='train', share=0.25)
    for i in range(len(dataset)):
        sample = dataset.get_data_info(i)
        # The embedded data number their classes as their folders.
        assert int(Path(sample['img_path']).parent.name[1:]) == sample['gt_label']


def test_label_fraction_list_takes_what_it_names(root, tmp_path):
    wanted = names(root, share=0.25)[:3]
    (tmp_path / 'names.txt').write_text('\n'.join(wanted) + '\n')
    assert names(root, names_file=str(tmp_path / 'names.txt')) == wanted


def test_label_fraction_list_names_files_with_spaces_after_a_byte_order_mark(toy_copy, tmp_path):
    root = toy_copy / 'imagenet'
    image, listed = min((root / 'train').glob('*/*')), root / 'meta/train.txt'
    image.rename(image.with_name('a flower.JPEG'))
    text = listed.read_text().replace(image.name, 'a flower.JPEG')
    listed.write_text(text, encoding='utf-8-sig')
    (tmp_path / 'names.txt').write_text('a flower.JPEG\n', encoding='utf-8-sig')
    assert names(root, names_file=str(tmp_path / 'names.txt')) == ['a flower.JPEG']


def test_label_fraction_list_counts_from_the_data_root(toy_copy):
    root = toy_copy / 'imagenet'
    wanted = names(root, share=0.25)
    (root / 'part.txt').write_text('\n'.join(wanted))
    assert names(root, names_file='part.txt') == wanted


def test_label_fraction_hash_tells_which_images_were_used(root, tmp_path):
    part = LabelFraction(data_root=str(root), split='train', share=0.25)
    (tmp_path / 'names.txt').write_text('\n'.join(reversed(names(root, share=0.25))))
    listed = LabelFraction(
        data_root=str(root), split='train', names_file=str(tmp_path / 'names.txt')
    )
    other = LabelFraction(data_root=str(root), split='train', share=0.25, seed=1)
    assert part.names_sha256 == listed.names_sha256 != other.names_sha256


def test_label_fraction_known_names_are_drawn_on_every_machine(root):
    # Computed once; another result would change what earlier numbers mean.
    assert sorted(names(root, share=0.25))[:4] == [
        'n00000000_1.JPEG',
        'n00000001_4.JPEG',
        'n00000002_1.JPEG',
        'n00000003_4.JPEG',
    ]


@pytest.mark.parametrize('settings', [{}, {'share': 0.1, 'names_file': 'x.txt'}])
def test_label_fraction_not_one_of_share_and_list_raises(root, settings):
    with pytest.raises(ConfigError, match='Set exactly one of them'):
        LabelFraction(data_root=str(root), split='train', **settings)


@pytest.mark.parametrize('share', [0, -0.1, 1.5, 10])
def test_label_fraction_no_share_raises(root, share):
    with pytest.raises(ConfigError, match='more than 0, at most 1'):
        LabelFraction(data_root=str(root), split='train', share=share)


def test_label_fraction_list_of_other_data_raises(root, tmp_path):
    (tmp_path / 'names.txt').write_text('n01440764_10026.JPEG\n')
    with pytest.raises(DataError, match=r'1 of its 1 images are not in .*n01440764_10026'):
        names(root, names_file=str(tmp_path / 'names.txt'))


@pytest.mark.parametrize(('text', 'message'), [(None, 'no such list'), ('\n', 'names no image')])
def test_label_fraction_list_missing_or_empty_raises(root, tmp_path, text, message):
    path = tmp_path / 'names.txt'
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=message):
        names(root, names_file=str(path))
