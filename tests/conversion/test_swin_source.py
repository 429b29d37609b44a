"""Official Swin classifiers, and SimMIM's fine-tuned ones of the same names."""

import pytest
import torch
from mmpretrain.models import ImageClassifier, SwinTransformer

from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.detection import find_source
from mim_bench.conversion.files import read_checkpoint
from mim_bench.conversion.swin_keys import COLUMN_FIRST, source_order
from mim_bench.errors import ConversionError

ARCH = dict(embed_dims=8, depths=[2, 1], num_heads=[1, 2])


@pytest.fixture
def classifier(redrawn):
    backbone = SwinTransformer(
        ARCH, img_size=32, out_indices=(1,), stage_cfgs=dict(block_cfgs=dict(window_size=4))
    )
    neck = dict(type='mmpretrain.GlobalAveragePooling')
    head = dict(type='mmpretrain.LinearClsHead', num_classes=3, in_channels=16)
    return redrawn(ImageClassifier(backbone=backbone, neck=neck, head=head))


@pytest.fixture
def official_file(classifier, official, tmp_path):
    state = {}
    for key, value in official(classifier.state_dict()).items():
        if '.downsample.' in key:
            value = source_order(value, COLUMN_FIRST)
        # Behind the last stage, of two.
        state[key.replace('norm1.', 'norm.') if key.startswith('norm1.') else key] = value
    state['layers.0.blocks.1.attn_mask'] = torch.zeros(4, 16, 16)
    torch.save({'model': state}, tmp_path / 'swin.pth')
    return tmp_path / 'swin.pth'


def test_swin_classifier_comes_back_bit_for_bit(classifier, official_file, tmp_path):
    file = convert_checkpoint(official_file, tmp_path / 'b.pth', keep_decoder=True)
    assert (file.source, file.meta['merge_order']) == ('swin', 'column-first')
    assert file.dropped == ['layers.0.blocks.1.attn_mask']
    assert len(file.meta['reordered']) == 3
    state = read_checkpoint(file.path)['state_dict']
    torch.testing.assert_close(state, dict(classifier.state_dict()), rtol=0, atol=0)


def test_swin_architecture_has_the_window_of_the_tables(official_file, tmp_path):
    meta = convert_checkpoint(official_file, tmp_path / 'b.pth').meta
    assert meta['arch'] == {**ARCH, 'patch_size': 4, 'window_size': 4, 'norms': [1]}
    assert meta['method'] is None


def test_swin_file_named_simmim_records_the_method(official_file, tmp_path):
    swin, simmim = (
        convert_checkpoint(official_file, tmp_path / f'as-{name}.pth', source=name)
        for name in ('swin', 'simmim')
    )
    assert simmim.meta['method'] == 'simmim'
    one, two = (read_checkpoint(file.path)['state_dict'] for file in (swin, simmim))
    torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_swin_merge_order_of_another_source_raises(official_file, tmp_path):
    with pytest.raises(ConversionError, match=r"'swin' has no merge order 'pretrain'"):
        convert_checkpoint(official_file, tmp_path / 'b.pth', merge_order='pretrain')


def test_swin_v2_is_not_taken_for_swin():
    state = {'layers.0.blocks.0.attn.logit_scale': torch.zeros(1)}
    with pytest.raises(ConversionError, match='fits: none'):
        find_source(state, 'swinv2.pth')
