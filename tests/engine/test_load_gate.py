from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mim_bench.engine.load_gate import backbone_of, load_backbone
from mim_bench.errors import CheckpointError
from mim_bench.registry import MODELS
from mim_bench.results.record import LoadReport


@pytest.fixture
def backbone():
    """1,000 values, 10 of them (1 %) in ``small``."""
    model = nn.ParameterDict({'large': torch.zeros(989), 'small': torch.zeros(10)})
    model.register_parameter('tiny', nn.Parameter(torch.zeros(1)))
    return model


@pytest.fixture
def save(tmp_path):
    def write(name='swin.pth', **weights):
        state = {f'backbone.{key}': torch.full((size,), 2.0) for key, size in weights.items()}
        torch.save({'state_dict': state}, tmp_path / name)
        return tmp_path / name

    return write


def test_load_backbone_whole_file_fills_everything(backbone, save):
    report = load_backbone(backbone, save(large=989, small=10, tiny=1))
    assert report == LoadReport(1.0, parts={'large': 1.0, 'small': 1.0, 'tiny': 1.0})
    assert (backbone['small'] == 2).all()


def test_load_backbone_99_percent_is_enough(backbone, save):
    report = load_backbone(backbone, save(large=989, tiny=1, head=3))
    parts = {'large': 1.0, 'small': 0.0, 'tiny': 1.0}
    assert report == LoadReport(0.99, ['small'], ['head'], parts=parts)


def test_load_backbone_under_99_percent_raises_and_names_the_keys(backbone, save):
    with pytest.raises(
        CheckpointError, match=r'fills only 98\.9% of .*Missing: small, tiny.*Unexpected: tinny.*'
    ) as caught:
        load_backbone(backbone, save(large=989, tinny=1))
    assert '--allow-partial' in str(caught.value)


def test_load_backbone_allow_partial_goes_on(backbone, save):
    report = load_backbone(backbone, save(small=10), allow_partial=True)
    assert report.share == 0.01
    assert (backbone['small'] == 2).all()
    assert (backbone['large'] == 0).all()


@pytest.mark.parametrize('value', [float('nan'), float('-inf')])
def test_load_backbone_weights_that_are_not_finite_raise(backbone, save, value):
    path = save(large=989, small=10, tiny=1)
    content = torch.load(path)
    content['state_dict']['backbone.small'][3] = value
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r'swin\.pth: 1 weights .*not finite.* small\.'):
        load_backbone(backbone, path, allow_partial=True)


@pytest.mark.parametrize('value', [0.0, 0.02])
def test_load_backbone_matrices_of_a_single_value_raise(tmp_path, value):
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.LayerNorm(4))
    state = {f'backbone.{k}': v.clone() for k, v in network.state_dict().items()}
    state['backbone.0.weight'].fill_(value)  # half of them: a head may start at 0
    torch.save({'state_dict': state}, tmp_path / 'a.pth')
    assert load_backbone(network, tmp_path / 'a.pth').share == 1
    state['backbone.1.weight'].fill_(value)
    torch.save({'state_dict': state}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'a\.pth: 2 weight matrices hold a single value'):
        load_backbone(network, tmp_path / 'a.pth', allow_partial=True)


def test_load_backbone_other_shape_raises_even_if_partial_is_allowed(backbone, save):
    with pytest.raises(CheckpointError, match=r'does not fit ParameterDict\. .*large.*\[988\]'):
        load_backbone(backbone, save(large=988, small=10, tiny=1), allow_partial=True)


def test_load_backbone_other_layout_raises_and_tells_to_convert(backbone, tmp_path):
    torch.save({'model': {'large': torch.zeros(989)}}, tmp_path / 'foreign.pth')
    with pytest.raises(
        CheckpointError, match=r"no key starts with 'backbone\.'.*mim-bench convert"
    ):
        load_backbone(backbone, tmp_path / 'foreign.pth', allow_partial=True)


def test_backbone_of_wrapped_model_is_found():
    model = SimpleNamespace(backbone='backbone')
    assert backbone_of(model) == backbone_of(SimpleNamespace(module=model)) == 'backbone'


def test_backbone_of_model_without_raises():
    with pytest.raises(CheckpointError, match='Linear has no attribute `backbone`'):
        backbone_of(nn.Linear(1, 1))


PLAIN = dict(type='mim_bench.ViT', patch_size=8, img_size=16)
SIZES = dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=16)
TIMM = dict(type='mim_bench.TimmBackbone', name='vit_tiny_patch16_224')
TIMM_SIZES = dict(embed_dim=12, depth=1, num_heads=3, img_size=32)
STAGES = dict(embed_dims=8, depths=[1, 1], num_heads=[1, 2])


@pytest.mark.parametrize(
    ('network', 'other', 'told'),
    [
        (PLAIN | dict(arch=SIZES), PLAIN | dict(arch=SIZES | dict(num_layers=2)), 'layers.1'),
        (
            dict(type='mim_bench.Swin', arch=STAGES),
            dict(type='mim_bench.Swin', arch=STAGES | dict(depths=[1, 2])),
            'stages.1.blocks.1',
        ),
        (
            dict(type='mim_bench.CapiViT', arch=SIZES, patch_size=8),
            dict(type='mim_bench.CapiViT', arch=SIZES | dict(num_layers=2), patch_size=8),
            'blocks.1',
        ),
        *(
            (TIMM | dict(model_args=TIMM_SIZES), TIMM | dict(model_args=TIMM_SIZES | more), told)
            for more, told in (
                (dict(reg_tokens=2, no_embed_class=True), 'reg_token'),
                (dict(init_values=0.1), r'ls1\.gamma'),
                (dict(depth=2), r'blocks\.1'),
            )
        ),
    ],
)
def test_load_backbone_of_a_network_with_further_parts_raises(network, other, told, tmp_path):
    for settings in (network, other):
        state = MODELS.build(settings).state_dict()
        state = {f'backbone.{key}': torch.rand(value.shape) for key, value in state.items()}
        torch.save({'state_dict': state}, tmp_path / 'a.pth')
        if settings is other:
            with pytest.raises(CheckpointError, match=rf'weights that this \w+ lacks: .*{told}'):
                load_backbone(MODELS.build(network), tmp_path / 'a.pth', allow_partial=True)
        else:
            assert load_backbone(MODELS.build(network), tmp_path / 'a.pth').share == 1


def test_load_backbone_quantised_weights_raise(tmp_path):
    state = {f'backbone.{k}': v for k, v in nn.Linear(4, 4).state_dict().items()}
    state['backbone.weight'] = torch.ones(4, 4, dtype=torch.int8)
    torch.save({'state_dict': state}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'1 weights are quantised or complex.*int8'):
        load_backbone(nn.Linear(4, 4), tmp_path / 'a.pth')
