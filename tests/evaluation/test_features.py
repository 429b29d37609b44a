import os

import numpy as np
import pytest
import torch
from mmengine.runner import Runner

from mim_bench.errors import ConfigError, DataError, MimBenchError, TrainingError
from mim_bench.evaluation.probes import features as features_module
from mim_bench.evaluation.probes.extraction import extract_features
from mim_bench.evaluation.probes.features import Features
from mim_bench.evaluation.probes.npy_rows import RowWriter
from mim_bench.testing.disk import full_disk
from mim_bench.testing.toy_runs import ToyImages, ToyNet, loader


def build(**settings):
    return Runner.build_dataloader(loader(**settings))


def test_extract_features_are_the_pooled_maps_in_order(tmp_path):
    model, data = ToyNet(), ToyImages(length=10)
    features = extract_features(model, build(length=10, batch_size=4), tmp_path, pooling='gap')
    expected = model.backbone(data.images).mean(dim=(2, 3)).detach()
    torch.testing.assert_close(features.x[:], expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(features.y, data.labels)
    assert features.x[:].dtype == torch.float32
    assert features.num_classes == 3


def test_extract_features_leaves_modes_and_random_state(tmp_path):
    model = ToyNet().train()
    dataloader = build()
    state = torch.get_rng_state()
    extract_features(model, dataloader, tmp_path, pooling='gap')
    assert torch.equal(torch.get_rng_state(), state)
    assert model.backbone.training
    assert not model.frozen.training


def test_extract_features_that_fails_between_batches_leaves_modes_at_once(tmp_path, monkeypatch):
    model = ToyNet().train()
    monkeypatch.setattr(RowWriter, 'append', lambda writer: None)
    with pytest.raises(TypeError) as caught:
        extract_features(model, build(), tmp_path, pooling='gap')
    assert caught.tb is not None  # holds the frames, and so the generator of the batches
    assert torch.is_grad_enabled()
    assert model.backbone.training


def test_extract_features_shuffling_loader_raises(tmp_path):
    with pytest.raises(ConfigError, match='the sampler shuffles'):
        extract_features(ToyNet(), build(shuffle=True), tmp_path, pooling='gap')


def test_extract_features_dropped_samples_raise(tmp_path):
    dataloader = torch.utils.data.DataLoader(
        ToyImages(7), batch_size=3, drop_last=True, collate_fn=build().collate_fn
    )
    with pytest.raises(ConfigError, match='read 6 samples of a data set of 7'):
        extract_features(ToyNet(), dataloader, tmp_path, pooling='gap')


def test_extract_features_list_of_images_raises(tmp_path):
    settings = loader() | {'collate_fn': {'type': 'pseudo_collate'}}
    with pytest.raises(ConfigError, match='default_collate'):
        extract_features(ToyNet(), Runner.build_dataloader(settings), tmp_path, pooling='gap')


def test_extract_features_not_finite_raises(tmp_path):
    with pytest.raises(
        TrainingError, match='1 of 12 samples are not finite in float32, the first at index 5'
    ):
        extract_features(ToyNet(), build(nan_at=5), tmp_path, pooling='gap')


def test_extract_features_that_are_all_the_same_raise(tmp_path):
    model = ToyNet()
    model.backbone.weight.data.zero_()
    with pytest.raises(TrainingError, match='All 12 samples have the same features in float32'):
        extract_features(model, build(), tmp_path, pooling='gap')


def test_extract_features_without_label_raises(monkeypatch, tmp_path):
    monkeypatch.setattr(ToyImages, '__getitem__', unlabelled)
    with pytest.raises(DataError, match=r'images/0.jpg: a probe needs one class label'):
        extract_features(ToyNet(), build(), tmp_path, pooling='gap')


def unlabelled(self, index, original=ToyImages.__getitem__):
    item = original(self, index)
    del item['data_samples'].gt_label
    return item


@pytest.mark.parametrize(
    ('y', 'message'), [(torch.tensor([0]), r'\(2, 3\) with labels'), (torch.tensor([0, -1]), '-1')]
)
def test_features_that_do_not_fit_raise(y, message):
    with pytest.raises(DataError, match=message):
        Features(torch.zeros(2, 3), y)


def test_extract_features_half_precision_halves_the_file(tmp_path):
    folders = {dtype: tmp_path / dtype for dtype in ('float32', 'float16')}
    model, read = ToyNet(), {}
    for dtype, folder in folders.items():
        folder.mkdir()
        read[dtype] = extract_features(model, build(), folder, pooling='gap', dtype=dtype)
    assert torch.equal(read['float16'].x[:], read['float32'].x[:].half().float())
    sizes = [np.load(folder / 'x.npy').nbytes for folder in folders.values()]
    assert sizes == [12 * 4 * 4, 12 * 4 * 2]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [(dict(dtype='int8'), "feature_dtype='int8'"), (dict(fp16='fp8'), "fp16='fp8'")],
)
def test_extract_features_unknown_precision_raises(tmp_path, settings, message):
    with pytest.raises(ConfigError, match=f'{message} is unknown'):
        extract_features(ToyNet(), build(), tmp_path, pooling='gap', **settings)


def test_extract_features_full_disk_is_one_error(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'fsync', full_disk)
    with pytest.raises(MimBenchError, match=r'No space left on device.*cache_dir'):
        extract_features(ToyNet(), build(), tmp_path, pooling='gap')


@pytest.mark.parametrize(('room_bytes', 'is_near'), [(10 * 4 * 4, True), (10 * 4 * 4 - 1, False)])
def test_features_stay_in_their_file_where_they_do_not_fit(
    tmp_path, room_bytes, is_near, monkeypatch
):
    monkeypatch.setattr(features_module, '_CPU_ROOM_BYTES', room_bytes)
    np.save(tmp_path / 'x.npy', np.random.default_rng(0).random((10, 4), dtype=np.float32))
    np.save(tmp_path / 'y.npy', np.arange(10))
    features = Features.open(tmp_path)

    near = features.near('cpu')

    assert isinstance(near.x, torch.Tensor) == is_near
    assert torch.equal(near.x[:], features.x[:])
    assert near.y is features.y
