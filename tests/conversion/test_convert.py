import pytest
import torch

from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.detection import find_source
from mim_bench.conversion.files import read_checkpoint
from mim_bench.errors import ConversionError
from mim_bench.files.hashing import file_sha256
from mim_bench.registry import MODELS

ARCH = dict(embed_dims=8, depths=(1, 2), num_heads=(1, 2), posmlp_dims=4)
BLOCK_PARTS = {
    'norm1': 'norm1',
    'norm2': 'norm2',
    'attn.w_msa.qkv': 'attn.qkv',
    'attn.w_msa.proj': 'attn.proj',
    'attn.w_msa.posmlp': 'attn.posmlp',
    'ffn.layers.0.0': 'mlp.fc1',
    'ffn.layers.1': 'mlp.fc2',
}


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='mim_bench.UMMAESwin', arch=ARCH, window_size=4, out_indices=(1,), final_norm=True
        )
    )


def official(backbone):
    """Its weights under the names of the official repository, written out for two stages."""
    blocks = {'stages.0.blocks.0.': 0, 'stages.1.blocks.0.': 1, 'stages.1.blocks.1.': 2}
    names = {}
    for key in backbone.state_dict():
        name = key.replace('patch_embed.projection', 'patch_embed.proj')
        name = name.replace('stages.1.downsample', 'blocks.1.downsample')
        for prefix, index in blocks.items():
            if key.startswith(prefix):
                rest = key.removeprefix(prefix)
                part = next(ours for ours in BLOCK_PARTS if rest.startswith(f'{ours}.'))
                name = f'blocks.{index}.{BLOCK_PARTS[part]}{rest.removeprefix(part)}'
        names[key] = name
    return {names[key]: value for key, value in backbone.state_dict().items()}


@pytest.fixture
def official_file(backbone, tmp_path):
    state = official(backbone) | {
        'vis_mask_token': torch.ones(1, 1, 8),
        'mask_token': torch.ones(1, 1, 4),
        'decoder_pred.bias': torch.ones(3),
    }
    torch.save({'model': state, 'epoch': 199}, tmp_path / 'official.pth')
    return tmp_path / 'official.pth'


def test_convert_ummae_fills_the_backbone_exactly(backbone, official_file, tmp_path):
    conversion = convert_checkpoint(official_file, tmp_path / 'out' / 'a.pth')
    assert conversion.source == 'ummae'
    state = read_checkpoint(conversion.path)['state_dict']
    expected = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    torch.testing.assert_close(state, expected, rtol=0, atol=0)
    assert sorted(conversion.dropped) == [
        'backbone.vis_mask_token', 'neck.decoder_pred.bias', 'neck.mask_token',
    ]  # fmt: skip


def test_convert_again_changes_no_weight(official_file, tmp_path):
    once = convert_checkpoint(official_file, tmp_path / 'a.safetensors')
    twice = convert_checkpoint(once.path, tmp_path / 'b.pth')
    assert twice.source == 'mmpretrain'
    one, two = (read_checkpoint(c.path)['state_dict'] for c in (once, twice))
    torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_convert_own_run_takes_method_and_epochs_from_its_meta(backbone, tmp_path):
    state = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    state['backbone.mask_token'] = torch.zeros(1)
    meta = {'epoch': 30, 'mim_bench': {'method': 'simmim', 'epochs': 30}}
    torch.save({'state_dict': state, 'meta': meta}, tmp_path / 'epoch_30.pth')
    conversion = convert_checkpoint(tmp_path / 'epoch_30.pth', tmp_path / 'a.pth')
    assert (conversion.meta['method'], conversion.meta['epochs']) == ('simmim', 30)
    assert conversion.dropped == ['backbone.mask_token']


def test_convert_file_without_backbone_raises(tmp_path):
    torch.save({'head.weight': torch.zeros(1)}, tmp_path / 'a.pth')
    with pytest.raises(ConversionError, match=r'a\.pth: has no weights of a backbone'):
        convert_checkpoint(tmp_path / 'a.pth', tmp_path / 'b.pth', source='mmpretrain')
    assert not (tmp_path / 'b.pth').exists()


def test_find_source_auto_unknown_format_raises_and_shows_keys():
    with pytest.raises(ConversionError, match=r"not clear \(fits: none; .*--source.*\['odd'\]"):
        find_source({'odd': torch.zeros(1)}, 'a.pth')


def test_find_source_auto_ambiguous_raises_and_names_both():
    keys = ('encoder.layer.0.attention.attention.query.weight', 'blocks.0.attn.posmlp.0.weight')
    state = dict.fromkeys(keys, torch.zeros(1))
    with pytest.raises(ConversionError, match=r"fits: \['huggingface', 'ummae'\], which share"):
        find_source(state, 'a.pth')


def test_convert_half_precision_becomes_float32_and_says_so(backbone, tmp_path):
    state = {key: value.half() for key, value in official(backbone).items()}
    torch.save({'module': state, 'epoch': 4}, tmp_path / 'mp_rank_00_model_states.pt')
    file = convert_checkpoint(tmp_path / 'mp_rank_00_model_states.pt', tmp_path / 'a.pth')
    assert file.meta['cast'] == {'float16': len(state)}
    assert (file.meta['container'], file.meta['epochs']) == ('module', 5)
    weights = read_checkpoint(file.path)['state_dict']
    assert {value.dtype for value in weights.values()} == {torch.float32}
    norm = state['blocks.0.norm1.weight']
    assert torch.equal(weights['backbone.stages.0.blocks.0.norm1.weight'], norm.float())


def test_convert_average_of_the_weights_is_taken_if_asked(backbone, tmp_path):
    state = official(backbone)
    average = {key: value + 1 for key, value in state.items()}
    torch.save({'model': state, 'model_ema': average}, tmp_path / 'both.pth')
    plain, ema = (
        convert_checkpoint(tmp_path / 'both.pth', tmp_path / f'{use}.pth', use_ema=use)
        for use in (False, True)
    )
    assert any('model_ema' in note for note in plain.notes)
    one, two = (read_checkpoint(file.path)['state_dict'] for file in (plain, ema))
    torch.testing.assert_close(two, {key: value + 1 for key, value in one.items()})


def test_convert_view_of_a_large_memory_is_written_alone(backbone, tmp_path):
    state = official(backbone)
    large = torch.zeros(1_000_000)
    state['norm.weight'] = large[: len(state['norm.weight'])]
    torch.save({'model': state}, tmp_path / 'views.pth')
    file = convert_checkpoint(tmp_path / 'views.pth', tmp_path / 'a.pth')
    assert (tmp_path / 'views.pth').stat().st_size > 4_000_000
    assert file.path.stat().st_size < 400_000


def test_convert_again_keeps_what_the_first_conversion_knew(tmp_path):
    dims = 32
    shapes = {'cls_token': (1, 1, dims), 'pos_embed': (1, 5, dims)}
    shapes |= {'patch_embed.proj.weight': (dims, 3, 16, 16), 'decoder_embed.weight': (8, dims)}
    shapes |= {'blocks.0.attn.qkv.weight': (96, dims), 'blocks.0.attn.qkv.bias': (96,)}
    shapes['blocks.0.mlp.fc1.weight'] = (64, dims)
    state = {key: torch.zeros(shape) for key, shape in shapes.items()}
    torch.save({'model': state, 'epoch': 799}, tmp_path / 'mae.pth')
    arch = {'num_heads': 4}
    once = convert_checkpoint(tmp_path / 'mae.pth', tmp_path / 'a.safetensors', arch=arch)
    twice = convert_checkpoint(once.path, tmp_path / 'b.pth')
    assert twice.source == 'mmpretrain'
    kept = ('method', 'licence', 'epochs', 'labels', 'img_size', 'params', 'known_from')
    kept += ('arch', 'backbone_type', 'assumed', 'source', 'source_file', 'origin_sha256')
    assert {key: twice.meta[key] for key in kept} == {key: once.meta[key] for key in kept}
    assert (once.meta['source'], once.meta['source_file']) == ('mae', 'mae.pth')
    assert once.meta['origin_sha256'] == file_sha256(tmp_path / 'mae.pth')


def test_convert_merge_order_without_mergings_raises(tmp_path):
    keys = ('norm.0.weight', 'decoder.0.mask_token', 'blocks.0.attn.qkv.weight')
    torch.save({'model': dict.fromkeys(keys, torch.zeros(1))}, tmp_path / 'vit.pth')
    with pytest.raises(ConversionError, match=r'vit\.pth: --merge-order pretrain is for Swins'):
        convert_checkpoint(tmp_path / 'vit.pth', tmp_path / 'a.pth', merge_order='pretrain')
