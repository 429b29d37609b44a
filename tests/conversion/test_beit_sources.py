"""BEiT, BEiT v2 and SimMIM's ViT: one family of names, told apart where the files allow it."""

import pytest
import torch
from mmpretrain.models import BEiTViT

from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.detection import fitting_sources
from mim_bench.conversion.files import read_checkpoint
from mim_bench.registry import MODELS

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
LOSS = dict(type='mmpretrain.CrossEntropyLoss')
TABLE = 'rel_pos_bias.relative_position_bias_table'


@pytest.fixture
def beit(redrawn):
    backbone = dict(type='mmpretrain.BEiTPretrainViT', arch=ARCH, img_size=32)
    head = dict(type='mmpretrain.BEiTV1Head', embed_dims=16, num_embed=6, loss=LOSS)
    return redrawn(MODELS.build(dict(type='mmpretrain.BEiT', backbone=backbone, head=head)))


@pytest.fixture
def beitv2(redrawn):
    backbone = dict(type='mmpretrain.BEiTPretrainViT', arch=ARCH, img_size=32)
    backbone |= dict(out_indices=[-2, -1], final_norm=False)
    neck = dict(type='mmpretrain.BEiTV2Neck', num_layers=2, early_layers=1)
    neck['backbone_arch'] = {**ARCH, 'depth': 2}
    head = dict(type='mmpretrain.BEiTV2Head', embed_dims=16, num_embed=6, loss=LOSS)
    model = dict(type='mmpretrain.BEiT', backbone=backbone, neck=neck, head=head)
    return redrawn(MODELS.build(model))


def save(state, path, **content):
    torch.save({'model': state, **content}, path)
    return path


@pytest.mark.parametrize('name', ['beit', 'beitv2'])
def test_beit_whole_file_loads_into_mmpretrains_beit(name, official, request, tmp_path):
    model = request.getfixturevalue(name)
    path = save(official(model.state_dict()), tmp_path / 'a.pth')
    file = convert_checkpoint(path, tmp_path / 'b.pth', keep_decoder=True)
    assert (file.source, file.meta['method'], file.dropped) == (name, name, [])
    assert file.meta['arch']['rel_pos_bias'] == 'shared'
    model.load_state_dict(read_checkpoint(file.path)['state_dict'], strict=True)


@pytest.mark.parametrize('name', ['beit', 'beitv2'])
def test_beit_backbone_has_the_shared_table_in_each_block(name, official, request, tmp_path):
    model = request.getfixturevalue(name)
    path = save(official(model.state_dict()), tmp_path / 'a.pth')
    file = convert_checkpoint(path, tmp_path / 'b.safetensors')
    state = read_checkpoint(file.path)['state_dict']
    weights = {key.removeprefix('backbone.'): value for key, value in state.items()}
    stock = BEiTViT(ARCH, img_size=32, out_type='raw', final_norm=True)
    stock.load_state_dict(weights, strict=True)
    names = [f'layers.{i}.attn.relative_position_bias_table' for i in range(2)]
    assert file.meta['expanded'] == [f'backbone.{name}' for name in names]
    assert file.meta['arch']['rel_pos_bias'] == 'per_block'
    for table in (weights[name] for name in names):
        assert torch.equal(table, model.state_dict()[f'backbone.{TABLE}'])
    assert file.meta == read_checkpoint(file.path)['meta']


def test_beit_backbone_gives_mmpretrains_features(beit, official, tmp_path):
    path = save(official(beit.state_dict()), tmp_path / 'a.pth')
    file = convert_checkpoint(path, tmp_path / 'b.pth')
    state = read_checkpoint(file.path)['state_dict']
    stock = BEiTViT(ARCH, img_size=32, out_type='raw', final_norm=True)
    stock.load_state_dict({k.removeprefix('backbone.'): v for k, v in state.items()})
    stock.eval()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(stock(images)[-1], beit.backbone(images, None)[-1])


def test_beit_finetuned_files_share_their_keys(beit, official):
    pretraining = ('mask_token', 'lm_head.weight', 'lm_head.bias', 'norm.weight', 'norm.bias')
    state = {k: v for k, v in official(beit.state_dict()).items() if k not in pretraining}
    state |= dict.fromkeys(('fc_norm.weight', 'head.weight'), torch.zeros(1))
    names = [source.name for source in fitting_sources(state, {'model': state})]
    assert names == ['beit', 'beitv2', 'conmim', 'simmim']


def test_simmim_vit_whole_file_keeps_token_and_decoder(beit, official, tmp_path):
    encoder = {k: v for k, v in official(beit.state_dict()).items() if 'lm_head' not in k}
    state = {f'encoder.{key}': value for key, value in encoder.items()}
    state |= {'decoder.0.weight': torch.ones(768, 16, 1, 1), 'decoder.0.bias': torch.ones(768)}
    path = save(state, tmp_path / 'a.pth')
    file = convert_checkpoint(path, tmp_path / 'b.pth', keep_decoder=True)
    assert (file.source, file.meta['backbone_type']) == ('simmim', 'mim_bench.ViT')
    converted = read_checkpoint(file.path)['state_dict']
    decoder = {k: converted.pop(f'neck.{k}') for k in ('decoder.0.weight', 'decoder.0.bias')}
    assert decoder['decoder.0.weight'].shape == (768, 16, 1, 1)
    beit.backbone.load_state_dict({k.removeprefix('backbone.'): v for k, v in converted.items()})
