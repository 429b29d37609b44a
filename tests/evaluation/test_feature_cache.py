import os

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mim_bench.errors import DataError, MimBenchError
from mim_bench.evaluation.probes.feature_cache import cached_features
from mim_bench.evaluation.probes.feature_settings import feature_settings
from mim_bench.testing.toy_runs import ToyNet, loader

SETTINGS = {'weights': 'abc', 'classes': (1, 2)}
HOW = dict(pooling='gap', fp16=False, dtype='float32')


class Extraction:
    """Writes six features and counts how often it was asked to."""

    def __init__(self, shift=0):
        self.count, self.shift = 0, shift

    def __call__(self, folder):
        self.count += 1
        np.save(folder / 'x.npy', np.arange(12, dtype=np.float32).reshape(6, 2) + self.shift)
        np.save(folder / 'y.npy', np.arange(6))


@pytest.fixture
def kept(tmp_path):
    """Cached features: (root, the only folder in it)."""
    cached_features(tmp_path, SETTINGS, Extraction())
    (folder,) = tmp_path.iterdir()
    return tmp_path, folder


def settings_of(model=None, dataset=None, **how):
    cfg = Config({'model': {'type': 'ToyNet'}})
    settings = loader(**(dataset or {}))
    torch.manual_seed(0)
    model = model or ToyNet()
    built = Runner.build_dataloader(settings).dataset
    return feature_settings(cfg, model, settings, built, **{**HOW, **how})


def test_cached_features_are_extracted_once(kept):
    root, _ = kept
    features = cached_features(root, SETTINGS, extract=None)
    assert features.x[:].tolist() == np.arange(12.0).reshape(6, 2).tolist()
    assert features.y.tolist() == list(range(6))


def test_cached_features_of_other_settings_are_others(kept):
    root, _ = kept
    extract = Extraction()
    cached_features(root, {**SETTINGS, 'weights': 'abd'}, extract)
    assert extract.count == 1
    assert len(list(root.iterdir())) == 2


@pytest.mark.parametrize('damage', ['cut', 'no labels', 'no about', 'empty about', 'other about'])
def test_cached_features_that_are_damaged_are_extracted_again(kept, damage):
    root, folder = kept
    if damage == 'cut':
        os.truncate(folder / 'x.npy', 150)
    elif damage == 'empty about':
        (folder / 'about.json').write_text('')
    elif damage == 'other about':
        about = (folder / 'about.json').read_text()
        (folder / 'about.json').write_text(about.replace('abc', 'xyz'))
    else:
        (folder / {'no labels': 'y.npy', 'no about': 'about.json'}[damage]).unlink()
    extract = Extraction()
    assert len(cached_features(root, SETTINGS, extract).x) == 6
    assert extract.count == 1
    assert cached_features(root, SETTINGS, extract=None).num_classes == 6


def test_cached_features_failing_extraction_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / 'x.npy').write_bytes(b'half')
        raise DataError('no such image')

    with pytest.raises(DataError, match='no such image'):
        cached_features(tmp_path / 'new', SETTINGS, fail)
    assert list((tmp_path / 'new').iterdir()) == []


def test_cached_features_of_a_quicker_run_are_taken(tmp_path):
    slow, quick = Extraction(), []

    def extract(folder):
        quick.append(cached_features(tmp_path, SETTINGS, Extraction(shift=1)).x[:])
        slow(folder)

    np.testing.assert_array_equal(cached_features(tmp_path, SETTINGS, extract).x[:], quick[0])
    assert len(list(tmp_path.iterdir())) == 1


def test_cached_features_folder_that_cannot_be_made_is_one_error(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(MimBenchError, match=r'cannot be written.*cache_dir'):
        cached_features(tmp_path / 'file' / 'features', SETTINGS, Extraction())


def test_feature_settings_equal_weights_are_equal_whatever_the_batch():
    assert settings_of() == settings_of(dataset=dict(batch_size=2))


@pytest.mark.parametrize(
    'change',
    [
        dict(dataset=dict(length=13)),
        dict(dataset=dict(offset=1)),
        dict(pooling='cls'),
        dict(fp16=True),
        dict(dtype='float16'),
    ],
    ids=str,
)
def test_feature_settings_tell_what_decides_features(change):
    assert settings_of(**change) != settings_of()


def test_feature_settings_tell_one_changed_weight_and_no_head():
    torch.manual_seed(0)
    model = ToyNet()
    before = settings_of(model)
    model.head = torch.nn.Linear(2, 2)
    assert settings_of(model) == before
    model.backbone.bias.data[3] += 1e-6
    assert settings_of(model) != before


@pytest.fixture
def photos(tmp_path):
    """The settings of the same three images in any folder."""

    def settings(root, size=1, label_folder='a'):
        folder = tmp_path / root / 'train' / label_folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in '123':
            (folder / f'{name}.jpg').write_bytes(b'x' * size)
        dataset = dict(
            type='mmpretrain.CustomDataset', data_root=str(tmp_path / root), data_prefix='train'
        )
        cfg = Config({'model': {'type': 'ToyNet'}, 'train_dataloader': {'dataset': dataset}})
        torch.manual_seed(0)
        built = Runner.build_dataloader({**loader(), 'dataset': dataset}).dataset
        return feature_settings(cfg, ToyNet(), {'dataset': dataset}, built, **HOW)

    return settings


def test_feature_settings_do_not_tell_where_data_lie_but_which_they_are(photos):
    assert photos('here') == photos('there')
    assert photos('here') != photos('named', label_folder='b')
    assert photos('here') != photos('written-anew', size=2)
