"""MAE's files: whole, encoder alone, fine-tuned; and what shares their keys."""

import pytest
import torch
from mmpretrain.models import ImageClassifier, VisionTransformer

from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.detection import find_source, fitting_sources
from mim_bench.conversion.files import read_checkpoint
from mim_bench.registry import MODELS

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)


@pytest.fixture
def model(redrawn):
    backbone = dict(type='mmpretrain.MAEViT', arch=ARCH, img_size=32)
    neck = dict(type='mmpretrain.MAEPretrainDecoder', num_patches=4, embed_dim=16)
    neck |= dict(decoder_embed_dim=8, decoder_depth=1, decoder_num_heads=2)
    head = dict(type='mmpretrain.MAEPretrainHead', loss=dict(type='PixelReconstructionLoss'))
    head['loss']['criterion'] = 'L2'
    return redrawn(
        MODELS.build(dict(type='mmpretrain.MAE', backbone=backbone, neck=neck, head=head))
    )


def encoder_of(state):
    return {k: v for k, v in state.items() if 'decoder' not in k and k != 'mask_token'}


def test_mae_whole_file_loads_into_mmpretrains_mae(model, official, tmp_path):
    torch.save({'model': official(model.state_dict()), 'epoch': 799}, tmp_path / 'a.pth')
    file = convert_checkpoint(tmp_path / 'a.pth', tmp_path / 'b.pth', keep_decoder=True)
    assert (file.source, file.meta['method'], file.meta['epochs']) == ('mae', 'mae', 800)
    state = read_checkpoint(file.path)['state_dict']
    torch.testing.assert_close(state, dict(model.state_dict()), rtol=0, atol=0)
    model.load_state_dict(state, strict=True)


def test_mae_encoder_under_model_is_mae(model, official):
    state = encoder_of(official(model.state_dict()))
    assert find_source(state, 'a.pth', {'model': state}).name == 'mae'


def test_mae_finetuned_file_could_be_that_of_its_followers(official):
    state = dict.fromkeys(('fc_norm.weight', 'head.weight'), torch.zeros(1))
    state |= official(VisionTransformer(ARCH, img_size=32).state_dict())
    found = fitting_sources(state, {'model': state})
    assert [source.name for source in found] == ['localmim', 'mae', 'ummae']


def test_mae_finetuned_file_becomes_a_classifier(redrawn, official, tmp_path):
    backbone = VisionTransformer(ARCH, img_size=32, out_type='avg_featmap', final_norm=False)
    head = dict(type='mmpretrain.LinearClsHead', num_classes=3, in_channels=16)
    model = redrawn(ImageClassifier(backbone=backbone, head=head))
    torch.save({'model': official(model.state_dict()), 'epoch': 99}, tmp_path / 'ft.pth')
    settings = dict(source='mae', keep_decoder=True)
    file = convert_checkpoint(tmp_path / 'ft.pth', tmp_path / 'b.pth', **settings)
    model.load_state_dict(read_checkpoint(file.path)['state_dict'], strict=True)
    assert (file.meta['epochs'], file.meta['finetune_epochs']) == (None, 100)
