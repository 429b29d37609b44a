from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from PIL import Image
from torch import nn

from mim_bench.engine.reconstruction import reconstruct
from mim_bench.errors import ConfigError
from mim_bench.testing.toy_runs import ToyNet, loader, make_runner


def hook(**settings):
    return dict(
        type='mim_bench.ReconstructionHook',
        dataloader=loader(batch_size=64, shuffle=True),
        num_images=2,
        **settings,
    )


def pictures(runner):
    return {
        path.name: np.asarray(Image.open(path))
        for path in sorted((Path(runner.work_dir) / 'reconstructions').iterdir())
    }


def test_reconstruction_hook_saves_each_interval_and_the_end(pretraining):
    cfg = pretraining(custom_hooks=[hook(interval=2)], train_cfg=dict(by_epoch=True, max_epochs=3))
    runner = make_runner(cfg)
    runner.train()
    saved = pictures(runner)
    assert list(saved) == ['epoch_2.png', 'epoch_3.png']
    # 8 px are enlarged 12 times; 2 rows and 3 columns with gaps of 2 px
    assert saved['epoch_2.png'].shape == (2 * 96 + 2, 3 * 96 + 4, 3)


def test_reconstruction_hook_shows_the_same_images_and_draws_each_time(pretraining):
    runner = make_runner(pretraining(custom_hooks=[hook()]))
    runner.train()
    first, second = pictures(runner).values()
    # The toy "predicts" noise from the global generator; the toy's images do not change.
    assert np.array_equal(first, second)


def test_reconstruction_hook_leaves_the_training_as_it_was(pretraining):
    weights = []
    for name, hooks in (('plain', []), ('watched', [hook()])):
        runner = make_runner(pretraining(name, custom_hooks=hooks))
        runner.train()
        weights.append(torch.cat([p.detach().flatten() for p in runner.model.parameters()]))
    assert torch.equal(*weights)


def test_reconstruction_hook_iteration_based_run_names_the_iteration(pretraining):
    sampler = {'sampler': dict(type='InfiniteSampler', shuffle=True)}
    runner = make_runner(
        pretraining(
            train_dataloader=loader() | sampler,
            train_cfg=dict(by_epoch=False, max_iters=3),
            custom_hooks=[hook()],
        )
    )
    runner.train()
    assert list(pictures(runner)) == ['iter_3.png']


class SimMIM(BaseModel):
    """Has the name and the parts of mmpretrain's model."""

    def __init__(self):
        super().__init__()
        self.data_preprocessor = nn.Module()
        self.data_preprocessor.mean = torch.full((3, 1, 1), 100.0)
        self.data_preprocessor.std = torch.full((3, 1, 1), 50.0)

    def backbone(self, inputs, mask):
        return (torch.ones_like(inputs) * mask.shape[-1],)

    def neck(self, latent):
        return latent

    def forward(self, *_):
        pass


def test_reconstruct_simmim_shows_predictions_where_hidden():
    inputs = torch.zeros(1, 3, 4, 4)  # 100 / 255 in the picture
    mask = torch.tensor([[0, 1], [0, 0]])  # cells of 2 x 2 pixels
    parts = reconstruct(SimMIM(), inputs, [SimpleNamespace(mask=mask)])
    visible, predicted = 100 / 255, 200 / 255  # the neck gives 2
    hidden = torch.zeros(4, 4, dtype=torch.bool)
    hidden[:2, 2:] = True
    for name, expected in (('input', visible), ('masked', 0.5), ('predicted', predicted)):
        image = parts[name][0]
        torch.testing.assert_close(image[:, hidden], torch.full((3, 4), expected))
        torch.testing.assert_close(image[:, ~hidden], torch.full((3, 12), visible))


def test_reconstruct_model_without_adapter_raises():
    with pytest.raises(ConfigError, match='Linear cannot show reconstructions'):
        reconstruct(nn.Linear(1, 1), torch.zeros(1, 3, 4, 4), [None])


def test_reconstruct_method_of_other_meaning_is_not_taken():
    class MAE(nn.Module):
        def reconstruct(self, features, data_samples):
            raise AssertionError

    with pytest.raises(ConfigError, match='MAE cannot show'):
        reconstruct(MAE(), torch.zeros(1, 3, 4, 4), [None])


def test_reconstruct_wrong_shape_raises():
    class Halved(ToyNet):
        def reconstruct(self, inputs, data_samples):
            return super().reconstruct(inputs[:, :, ::2], data_samples)

    with pytest.raises(ConfigError, match=r'Halved.reconstruct gave .*\(2, 3, 4, 8\)'):
        reconstruct(Halved(), torch.zeros(2, 3, 8, 8), [None, None])
