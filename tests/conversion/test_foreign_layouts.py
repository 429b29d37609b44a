"""Wrapped files, shards, folders of hubs, files that hold several networks, damaged ones."""

import json

import pytest
import safetensors.torch
import timm
import torch

from mim_bench.conversion.backbone_config import backbone_config
from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.files import read_checkpoint
from mim_bench.conversion.inspection import inspect_content
from mim_bench.conversion.weight_files import weights_sha256
from mim_bench.engine.load_gate import load_backbone
from mim_bench.errors import CheckpointError, ConversionError
from mim_bench.registry import MODELS

ONE = torch.ones(1)
SIZES = dict(embed_dim=16, depth=2, num_heads=2, img_size=32)


@pytest.fixture(scope='module')
def vit():
    torch.manual_seed(0)
    return timm.create_model('vit_tiny_patch16_224', num_classes=0, **SIZES).state_dict()


def prefixed(state, prefix):
    return {prefix + key: value for key, value in state.items()}


def converted(content, folder, **options):
    torch.save(content, folder / 'a.pth')
    file = convert_checkpoint(folder / 'a.pth', folder / 'b.pth', source='timm', **options)
    return file, read_checkpoint(file.path)['state_dict']


@pytest.mark.parametrize(
    ('wrap', 'options'),
    [
        (lambda s: {'weights': s}, {}),
        (lambda s: {'net': prefixed(s, 'module.')}, {}),
        (lambda s: prefixed(s, 'backbone.'), {}),
        (lambda s: prefixed(s, 'encoder.net.') | {'decoder.weight': torch.ones(1)}, {}),
        (lambda s: prefixed(s, '_fsdp_wrapped_module._orig_mod.'), {}),
        (lambda s: {'a': {'b': s}}, {'container': 'a.b'}),
        (lambda s: prefixed(s, 'one.') | prefixed(s, 'two.'), {'prefix': 'two'}),
        (lambda s: {'student': prefixed(s, 'backbone.')}, {'container': 'student'}),
    ],
)
def test_any_wrapping_is_found_or_can_be_named(vit, wrap, options, tmp_path):
    _, state = converted(wrap(vit), tmp_path, **options)
    assert torch.equal(state['backbone.layers.1.ln1.weight'], vit['blocks.1.norm1.weight'])


def test_whole_numbers_in_place_of_weights_are_refused(vit, tmp_path):
    key = 'blocks.0.attn.qkv.weight'
    whole = (vit[key] * 100).to(torch.int8)
    for weight in (whole, torch.quantize_per_tensor(vit[key], 0.1, 0, torch.qint8)):
        with pytest.raises(
            ConversionError, match=rf'1 weights are quantised or complex, for example {key}'
        ):
            converted(vit | {key: weight}, tmp_path)


def test_of_two_networks_the_teacher_is_taken_and_others_must_be_named(vit, tmp_path):
    other = {key: value + 1 for key, value in vit.items()}
    both = prefixed(other, 'student.backbone.') | prefixed(vit, 'teacher.backbone.')
    file, state = converted(both, tmp_path)
    assert torch.equal(state['backbone.layers.0.ln1.weight'], vit['blocks.0.norm1.weight'])
    assert any('under teacher.backbone.' in note for note in file.notes)
    with pytest.raises(ConversionError, match=r'several networks, under left\., right\.'):
        converted(prefixed(vit, 'left.') | prefixed(other, 'right.'), tmp_path)


def test_what_is_not_there_is_said(vit, tmp_path):
    with pytest.raises(ConversionError, match=r"there is no 'x'\. Give one of model"):
        converted({'model': vit}, tmp_path, container='x')
    with pytest.raises(ConversionError, match=r'Give one of blocks, cls_token'):
        converted(vit, tmp_path, prefix='x')


def test_weights_in_several_files_are_one(vit, tmp_path):
    keys = sorted(vit)
    parts = {
        'model-00001-of-00002.safetensors': keys[::2],
        'model-00002-of-00002.safetensors': keys[1::2],
    }
    for name, mine in parts.items():
        safetensors.torch.save_file({k: vit[k].contiguous() for k in mine}, tmp_path / name)
    index = tmp_path / 'model.safetensors.index.json'
    index.write_text(json.dumps({'weight_map': {k: n for n, mine in parts.items() for k in mine}}))
    for path in (index, tmp_path, tmp_path / 'model-00002-of-00002.safetensors'):
        assert read_checkpoint(path)['state_dict'].keys() == vit.keys()
    assert weights_sha256(tmp_path) == weights_sha256(index)
    (tmp_path / 'model-00001-of-00002.safetensors').unlink()
    with pytest.raises(CheckpointError, match=r'00001-of-00002\.safetensors are not beside it'):
        read_checkpoint(index)


def test_values_that_are_not_finite_are_reported(vit, tmp_path):
    bad = vit | {'norm.weight': vit['norm.weight'] * float('inf')}
    file, _ = converted(bad, tmp_path)
    assert any('1 tensors hold values that are not finite: norm.weight' in n for n in file.notes)


def test_matrices_of_a_single_value_are_reported(vit, tmp_path):
    file, _ = converted({key: torch.zeros_like(value) for key, value in vit.items()}, tmp_path)
    assert any('weight matrices hold a single value' in note for note in file.notes)


def test_blocks_without_positions_are_refused_unless_named(tmp_path):
    args = dict(embed_dim=16, depth=2, num_heads=2, img_size=64)
    torch.manual_seed(0)
    net = timm.create_model('vit_small_patch16_rope_224', num_classes=0, **args)
    torch.save(net.state_dict(), tmp_path / 'a.pth')
    with pytest.raises(ConversionError, match='may be rotary'):
        convert_checkpoint(tmp_path / 'a.pth', tmp_path / 'b.pth', source='timm')
    options = dict(timm='vit_small_patch16_rope_224', arch=args)
    file = convert_checkpoint(tmp_path / 'a.pth', tmp_path / 'b.pth', **options)
    assert file.meta['backbone_type'] == 'mim_bench.TimmBackbone'


def test_dinov3_of_transformers_is_joined_in_the_official_order(tmp_path):
    torch.manual_seed(0)
    shapes = {f'attention.{part}_proj.weight': (16, 16) for part in 'qkvo'}
    shapes |= {f'attention.{part}_proj.bias': (16,) for part in 'qvo'}
    shapes |= {f'mlp.{part}_proj.weight': (32, 16) for part in ('gate', 'up')}
    shapes |= {f'mlp.{part}_proj.bias': (32,) for part in ('gate', 'up')}
    shapes |= {'mlp.down_proj.weight': (16, 32), 'mlp.down_proj.bias': (16,)}
    shapes |= {f'layer_scale{n}.lambda1': (16,) for n in (1, 2)}
    shapes |= {f'norm{n}.{leaf}': (16,) for n in (1, 2) for leaf in ('weight', 'bias')}
    shapes = {f'layer.0.{key}': shape for key, shape in shapes.items()}
    shapes |= {f'embeddings.{key}': (1, 1, 16) for key in ('cls_token', 'mask_token')}
    shapes |= {'embeddings.register_tokens': (1, 4, 16), 'norm.weight': (16,), 'norm.bias': (16,)}
    shapes |= {'embeddings.patch_embeddings.weight': (16, 3, 4, 4)}
    shapes |= {'embeddings.patch_embeddings.bias': (16,)}
    state = {key: torch.randn(shape) for key, shape in shapes.items()}
    settings = {'model_type': 'dinov3_vit', 'num_attention_heads': 2, 'rope_theta': 100.0}
    safetensors.torch.save_file(state, tmp_path / 'model.safetensors')
    (tmp_path / 'config.json').write_text(json.dumps(settings))
    file = convert_checkpoint(tmp_path, tmp_path / 'b.pth')
    assert (file.source, file.meta['arch']['num_heads'], file.meta['assumed']) == ('dinov3', 2, [])
    weights = read_checkpoint(file.path)['state_dict']
    block = 'backbone.blocks.0.'
    qkv = torch.cat([state[f'layer.0.attention.{part}_proj.weight'] for part in 'qkv'])
    assert torch.equal(weights[f'{block}attn.qkv.weight'], qkv)
    assert torch.equal(weights[f'{block}attn.v_bias'], state['layer.0.attention.v_proj.bias'])
    assert torch.equal(weights[f'{block}mlp.fc1_g.weight'], state['layer.0.mlp.gate_proj.weight'])
    for change, told in (
        ({'rope_theta': 10.0}, 'those of base 100'),
        ({'hidden_act': 'gelu'}, 'hidden_act=gelu.* silu only'),
        ({'layer_norm_eps': 1e-3}, 'layer_norm_eps=0.001'),
    ):
        (tmp_path / 'config.json').write_text(json.dumps(settings | change))
        with pytest.raises(ConversionError, match=told):
            convert_checkpoint(tmp_path, tmp_path / 'b.pth')
    (tmp_path / 'config.json').write_text(json.dumps(settings))
    state['layer.0.attention.k_proj.bias'] = torch.ones(16)
    safetensors.torch.save_file(state, tmp_path / 'model.safetensors')
    with pytest.raises(ConversionError, match='biases of keys'):
        convert_checkpoint(tmp_path, tmp_path / 'b.pth')


@pytest.mark.parametrize(
    ('name', 'args', 'told'),
    [
        ('vit_tiny_patch16_224', dict(SIZES, depth=3), 'lacks blocks.2'),
        ('vit_tiny_patch16_224', dict(SIZES, patch_size=8), 'patch_embed.proj.weight'),
        ('vit_tiny_patch16_224', dict(SIZES, depth=1), 'has besides blocks.1'),
        ('resnet18', {}, 'is not the network resnet18'),
    ],
)
def test_file_of_another_network_is_refused(vit, name, args, told, tmp_path):
    torch.save(vit, tmp_path / 'a.pth')
    with pytest.raises(ConversionError, match=told):
        convert_checkpoint(tmp_path / 'a.pth', tmp_path / 'b.pth', timm=name, arch=args)


@pytest.mark.parametrize(
    'change',
    [
        lambda s: prefixed(s, 'base_model.model.') | {'base_model.model.a.lora_A.weight': ONE},
        lambda s: s | {'blocks.0.attn.qkv.base_layer.weight': ONE},
        lambda s: s | {'blocks.0.attn.qkv.lora_up.weight': ONE},
    ],
)
def test_adapters_beside_the_weights_are_refused(vit, change, tmp_path):
    with pytest.raises(ConversionError, match=r'1 weights are adapters .*merge_and_unload'):
        converted(change(vit), tmp_path)


@pytest.mark.parametrize('name', ['adapter_config.json', 'adapter_model.safetensors'])
def test_folder_with_an_adapter_is_refused_and_its_weights_can_be_named(vit, name, tmp_path):
    safetensors.torch.save_file(vit, tmp_path / 'model.safetensors')
    (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=rf'an adapter .*{name}.*merge_and_unload'):
        read_checkpoint(tmp_path)
    assert read_checkpoint(tmp_path / 'model.safetensors')['state_dict'].keys() == vit.keys()


HALF = {'mean': [0.5, 0.5, 0.5], 'std': [0.5, 0.5, 0.5]}


def test_pixels_that_a_file_does_not_show_are_noted_until_they_are_stated(vit, tmp_path):
    def pixel_notes(**options):
        file, _ = converted(vit, tmp_path, **options)
        return [n for n in file.notes if 'normalised' in n], file.meta['arch'].get('pixels')

    (note,), pixels = pixel_notes()
    assert ("Google's ViTs" in note, pixels) == (True, None)
    assert pixel_notes(arch={'pixels': HALF}) == ([], HALF)
    for place in ('', 'timm/', 'hf-hub:timm/'):  # as timm itself writes names
        own = dict(timm=f'{place}vit_tiny_patch16_224', arch=SIZES)
        (note,), pixels = pixel_notes(**own)
        assert ('--timm vit_tiny_patch16_224.augreg' in note, pixels) == (True, None)
    assert pixel_notes(**own | {'arch': SIZES | {'pixels': HALF}}) == ([], HALF)
    for options in ({}, own):
        with pytest.raises(ConversionError, match=r'pixels=0\.5: give mean and standard dev'):
            converted(vit, tmp_path, **options | {'arch': {'pixels': 0.5}})


def test_missing_settings_of_transformers_are_noted(vit, tmp_path):
    file, _ = converted(vit, tmp_path)
    out = convert_checkpoint(file.path, tmp_path / 'pytorch_model.bin', to='huggingface').path

    def is_noted(**options):
        notes = convert_checkpoint(out, tmp_path / 'c.pth', **options).notes
        return any('no config.json of transformers lies beside' in note for note in notes)

    assert is_noted()
    (tmp_path / 'config.json').write_text(json.dumps({'model_type': 'vit'}))
    assert not is_noted()


def test_inspect_tells_quantised_weights(vit):
    state = {k: v.to(torch.float8_e4m3fn) if v.ndim == 2 else v for k, v in vit.items()}
    assert 'are quantised' in inspect_content(state, 'a.pth').problem


@pytest.mark.parametrize(
    ('change', 'told'),
    [
        ({'hidden_size': 32}, r'of another network: it says hidden_size=32, the weights say 16'),
        ({'num_hidden_layers': 12}, 'it says num_hidden_layers=12'),
        ({'num_attention_heads': 5}, 'says num_attention_heads=5 .* for weights of 16 channels'),
        ({'vision_config': {'num_attention_heads': 3}}, 'says num_attention_heads=3'),
        ({'layer_norm_eps': '1e-6'}, "layer_norm_eps='1e-6'"),
        ({'image_size': [16, 32]}, r'image_size=\[16, 32\] for a table of 4 positions'),
    ],
)
def test_settings_beside_the_weights_that_contradict_them_are_refused(vit, change, told, tmp_path):
    settings = {'model_type': 'vit', 'hidden_size': 16, 'num_hidden_layers': 2}
    for more in ({'num_attention_heads': 2}, change):
        (tmp_path / 'config.json').write_text(json.dumps(settings | more))
        if more is change:
            with pytest.raises(ConversionError, match=told):
                converted(vit, tmp_path)
        else:
            assert converted(vit, tmp_path)[0].meta['arch']['num_heads'] == 2


def test_grid_of_oblong_images_is_that_of_the_settings(vit, tmp_path):
    settings = {'model_type': 'vit', 'image_size': [16, 64]}
    (tmp_path / 'config.json').write_text(json.dumps(settings))
    file, _ = converted(vit, tmp_path)
    # 4 positions, which without settings are those of a square.
    assert (file.meta['arch']['img_size'], file.meta['arch']['num_patches']) == ([16, 64], 4)
    images = dict(out_type='raw', img_size=(16, 64))
    network = MODELS.build(backbone_config(file.meta, **images))
    assert load_backbone(network, file.path).resized == []


@pytest.mark.parametrize('source', ['dinov2', 'dinov3', 'siglip', 'hiera', 'eva02', 'capi'])
def test_source_of_another_network_is_one_message(vit, source, tmp_path):
    torch.save(vit, tmp_path / 'a.pth')
    with pytest.raises(ConversionError, match=r'^a\.pth: '):
        convert_checkpoint(tmp_path / 'a.pth', tmp_path / 'b.pth', source=source)


@pytest.mark.parametrize(
    ('name', 'source', 'told'),
    [
        ('vit_small_patch16_rope_224', 'beit', 'may be rotary'),
        ('vit_small_patch16_rope_224', 'simmim', 'may be rotary'),
        ('vit_small_patch16_rope_ape_224', 'timm', 'several networks of timm'),
        ('eva02_enormous_patch14_clip_224', 'timm', 'several networks of timm'),
        ('qwen3_vit_88m', 'timm', 'several networks of timm'),
        ('vit_base_patch16_siglip_gap_224', 'timm', 'several networks of timm'),
    ],
)
def test_names_that_several_networks_share_need_that_of_the_network(name, source, told, tmp_path):
    args = dict(embed_dim=16, depth=2, num_heads=2, num_classes=0)
    torch.save(timm.create_model(name, **args).state_dict(), tmp_path / 'a.pth')
    with pytest.raises(ConversionError, match=f'{told}.*--timm NAME'):
        convert_checkpoint(tmp_path / 'a.pth', tmp_path / 'b.pth', source=source)


def test_gated_layers_and_patches_of_video_are_refused(vit, tmp_path):
    narrow = {k: v[:, ::2] if k.endswith('fc2.weight') else v for k, v in vit.items()}
    with pytest.raises(ConversionError, match=r'a\.pth: .*64 channels .* 32 before'):
        converted(narrow, tmp_path)
    key = 'patch_embed.proj.weight'
    with pytest.raises(ConversionError, match=r'shape \(16, 3, 2, 16, 16\): .* for images'):
        converted(vit | {key: vit[key][:, :, None].repeat(1, 1, 2, 1, 1)}, tmp_path)


def test_dinov3_without_registers_has_the_features_of_its_network(tmp_path):
    torch.manual_seed(0)
    args = dict(embed_dim=16, depth=2, num_heads=1, img_size=32, num_reg_tokens=0)
    net = timm.create_model('vit_small_patch16_dinov3', num_classes=0, **args).eval()
    parts = {'gamma_1': 'ls1.gamma', 'gamma_2': 'ls2.gamma'}
    state = {
        '.'.join(parts.get(part, part) for part in key.split('.')): value
        for key, value in net.state_dict().items()
    }
    state |= {'mask_token': torch.zeros(1, 16), 'rope_embed.periods': 100 ** (torch.arange(4) / 4)}
    torch.save(state, tmp_path / 'a.pth')
    file = convert_checkpoint(tmp_path / 'a.pth', tmp_path / 'b.pth')
    assert (file.source, file.meta['arch']['num_reg_tokens']) == ('dinov3', 0)
    built = MODELS.build(backbone_config(file.meta, out_type='raw')).eval()
    load_backbone(built, file.path)
    image = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(built(image)[-1], net.forward_features(image))


def test_dinov2_without_biases_of_queries_is_read(tmp_path):
    args = dict(embed_dim=16, depth=2, num_heads=1, img_size=28, qkv_bias=False)
    net = timm.create_model('vit_small_patch14_dinov2', num_classes=0, **args)
    torch.save(net.state_dict() | {'mask_token': torch.zeros(1, 16)}, tmp_path / 'a.pth')
    file = convert_checkpoint(tmp_path / 'a.pth', tmp_path / 'b.pth')
    assert (file.source, file.meta['arch']['qkv_bias']) == ('dinov2', False)
