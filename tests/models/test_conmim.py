"""ConMIM as a model of mmpretrain: sizes, start, what depends on what, what is loaded."""

import math

import pytest
import torch
from mmpretrain.structures import DataSample

from mim_bench.engine.load_gate import load_backbone
from mim_bench.errors import CheckpointError, ConfigError
from mim_bench.masking.mask import Mask, take_tokens
from mim_bench.registry import MODELS
from mim_bench.visualization.methods import panels_of

ARCH = dict(embed_dims=32, num_layers=2, num_heads=4, feedforward_channels=64)
GRID = (4, 4)


def build_backbone(**kwargs) -> torch.nn.Module:
    config = dict(type='mim_bench.ConMIMViT', arch=ARCH, img_size=64, patch_size=16, **kwargs)
    return MODELS.build(config)


def build_model(**backbone) -> torch.nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='mim_bench.ConMIM',
            backbone=dict(
                type='mim_bench.ConMIMViT', arch=ARCH, img_size=64, patch_size=16, **backbone
            ),
            neck=dict(
                type='mim_bench.ConMIMProjector', in_channels=32, hid_channels=48, out_channels=16
            ),
            head=dict(type='mim_bench.PatchContrastHead'),
        )
    )
    model.init_weights()
    return model.train()


def make_batch() -> tuple[list[torch.Tensor], list[DataSample]]:
    generator = torch.Generator().manual_seed(0)
    views = [torch.randn(3, 3, 64, 64, generator=generator) for _ in range(2)]
    mask = torch.rand(3, 16, generator=generator).argsort(dim=1) < 12
    samples = []
    for m in mask:
        samples.append(DataSample())
        samples[-1].set_field(m.reshape(GRID), 'mask')
    return views, samples


def mask_of(samples: list[DataSample]) -> torch.Tensor:
    return torch.stack([sample.mask for sample in samples])


@pytest.mark.parametrize(
    # The official counts, 44.168, 112.954 and 333.570 M, have a layer to 8192 tokens in addition
    # that no loss uses.
    ('arch', 'width', 'official', 'unused'),
    [
        ('deit-small', 384, 44.168, 385 * 8192),
        ('base', 768, 112.954, 769 * 8192),
        ('large', 1024, 333.570, 1025 * 8192),
    ],
)
def test_conmim_student_has_the_official_parameters(arch, width, official, unused):
    # Index buffers are computed while building, so not on the meta device alone.
    with torch.device('meta'):
        neck = MODELS.build(dict(type='mim_bench.ConMIMProjector', in_channels=width))
        backbone = MODELS.build(dict(type='mim_bench.ConMIMViT', arch=arch))
    count = sum(p.numel() for part in (backbone, neck) for p in part.parameters())
    assert count / 1e6 == pytest.approx(official - unused / 1e6, abs=1e-3)


@pytest.mark.parametrize('name', ['layers.1.attn.qkv.weight', 'patch_embed.projection.weight'])
def test_conmim_weights_start_truncated_at_one_deviation(name):
    weight = build_model().backbone.get_parameter(name)
    assert weight.abs().max() <= 0.02
    assert weight.std().item() == pytest.approx(0.0108, rel=0.05)


@pytest.mark.parametrize('part', ['attn.proj', 'ffn.layers.1'])
def test_conmim_projections_start_smaller_with_depth(part):
    layers = build_model().backbone.layers
    for depth, layer in enumerate(layers, start=1):
        linear = layer.get_submodule(part)
        assert linear.weight.std().item() == pytest.approx(0.0108 / math.sqrt(2 * depth), rel=0.1)
        assert (linear.bias == 0).all()


def test_conmim_teacher_starts_as_the_student():
    state = build_model().state_dict()
    for name in [key for key in state if key.startswith(('backbone.', 'neck.'))]:
        assert torch.equal(state[name], state[f'teacher.module.{name}']), name


def test_conmim_loss_does_not_feel_the_scale_of_queries_and_keys():
    model, (views, samples) = build_model(), make_batch()
    mask = mask_of(samples)
    index = Mask.of(mask).hidden
    queries = take_tokens(model.queries(views[0], mask), index)
    keys = model.keys(views[1])
    loss = model.head.loss(queries, keys, index)
    assert len(index.flatten()) == 12 * 3
    torch.testing.assert_close(model.head.loss(3 * queries, 0.2 * keys, index), loss)


def test_conmim_every_student_parameter_and_no_teacher_parameter_gets_a_gradient():
    model, (views, samples) = build_model(), make_batch()
    # A start at zero would hide what the table passes on.
    torch.nn.init.normal_(model.backbone.rel_pos_bias.relative_position_bias_table)
    model.loss(views, samples)['loss'].backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert without == {name for name, _ in model.named_parameters() if name.startswith('teacher.')}


def test_conmim_images_meet_in_batch_norm_only():
    model, (views, samples) = build_model(), make_batch()
    mask = mask_of(samples)
    tokens = model.backbone(views[0], mask)[0]
    changed = [view.clone() for view in views]
    changed[0][1] += 1
    torch.testing.assert_close(model.backbone(changed[0], mask)[0][0], tokens[0])
    # In train mode the projector mixes them, in evaluation mode it does not.
    for is_mixed in (True, False):
        model.train(is_mixed)
        before, after = (model.queries(x, mask)[0] for x in (views[0], changed[0]))
        assert torch.allclose(before, after, atol=1e-6) != is_mixed


def test_conmim_vit_mask_of_another_grid_raises():
    views, _ = make_batch()
    with pytest.raises(ConfigError, match=r'a mask of \(8, 8\) patches for images of \(4, 4\)'):
        build_backbone()(views[0], torch.zeros(3, 8, 8, dtype=torch.bool))


def test_conmim_vit_table_in_each_block_raises():
    with pytest.raises(ConfigError, match='use_shared_rel_pos_bias'):
        build_backbone(use_rel_pos_bias=True)


def test_conmim_single_view_raises():
    model, (views, samples) = build_model(), make_batch()
    with pytest.raises(ConfigError, match='1 view of an image instead of 2'):
        model.loss(views[0], samples)


@pytest.mark.parametrize(
    ('predict', 'titles'),
    [
        (False, ['input', 'student sees', 'teacher sees']),
        (True, ['input', 'student sees', 'teacher sees', 'nearest patches']),
    ],
)
def test_conmim_panels_show_both_views(predict, titles):
    model, (views, samples) = build_model().eval(), make_batch()
    panels = panels_of(model, views, samples, predict=predict)
    assert [panel.title for panel in panels] == titles
    for panel in panels:
        assert panel.images.shape == (3, 3, 64, 64)
        assert 0 <= panel.images.min() <= panel.images.max() <= 1


def test_conmim_loads_a_file_of_one_network_into_both():
    torch.manual_seed(1)
    state = build_model().state_dict()
    single = {key: value + 1 for key, value in state.items() if not key.startswith('teacher.')}
    model = build_model()
    model.load_state_dict(single, strict=True)
    assert torch.equal(model.teacher['backbone'].cls_token, single['backbone.cls_token'])
    assert int(model.teacher.steps) == 0


def test_load_backbone_file_with_a_teacher_raises(tmp_path):
    torch.save({'state_dict': build_model().state_dict()}, tmp_path / 'epoch_1.pth')
    with pytest.raises(CheckpointError, match='the teacher is the result'):
        load_backbone(build_backbone(), tmp_path / 'epoch_1.pth')
