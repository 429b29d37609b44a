from copy import deepcopy
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest

from mim_bench.errors import ConfigError
from mim_bench.recipe.building import build_model, build_pipeline, train_pipeline
from mim_bench.recipe.config import load_config
from mim_bench.recipe.protocol import protocol_settings

CONFIGS = Path(__file__).parents[2] / 'configs'
TOY = CONFIGS / 'demo' / 'htc-plus_swin-toy_1xb4-300i_toy-coco-128px.py'
LONG = CONFIGS / 'detection' / 'htc-plus_swin-tiny_8xb2-swin-72e_coco-1400px.py'
SHORT = CONFIGS / 'detection' / 'htc-plus_swin-tiny_8xb2-vitadapter-36e_coco-1400px.py'
UMMAE = LONG.with_name(LONG.name.replace('_swin-tiny', '_ummae-swin-tiny'))
VIT = SHORT.with_name(SHORT.name.replace('swin-tiny_8xb2', 'vit-large_16xb1'))
SWITCHES = tuple(load_config(TOY).switches)
TEXT = """
model = dict(depth=2, head=dict(type='Big', width=3), stages=[dict(type='A'), dict(type='B')])
train_pipeline = [dict(type='Load'), dict(type='Jitter', by=2), dict(type='Load')]
switches = dict(jitter=True, deep=False)
when_off = dict(jitter=dict(remove=['train_pipeline[Jitter]']))
when_on = dict(deep=dict(set={'model.depth': 4, 'model.stages[*].new': [1]}))
"""


@pytest.fixture
def write(tmp_path):
    def make(text=TEXT):
        (tmp_path / 'net.py').write_text(text)
        return tmp_path / 'net.py'

    return make


def leaves(node, path=''):
    """Every plain value of a resolved config by its path."""
    if isinstance(node, dict | list | tuple):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        return {k: v for key, value in items for k, v in leaves(value, f'{path}.{key}').items()}
    return {path: node}


@cache
def resolved(path):
    return leaves(load_config(path).to_dict())


def changed(path, **switches):
    """The switches' effect: paths whose values differ, but for the switches themselves."""
    options = {f'switches.{name}': value for name, value in switches.items()}
    before, after = resolved(path), leaves(load_config(path, options).to_dict())
    keys = {k for k in before.keys() | after.keys() if before.get(k, k) != after.get(k, k)}
    return {k for k in keys if not k.startswith('.switches')}


def test_turn_switches_remove_and_set_change_their_paths_only(write):
    cfg = load_config(write(), {'switches.jitter': False, 'switches.deep': True})
    assert [step.type for step in cfg.train_pipeline] == ['Load', 'Load']
    assert cfg.model == dict(
        depth=4,
        head=dict(type='Big', width=3),
        stages=[dict(type='A', new=[1]), dict(type='B', new=[1])],
    )


def test_turn_switches_as_written_changes_nothing(write):
    options = {'switches.jitter': True, 'switches.deep': False}
    assert load_config(write(), options).to_dict() == load_config(write()).to_dict()


def test_turn_switches_option_of_the_user_wins(write):
    assert load_config(write(), {'model.depth': 7, 'switches.deep': True}).model.depth == 7


def test_turn_switches_dumped_config_is_not_turned_again(write, tmp_path):
    cfg = load_config(write(), {'switches.jitter': False, 'switches.deep': True})
    cfg.dump(tmp_path / 'dumped.py')
    again = load_config(tmp_path / 'dumped.py', {'switches.jitter': False})
    assert len(again.train_pipeline) == 2
    with pytest.raises(ConfigError, match=r"'jitter' needs when_on\.jitter"):
        load_config(tmp_path / 'dumped.py', {'switches.jitter': True})


def test_turn_switches_unknown_switch_names_near_ones(write):
    with pytest.raises(ConfigError, match=r"no 'jiter' in switches\. Did you mean 'jitter'"):
        load_config(write(), {'switches.jiter': False})
    with pytest.raises(ConfigError, match=r"no switch 'jiter'\. Did you mean 'jitter'"):
        load_config(write(), {'switches': dict(jiter=False)})


def test_turn_switches_value_that_is_no_bool_raises(write):
    with pytest.raises(ConfigError, match=r"switches\.jitter is 'no'\. Give True or False"):
        load_config(write(), {'switches.jitter': 'no'})


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (TEXT.replace('[Jitter]', '[Jtter]'), r'when_off\.jitter names train_pipeline\[Jtter\]'),
        (TEXT.replace('model.stages', 'model.stage'), r'when_on\.deep names model\.stage\[\*\]'),
        (
            TEXT + 'switches["more"] = True',
            r"neither when_off nor when_on says what the switch 'more'",
        ),
    ],
)
def test_turn_switches_slip_of_the_config_raises(write, text, message):
    with pytest.raises(ConfigError, match=message):
        load_config(write(text), {'switches.jitter': False, 'switches.deep': True})


@pytest.mark.parametrize('path', [TOY, LONG, SHORT, UMMAE, VIT], ids=lambda path: path.stem)
def test_switches_each_changes_what_it_names_and_nothing_else(path):
    pipelines = ('.train_pipeline.', '.train_dataloader.dataset.pipeline.')
    tests = tuple(
        f'.{name}.'
        for name in (
            'test_pipeline',
            'val_dataloader.dataset.pipeline',
            'test_dataloader.dataset.pipeline',
        )
    )
    wanted = {
        'stuff': (
            '.model.data_preprocessor.pad_seg',
            '.model.data_preprocessor.seg_pad_value',
            '.model.roi_head.semantic_',
            '.train_dataloader.dataset.data_prefix.seg',
            *(f'{pipeline}1.with_seg' for pipeline in pipelines),
        ),
        'instaboost': pipelines,
        'multi_scale': (*(f'{pipeline}3.' for pipeline in pipelines), *tests),
        'conv_heads': tuple(f'.model.roi_head.bbox_head.{stage}.type' for stage in range(3)),
        'soft_nms': ('.model.test_cfg.rcnn.nms.type', '.tta_model.tta_cfg.nms.type'),
        'global_attention': ('.model.neck.',),
        'area_filter': ('.tta_model.area_filter.',),
        'long_schedule': ('.max_epochs', '.train_cfg.max_epochs', '.param_scheduler.1.'),
    }
    for name, value in load_config(path).switches.items():
        found = changed(path, **{name: not value})
        assert found, name
        assert all(key.startswith(wanted[name]) for key in found), (name, found)


def test_switches_that_take_out_leave_the_rest_in_order():
    types = [step['type'] for step in train_pipeline(load_config(TOY))]
    off = [
        step['type'] for step in train_pipeline(load_config(TOY, {'switches.instaboost': False}))
    ]
    assert [t for t in types if t != 'mim_bench.InstaBoost'] == off
    assert len(off) == len(types) - 1
    neck = load_config(TOY).model.neck
    assert load_config(TOY, {'switches.global_attention': False}).model.neck == [
        part for part in neck if part.type != 'mim_bench.GlobalAttention'
    ]


def test_switches_long_schedule_reaches_the_other_recipe():
    for key in ('train_cfg', 'param_scheduler', 'max_epochs'):
        assert load_config(LONG, {'switches.long_schedule': False})[key] == load_config(SHORT)[key]
        assert load_config(SHORT, {'switches.long_schedule': True})[key] == load_config(LONG)[key]


@pytest.mark.parametrize('name', SWITCHES)
def test_switches_turned_off_split_the_protocol(name):
    off = load_config(TOY, {f'switches.{name}': False})
    on = load_config(TOY)
    # The test's augmentation counts only in a test that uses it.
    wanted = name != 'area_filter'
    assert (protocol_settings(on) != protocol_settings(off)) == wanted


@pytest.mark.parametrize('pair', list(combinations(SWITCHES, 2)), ids='-'.join)
def test_switches_every_pair_off_builds(pair):
    cfg = load_config(TOY, {f'switches.{name}': False for name in pair})
    model = build_model(cfg)
    assert model.with_semantic == ('stuff' not in pair)
    build_pipeline(cfg, deepcopy(train_pipeline(cfg)))
