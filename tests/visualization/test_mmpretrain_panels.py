"""The panels of mmpretrain's own methods, at toy size."""

from types import SimpleNamespace

import pytest
import torch

from mim_bench.registry import MODELS
from mim_bench.visualization.mmpretrain import (
    _cells,
    beit_panels,
    mae_panels,
    maskfeat_panels,
)

ARCH = dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8)


def build(kind, backbone, **parts):
    model = MODELS.build(
        dict(type=f'mmpretrain.{kind}', backbone=dict(arch=ARCH, **backbone), **parts)
    )
    return model.eval()


def samples(*masks):
    return [SimpleNamespace(mask=torch.as_tensor(mask)) for mask in masks]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize('norm_pix', [False, True])
@torch.no_grad()
def test_panels_of_mae_hide_and_fill_three_quarters(norm_pix):
    model = build(
        'MAE',
        dict(type='mmpretrain.MAEViT', img_size=16, patch_size=4, mask_ratio=0.75),
        neck=dict(
            type='mmpretrain.MAEPretrainDecoder',
            num_patches=16,
            patch_size=4,
            embed_dim=8,
            decoder_embed_dim=8,
            decoder_depth=1,
            decoder_num_heads=2,
        ),
        head=dict(
            type='mmpretrain.MAEPretrainHead',
            patch_size=4,
            norm_pix=norm_pix,
            loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2'),
        ),
    )
    panels = mae_panels(model, 255 * torch.rand(2, 3, 16, 16), samples(0, 0), predict=True)
    titles = ['input', 'masked input', 'target (normalised)', 'reconstruction']
    assert [panel.title for panel in panels] == [t for t in titles if norm_pix or 'target' not in t]
    image, masked, filled = (panels[i].images for i in (0, 1, -1))
    is_hidden = (masked == 0.5).all(1)
    assert is_hidden.float().mean() == 0.75
    changed = (filled != image).any(1)
    assert not (changed & ~is_hidden).any()
    assert changed.any()


def maskfeat():
    # Patches of 8 px with 2 x 2 cells.
    return build(
        'MaskFeat',
        dict(type='mmpretrain.MaskFeatViT', img_size=32, patch_size=8),
        neck=dict(type='mmpretrain.LinearNeck', in_channels=8, out_channels=108, norm_cfg=None),
        head=dict(
            type='mmpretrain.MIMHead',
            loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2'),
        ),
        target_generator=dict(type='mim_bench.TokenHOGGenerator', patch_size=8, pool=4),
    )


def test_cells_of_maskfeat_are_the_histograms_that_its_target_was_cut_from():
    generator = maskfeat().target_generator
    target = generator(torch.rand(2, 3, 32, 32))
    assert torch.equal(_cells(target, 9, (4, 4)), generator.out)


@torch.no_grad()
def test_panels_of_maskfeat_differ_where_hidden_only():
    mask = torch.zeros(4, 4)
    mask[:2] = 1
    inputs = torch.rand(1, 3, 32, 32)
    panels = maskfeat_panels(maskfeat(), inputs, samples(mask), predict=True)
    assert [panel.title for panel in panels[2:]] == ['target (HOG)', 'prediction (HOG)']
    target, predicted = (panel.images[0] for panel in panels[2:])
    assert (target[:, :16] != predicted[:, :16]).any()
    # A picture is as bright as its brightest line, so what is visible may differ by a factor.
    factor = predicted[:, 16:].sum() / target[:, 16:].sum()
    torch.testing.assert_close(predicted[:, 16:], target[:, 16:] * factor)


@torch.no_grad()
def test_panels_of_beit_show_tokens_of_the_second_view():
    model = build(
        'BEiT',
        dict(type='mmpretrain.BEiTPretrainViT', img_size=16, patch_size=4, final_norm=True),
        head=dict(
            type='mmpretrain.BEiTV1Head',
            embed_dims=8,
            num_embed=16,
            loss=dict(type='mmpretrain.CrossEntropyLoss'),
        ),
        target_generator=dict(
            type='mim_bench.DalleTokenizer', n_hid=4, n_blk_per_group=1, vocab_size=16
        ),
        data_preprocessor=dict(type='mim_bench.TokenizerDataPreprocessor'),
    )
    mask = torch.zeros(4, 4)
    mask[0] = 1
    inputs = [torch.rand(1, 3, 16, 16), torch.rand(1, 3, 32, 32)]
    panels = beit_panels(model, inputs, samples(mask), predict=True)
    tokens, predicted = (panel.images[0] for panel in panels[2:])
    assert tokens.shape == predicted.shape == (3, 4, 4)
    assert torch.equal(tokens[:, 1:], predicted[:, 1:])
    assert len(beit_panels(model, inputs, samples(mask), predict=False)) == 3
