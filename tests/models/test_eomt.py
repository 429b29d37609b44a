"""EoMT: masks of the attention, their annealing, and the backbones that it takes."""

from types import SimpleNamespace

import pytest
import torch

from mim_bench.conversion.timm_weights import untrained
from mim_bench.engine.hooks.mask_annealing_hook import MaskAnnealingHook
from mim_bench.errors import ConfigError
from mim_bench.models.backbones.swin import Swin
from mim_bench.models.backbones.timm_backbone import TimmBackbone
from mim_bench.models.backbones.token_run import check_config, check_token_run, token_run
from mim_bench.models.backbones.vit import ViT
from mim_bench.models.eomt import attention_mask
from mim_bench.profiling.synthetic import SyntheticData
from mim_bench.profiling.training_step import StepSettings, TrainingStep
from mim_bench.recipe.config import load_config
from mim_bench.shipped import shipped_folder

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)


def test_attention_mask_keeps_queries_to_the_patches_of_their_masks():
    masks = torch.tensor([[[[1.0, -1.0]], [[-1.0, -1.0]]]])  # two queries, two patches
    allowed = attention_mask(masks, (1, 2), num_prefix=1, keep=1.0)[0, 0]
    assert allowed[0].tolist() == [True, True, True, True, False]
    assert allowed[1].tolist() == [True, True, True, False, False]
    assert allowed[2:].all()


def test_attention_mask_with_probability_0_masks_nothing():
    masks = torch.full((2, 3, 4, 4), -1.0)
    assert attention_mask(masks, (4, 4), num_prefix=0, keep=0.0).all()


@pytest.mark.parametrize(
    ('share', 'wanted'), [(0, [1, 1]), (0.25, [1, 1]), (0.375, [0.5, 1]), (0.75, [0, 0])]
)
def test_mask_annealing_fades_block_after_block(share, wanted):
    assert annealed(int(800 * share)) == pytest.approx(wanted)


def test_mask_annealing_has_one_probability_for_all_passes_of_an_update():
    assert annealed(302, accumulation=4) == annealed(75, num_iters=200)
    assert annealed(303, accumulation=4) == annealed(300, accumulation=4)


def annealed(iteration, accumulation=1, num_iters=800):
    """The probabilities of two blocks."""
    model = torch.nn.Module()
    model.mask_probabilities = [1.0, 1.0]
    wrapper = SimpleNamespace(_accumulative_counts=accumulation)
    runner = SimpleNamespace(
        model=model, iter=iteration, max_iters=num_iters, optim_wrapper=wrapper
    )
    MaskAnnealingHook(power=1.0).before_train_iter(runner, 0)
    return model.mask_probabilities


def eva(name, **args):
    args = dict(embed_dim=32, depth=2, num_heads=2, **args)
    return TimmBackbone(name, final_norm=False, model_args=args)


@pytest.mark.parametrize(
    'backbone',
    [
        lambda: ViT(arch=ARCH, patch_size=8, img_size=16, final_norm=False),
        lambda: ViT(
            arch=ARCH, patch_size=8, img_size=16, rel_pos_bias='per_block', final_norm=False
        ),
        lambda: ViT(arch=ARCH, patch_size=8, img_size=16, rel_pos_bias='shared', final_norm=False),
        lambda: TimmBackbone('test_vit', final_norm=False, img_size=160),
        lambda: eva('vit_small_patch16_dinov3'),
        lambda: eva('eva02_tiny_patch14_224', patch_size=16),
        lambda: eva('vit_small_patch16_rope_mixed_224'),
    ],
    ids=['ViT', 'BEiT', 'shared table', 'timm', 'DINOv3', 'EVA-02', 'mixed rotary'],
)
def test_token_run_without_further_tokens_is_the_backbone(backbone):
    torch.manual_seed(0)
    network = backbone().eval()
    images = torch.rand(1, 3, 48, 32)
    run = token_run(network, images)
    tokens = run.tokens
    for block in run.blocks:
        tokens = block(tokens, torch.ones(1, 1, tokens.shape[1], tokens.shape[1]).bool())
    maps = tokens[:, run.num_prefix :].unflatten(1, run.grid).permute(0, 3, 1, 2)
    torch.testing.assert_close(maps, network(images)[-1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ('backbone', 'reason'),
    [
        (lambda: Swin(arch=dict(embed_dims=8, depths=(1, 1), num_heads=(1, 2))), 'no.* plain'),
        (lambda: TimmBackbone('test_convnext'), 'test_convnext'),
        (lambda: eva('beit_base_patch16_224'), 'tokens of an image alone'),
        (lambda: ViT(arch=ARCH, rel_pos_bias='decomposed', img_size=32), 'relative positions'),
    ],
)
def test_check_token_run_names_what_stands_in_the_way(backbone, reason):
    with pytest.raises(ConfigError, match=f'blocks of .*{reason}.* take no further tokens'):
        check_token_run(backbone())


@pytest.mark.parametrize('name', ['vit_small_patch16_dinov3', 'vit_small_patch16_rope_mixed_224'])
def test_rotary_positions_do_not_turn_further_tokens(name):
    torch.manual_seed(0)
    network = eva(name).eval()
    run = token_run(network, torch.rand(1, 3, 48, 32))
    length, further = run.tokens.shape[1] + 7, torch.randn(1, 7, 32)
    order = torch.tensor([3, 1, 0, 6, 5, 2, 4])

    def block(first, mask=None):
        return run.blocks[0](torch.cat((first, run.tokens), dim=1), mask)

    out, other = block(further), block(further[:, order])
    torch.testing.assert_close(out[:, 7:], other[:, 7:])
    torch.testing.assert_close(out[:, order], other[:, :7])
    apart = torch.ones(1, 1, length, length, dtype=torch.bool)
    apart[..., 7:, :7] = False  # those of the image do not see them
    torch.testing.assert_close(block(further, apart)[:, 7:], run.blocks[0](run.tokens, None))


def test_eomt_of_a_network_without_tokens_is_refused_before_it_runs():
    backbone = dict(type='mim_bench.TimmBackbone', name='test_convnext')
    check_config(dict(type='EncoderDecoder', backbone=backbone))
    with pytest.raises(ConfigError, match=r'test_convnext.*take no further tokens'):
        check_config(dict(type='mim_bench.EoMT', backbone=backbone))


@pytest.mark.parametrize('kind', ['per_block', 'shared'])
def test_relative_positions_add_nothing_to_logits_of_further_tokens(kind):
    torch.manual_seed(0)
    network = ViT(arch=ARCH, patch_size=8, img_size=16, rel_pos_bias=kind).eval()
    tables = [p for n, p in network.named_parameters() if 'bias_table' in n]
    for table in tables:
        torch.nn.init.constant_(table, 3.0)  # of all pairs alike: softmax does not see it
    run = token_run(network, torch.rand(1, 3, 16, 16))
    length = run.tokens.shape[1] + 1
    apart = torch.ones(1, 1, length, length, dtype=torch.bool)
    apart[..., 1:, 0] = apart[..., 0, 1:] = False
    further = torch.cat((torch.randn(1, 1, 16), run.tokens), dim=1)
    alone = run.blocks[0](run.tokens, None)
    torch.testing.assert_close(run.blocks[0](further, apart)[:, 1:], alone)
    # With a bias of 3 within the image alone, a further token counts less than without it.
    seen = run.blocks[0](further, None)[:, 1:]
    for table in tables:
        torch.nn.init.zeros_(table)
    unbiased = token_run(network, torch.rand(1, 3, 16, 16)).blocks[0](further, None)[:, 1:]
    assert (seen - alone).norm() < (unbiased - alone).norm()


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'args'),
    [
        ('test_vit', {}),
        ('vit_small_patch16_dinov3', dict(embed_dim=32, depth=3, num_heads=2)),
        ('eva02_tiny_patch14_224', dict(embed_dim=32, depth=3, num_heads=2, patch_size=16)),
    ],
)
def test_eomt_trains_a_network_of_timm(name, args, tmp_path):
    untrained(name, tmp_path / 'a.pth', args)
    config = shipped_folder('configs') / 'demo/eomt_vit-toy_1xb4-200i_toy-ade20k-128px.py'
    cfg = load_config(config, backbone_of=tmp_path / 'a.pth')
    step, data = TrainingStep(cfg, StepSettings()), SyntheticData(cfg)
    step(data.batch(2))
    loss = step.forward(data.batch(2, 2))
    loss.backward()
    assert torch.isfinite(loss)
    backbone = step.model.backbone
    assert not [n for n, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
