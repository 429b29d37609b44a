"""Names and shapes of published files at their full sizes: recognised as what they are, or refused.

The lists are written from the official model definitions; the values are zeros without memory.
"""

import math

import pytest
import torch

from mim_bench.conversion.architecture import found_architecture
from mim_bench.conversion.containers import open_container
from mim_bench.conversion.detection import AUTO, only_source, recognise
from mim_bench.errors import ConversionError


def zeros(*shape):
    return torch.zeros(1).expand(shape)


def linear(name, rows, cols, bias=True):
    return {f'{name}.weight': zeros(rows, cols)} | ({f'{name}.bias': zeros(rows)} if bias else {})


def norm(name, width):
    return {f'{name}.weight': zeros(width), f'{name}.bias': zeros(width)}


def patches(width, patch, name='patch_embed.proj'):
    return {f'{name}.weight': zeros(width, 3, patch, patch), f'{name}.bias': zeros(width)}


def block(name, width, *, qkv='full', scale=None, hidden=None, mlp='mlp'):
    """timm's names, in which the official repositories write."""
    hidden = hidden or 4 * width
    state = norm(f'{name}.norm1', width) | norm(f'{name}.norm2', width)
    state |= linear(f'{name}.attn.qkv', 3 * width, width, qkv == 'full')
    state |= linear(f'{name}.attn.proj', width, width)
    if qkv == 'qv':
        state |= {f'{name}.attn.{part}_bias': zeros(width) for part in 'qv'}
    if scale:
        state |= {f'{name}.{scale.format(i)}': zeros(width) for i in (1, 2)}
    if mlp == 'swiglu':
        return (
            state
            | linear(f'{name}.mlp.w12', 2 * hidden, width)
            | linear(f'{name}.mlp.w3', width, hidden)
        )
    return (
        state | linear(f'{name}.mlp.fc1', hidden, width) | linear(f'{name}.mlp.fc2', width, hidden)
    )


def vit(width, depth, patch, size, *, token=True, positions=True, prefix='', **settings):
    state = patches(width, patch)
    state |= {'cls_token': zeros(1, 1, width)} if token else {}
    rows = (size // patch) ** 2 + token
    state |= {'pos_embed': zeros(1, rows, width)} if positions else {}
    for i in range(depth):
        state |= block(f'blocks.{i}', width, **settings)
    state |= norm('norm', width)
    return {prefix + key: value for key, value in state.items()}


def dino(width, depth, patch, loss):
    teacher = vit(width, depth, patch, 224, prefix='backbone.')
    teacher |= linear('head.mlp.0', 2048, width)
    student = {f'module.{key}': value for key, value in teacher.items()}
    return {'student': student, 'teacher': teacher, 'epoch': 100, loss: {'center': zeros(1, 9)}}


def dinov2(width, depth, registers=0, **settings):
    state = vit(width, depth, 14, 518, scale='ls{}.gamma', **settings)
    state |= {'mask_token': zeros(1, width)}
    return state | ({'register_tokens': zeros(1, registers, width)} if registers else {})


def dinov3(width, depth, heads):
    state = vit(width, depth, 16, 224, positions=False, scale='ls{}.gamma')
    quarter = width // heads // 4
    state['rope_embed.periods'] = 100 ** (torch.arange(quarter) / quarter)
    state |= {'storage_tokens': zeros(1, 4, width), 'mask_token': zeros(1, width)}
    masks = {f'blocks.{i}.attn.qkv.bias_mask': zeros(3 * width) for i in range(depth)}
    return state | masks


def ijepa(width, depth, patch, size):
    encoder = vit(width, depth, patch, size, token=False, prefix='module.')
    return {'encoder': encoder, 'target_encoder': dict(encoder), 'predictor': {'a': zeros(1)}}


def cae(width, depth):
    state = {'mask_token': zeros(1, 1, width)}
    for prefix in ('encoder.', 'alignment_encoder.'):
        state |= vit(width, depth, 16, 224, qkv='qv', scale='gamma_{}', prefix=prefix)
    return {'model': state | linear('decoder.head', 8192, width)}


def beit2(width, depth, heads):
    state = vit(width, depth, 16, 224, positions=False, qkv='qv', scale='gamma_{}')
    state['rel_pos_bias.relative_position_bias_table'] = zeros(27 * 27 + 3, heads)
    state['rel_pos_bias.relative_position_index'] = torch.zeros(1, dtype=torch.int64).expand(
        197, 197
    )
    state |= {'mask_token': zeros(1, 1, width)} | linear('lm_head', 8192, width)
    for i in range(2):
        state |= block(f'cls_pt_layers.{i}', width, qkv='qv', scale='gamma_{}')
    return {'model': state | linear('cls_pt_lm_head', 8192, width)}


def eva02(width, depth, heads, hidden):
    state = patches(width, 14) | {
        'cls_token': zeros(1, 1, width), 'mask_token': zeros(1, 1, width),
        'pos_embed': zeros(1, 257, width),
    }  # fmt: skip
    half = width // heads // 2
    speeds = 10000.0 ** -(torch.arange(0, half, 2) / half)
    angles = (torch.arange(16)[:, None] * speeds).repeat_interleave(2, dim=1)
    both = torch.cat((angles.repeat_interleave(16, dim=0), angles.repeat(16, 1)), dim=1)
    state |= {'rope.freqs_cos': both.cos(), 'rope.freqs_sin': both.sin()}
    for i in range(depth):
        name = f'blocks.{i}'
        state |= norm(f'{name}.norm1', width) | norm(f'{name}.norm2', width)
        for part in 'qkv':
            state |= linear(f'{name}.attn.{part}_proj', width, width, bias=False)
        state |= {f'{name}.attn.{part}_bias': zeros(width) for part in 'qv'}
        state |= linear(f'{name}.attn.proj', width, width)
        state |= linear(f'{name}.mlp.w1', hidden, width) | linear(f'{name}.mlp.w2', hidden, width)
        state |= norm(f'{name}.mlp.ffn_ln', hidden) | linear(f'{name}.mlp.w3', width, hidden)
    return {'module': state | norm('norm', width) | linear('lm_head', 1024, width)}


def convnextv2(depths, widths):
    state = {'downsample_layers.0.0.weight': zeros(widths[0], 3, 4, 4)}
    state |= {'downsample_layers.0.0.bias': zeros(widths[0])}
    state |= norm('downsample_layers.0.1', widths[0])
    for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        if i:
            state |= norm(f'downsample_layers.{i}.0', widths[i - 1])
            state[f'downsample_layers.{i}.1.weight'] = zeros(width, widths[i - 1], 2, 2)
            state[f'downsample_layers.{i}.1.bias'] = zeros(width)
        for j in range(depth):
            name = f'stages.{i}.{j}'
            state |= {
                f'{name}.dwconv.weight': zeros(width, 1, 7, 7),
                f'{name}.dwconv.bias': zeros(width),
            }
            state |= norm(f'{name}.norm', width) | linear(f'{name}.pwconv1', 4 * width, width)
            state |= {f'{name}.grn.{part}': zeros(1, 1, 1, 4 * width) for part in ('gamma', 'beta')}
            state |= linear(f'{name}.pwconv2', width, 4 * width)
    return {'model': state | norm('norm', widths[-1]) | linear('head', 1000, widths[-1])}


def hiera(width, stages):
    state = {
        'patch_embed.proj.weight': zeros(width, 3, 7, 7),
        'patch_embed.proj.bias': zeros(width),
    }
    state['pos_embed'] = zeros(1, 56 * 56, width)
    number, before = 0, width
    for stage, depth in enumerate(stages):
        after = width * 2**stage
        for _ in range(depth):
            name = f'blocks.{number}'
            state |= norm(f'{name}.norm1', before) | norm(f'{name}.norm2', after)
            state |= linear(f'{name}.attn.qkv', 3 * after, before)
            state |= linear(f'{name}.attn.proj', after, after)
            state |= linear(f'{name}.mlp.fc1', 4 * after, after)
            state |= linear(f'{name}.mlp.fc2', after, 4 * after)
            state |= linear(f'{name}.proj', after, before) if before != after else {}
            number, before = number + 1, after
    return {'model_state': state | norm('encoder_norm', before) | {'mask_token': zeros(1, 1, 512)}}


def huggingface(width, depth, patch, size, *, prefix='', style='vit'):
    embeddings = f'{prefix}embeddings.'
    state = patches(width, patch, f'{embeddings}patch_embeddings.projection')
    state[f'{embeddings}cls_token'] = zeros(1, 1, width)
    state[f'{embeddings}position_embeddings'] = zeros(1, (size // patch) ** 2 + 1, width)
    for i in range(depth):
        name = f'{prefix}encoder.layer.{i}'
        for part in ('query', 'key', 'value'):
            state |= linear(f'{name}.attention.attention.{part}', width, width)
        state |= linear(f'{name}.attention.output.dense', width, width)
        if style == 'dinov2':
            state |= norm(f'{name}.norm1', width) | norm(f'{name}.norm2', width)
            state |= {f'{name}.layer_scale{n}.lambda1': zeros(width) for n in (1, 2)}
            state |= linear(f'{name}.mlp.fc1', 4 * width, width)
            state |= linear(f'{name}.mlp.fc2', width, 4 * width)
        else:
            state |= norm(f'{name}.layernorm_before', width) | norm(
                f'{name}.layernorm_after', width
            )
            state |= linear(f'{name}.intermediate.dense', 4 * width, width)
            state |= linear(f'{name}.output.dense', width, 4 * width)
    state |= {f'{embeddings}mask_token': zeros(1, width)} if style == 'dinov2' else {}
    return state | norm(f'{prefix}layernorm', width)


def siglip(width, depth, patch, size, hidden):
    tower = 'vision_model.'
    state = patches(width, patch, f'{tower}embeddings.patch_embedding')
    state[f'{tower}embeddings.position_embedding.weight'] = zeros((size // patch) ** 2, width)
    for i in range(depth):
        name = f'{tower}encoder.layers.{i}'
        state |= norm(f'{name}.layer_norm1', width) | norm(f'{name}.layer_norm2', width)
        for part in ('q', 'k', 'v', 'out'):
            state |= linear(f'{name}.self_attn.{part}_proj', width, width)
        state |= linear(f'{name}.mlp.fc1', hidden, width) | linear(f'{name}.mlp.fc2', width, hidden)
    state |= norm(f'{tower}post_layernorm', width) | {f'{tower}head.probe': zeros(1, 1, width)}
    return state | {'logit_scale': zeros(1), 'text_model.head.weight': zeros(width, width)}


def capi(width, depth, heads):
    state = {'backbone.registers': zeros(1, 16, width), 'backbone.mask_token': zeros(1, width)}
    state |= patches(width, 14, 'backbone.patch_embed')
    for part, count in (('encoder', depth), ('decoder', 12)):
        for i in range(count):
            name = f'backbone.{part}.blocks.{i}'
            for layer in ('q_proj', 'k_proj', 'v_proj', 'proj'):
                state |= linear(f'{name}.residual1.fn.{layer}', width, width, bias=False)
            state[f'{name}.residual1.fn.rope.freqs'] = zeros(2, width // heads)
            state |= linear(f'{name}.residual2.fn.fc1', 4 * width, width, bias=False)
            state |= linear(f'{name}.residual2.fn.fc2', width, 4 * width, bias=False)
            state |= {f'{name}.residual{n}.norm.weight': zeros(width) for n in (1, 2)}
    return state


def mae(width, depth, patch):
    state = vit(width, depth, patch, 224) | linear('decoder_embed', 512, width)
    state |= {'mask_token': zeros(1, 1, 512), 'decoder_pos_embed': zeros(1, 197, 512)}
    return {'model': state}


RELEASES = {
    'dino_vitsmall8 (full)': (dino(384, 12, 8, 'dino_loss'), 'dino', 'mim_bench.ViT'),
    'dino_vitbase16 (full)': (dino(768, 12, 16, 'dino_loss'), 'dino', 'mim_bench.ViT'),
    'ibot_vitlarge16 (full)': (dino(1024, 24, 16, 'ibot_loss'), 'ibot', 'mim_bench.ViT'),
    'dinov2_vits14': (dinov2(384, 12), 'dinov2', 'vit_small_patch14_dinov2'),
    'dinov2_vitl14_reg4': (dinov2(1024, 24, 4), 'dinov2', 'vit_small_patch14_reg4_dinov2'),
    'dinov2_vitg14': (
        dinov2(1536, 40, mlp='swiglu', hidden=4096), 'dinov2', 'vit_giant_patch14_dinov2'
    ),
    'dinov3_vits16': (dinov3(384, 12, 6), 'dinov3', 'vit_small_patch16_dinov3'),
    'dinov3_vitl16': (dinov3(1024, 24, 16), 'dinov3', 'vit_small_patch16_dinov3'),
    'ijepa vith14': (ijepa(1280, 32, 14, 224), 'ijepa', 'mim_bench.ViT'),
    'ijepa vith16-448': (ijepa(1280, 32, 16, 448), 'ijepa', 'mim_bench.ViT'),
    'cae_base': (cae(768, 12), 'cae', 'mim_bench.ViT'),
    'beitv2_base': (beit2(768, 12, 12), 'beitv2', 'mim_bench.ViT'),
    'eva02_B_pt': (eva02(768, 12, 12, 2048), 'eva02', 'eva02_base_patch14_224'),
    'convnextv2_tiny': (
        convnextv2((3, 3, 9, 3), (96, 192, 384, 768)), 'convnextv2', 'convnextv2_atto'
    ),
    'hiera_base': (hiera(96, (2, 3, 16, 3)), 'hiera', 'hiera_tiny_224'),
    'hf vit-mae-base': (
        huggingface(768, 12, 16, 224, prefix='vit.'), 'huggingface', 'mim_bench.ViT'
    ),
    'hf dinov2-base': (
        huggingface(768, 12, 14, 518, style='dinov2'), 'huggingface', 'vit_small_patch14_dinov2'
    ),
    'hf siglip-base': (siglip(768, 12, 16, 224, 3072), 'siglip', 'vit_base_patch16_siglip_224'),
    'hf siglip-so400m': (siglip(1152, 27, 14, 384, 4304), 'siglip', 'vit_base_patch16_siglip_224'),
    'capi_vitl14': (capi(1024, 24, 16), 'capi', 'mim_bench.CapiViT'),
    'mae_pretrain_vit_huge (full)': (mae(1280, 32, 14), 'mae', 'mim_bench.ViT'),
}  # fmt: skip


@pytest.mark.parametrize('name', RELEASES)
def test_release_is_recognised_as_what_it_is(name):
    content, expected, network = RELEASES[name]
    weights, fitting = recognise(open_container(content, name), content, AUTO, name)
    source = only_source(fitting, weights.state, name)
    assert source.name == expected
    converted = source.convert(weights.state, name, content=content)
    found = found_architecture(converted, source, content)
    assert network in (found.backbone_type, found.arch.get('name'))
    kept = sum(value.numel() for value in converted.backbone.values())
    assert kept > 0.9 * math.prod((12, 384, 384))


def swin_v2():
    name = 'layers.0.blocks.0.attn.'
    state = patches(96, 4) | norm('patch_embed.norm', 96)
    state |= {f'{name}cpb_mlp.0.weight': zeros(512, 2), f'{name}logit_scale': zeros(3, 1, 1)}
    return {'model': state | {f'{name}qkv.weight': zeros(288, 96)}}


def data2vec2():
    state = {f'blocks.{i}.attn.qkv.weight': zeros(2304, 768) for i in range(12)}
    return {'model': state | {'modality_encoders.IMAGE.extra_tokens': zeros(1, 1, 768)}}


def clip():
    return {
        f'visual.transformer.resblocks.{i}.attn.in_proj_weight': zeros(2304, 768) for i in (0, 1)
    }


@pytest.mark.parametrize('content', [swin_v2(), data2vec2(), clip()])
def test_network_without_a_source_is_refused(content):
    weights, fitting = recognise(open_container(content, 'x'), content, AUTO, 'x')
    with pytest.raises(ConversionError, match=r'fits: none.*--timm NAME'):
        only_source(fitting, weights.state, 'x')
