import pytest
from mmengine.config import Config

from mim_bench.errors import ConfigError, DataError
from mim_bench.recipe.config import (
    check_data_roots,
    check_top_level,
    explain_build_error,
    load_config,
    set_data_root,
)
from mim_bench.recipe.updates import loop_in_iterations
from mim_bench.suite.locations import configs_folder

TEXT = """
model = dict(type='Net', backbone=dict(type='Swin', depth=2), plain=dict(width=1))
custom_hooks = [dict(type='A', rate=1)]
data_root = 'data/x/'
train_dataloader = dict(dataset=dict(type='D', data_root=data_root))
"""


@pytest.fixture
def write(tmp_path):
    def make(text=TEXT):
        (tmp_path / 'net.py').write_text(text)
        return tmp_path / 'net.py'

    return make


def test_load_config_missing_file_raises(tmp_path):
    with pytest.raises(ConfigError, match=r'absent\.py: there is no such config file'):
        load_config(tmp_path / 'absent.py')


@pytest.mark.parametrize(
    'text',
    [
        'model = dict(',
        'model = dict(depth=deep)',
        "_base_ = './a.py'",
        'depth = 1 / 0',
        "raise RuntimeError('no')",
    ],
)
def test_load_config_broken_file_raises(write, text):
    with pytest.raises(ConfigError, match=r'net\.py: cannot be read as a config'):
        load_config(write(text))


def test_load_config_failed_custom_import_says_which_module_is_missing(
    write, tmp_path, monkeypatch
):
    (tmp_path / 'own_net.py').write_text('import absent_module')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ConfigError, match=r"^\S+net\.py: .*No module named 'absent_module'.*PYTHONPATH\.$"
    ):
        load_config(write(f"{TEXT}custom_imports = dict(imports=['own_net'])"))


@pytest.mark.parametrize('ratio', [1.5, -0.25])
def test_load_config_share_outside_0_to_1_raises(write, ratio):
    options = {'custom_hooks.0.mask_ratio': ratio}
    with pytest.raises(ConfigError, match=rf'net\.py: custom_hooks\.0\.mask_ratio is {ratio}\.'):
        load_config(write(), options)


@pytest.mark.parametrize(
    ('key', 'near'),
    [
        ('optim_wraper', 'optim_wrapper'),
        ('modle', 'model'),
        ('train_dataloder', 'train_dataloader'),
    ],
)
def test_load_config_unknown_key_names_file_key_and_near_key(write, key, near):
    with pytest.raises(
        ConfigError, match=rf"net\.py: nothing reads the key '{key}'\. Did you mean '{near}'\?"
    ):
        load_config(write(f'{TEXT}{key} = dict()'))


def test_load_config_unknown_key_near_to_none_raises(write):
    with pytest.raises(ConfigError, match=r"nothing reads the key 'zzz'\. Correct or remove"):
        load_config(write(f'{TEXT}zzz = 1'))


def test_check_top_level_variables_of_configs_pass():
    check_top_level(Config({'crop_size': 1, 'train_pipeline': [], 'max_epochs': 3, 'arch': 'tiny'}))


def test_load_config_options_replace_values(write):
    options = {
        'model.backbone.depth': 5,
        'model.backbone.new_argument': 1,  # building it will tell
        'model.clip.max_norm': 2,
        'load_from': 'a.pth',
    }
    cfg = load_config(write(), options)
    assert cfg.model.backbone == dict(type='Swin', depth=5, new_argument=1)
    assert cfg.load_from == 'a.pth'


@pytest.mark.parametrize(
    ('key', 'message'),
    [
        ('modle.depth', r"--cfg-options modle\.depth: there is no 'modle' at the top\..*'model'"),
        ('model.plain.widht', r"there is no 'widht' in model\.plain\. Did you mean 'width'"),
        ('custom_hooks.7.rate', r"there is no '7' in custom_hooks"),
        ('custom_hooks.first', r"there is no 'first' in custom_hooks"),
        ('data_root.x', r"'data_root' is a variable of the config file"),
    ],
)
def test_load_config_option_without_a_place_raises(write, key, message):
    with pytest.raises(ConfigError, match=message):
        load_config(write(), {key: 1})


def test_load_config_without_a_model_raises(write):
    with pytest.raises(ConfigError, match='model is None'):
        load_config(write(), {'model': None})


def test_check_data_roots_missing_folder_is_named(write, tmp_path):
    cfg = load_config(write())
    with pytest.raises(DataError, match=r'train_dataloader reads data/x/, .*--data-root DIR'):
        check_data_roots(cfg, ('train_dataloader',))
    set_data_root(cfg, str(tmp_path))
    check_data_roots(cfg, ('train_dataloader', 'val_dataloader'))


def test_check_data_roots_looks_into_wrapped_datasets():
    inner = dict(type='D', data_root='data/absent')
    cfg = Config({'train_dataloader': {'dataset': {'type': 'Concat', 'datasets': [inner]}}})
    with pytest.raises(DataError, match='data/absent'):
        check_data_roots(cfg, ('train_dataloader',))


def test_check_data_roots_missing_stuff_maps_are_named(tmp_path):
    (tmp_path / 'a').mkdir()
    dataset = dict(data_root=str(tmp_path), data_prefix=dict(img='a', seg='stuff/train'))
    cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
    message = (
        r'stuff/train, which is not a folder\. .*data check coco .* --need-stuff.*'
        r'use a config htc-no-stuff_\* or htc-plus-no-stuff_'
    )
    with pytest.raises(DataError, match=message):
        check_data_roots(cfg, ('train_dataloader',))
    (tmp_path / 'stuff' / 'train').mkdir(parents=True)
    check_data_roots(cfg, ('train_dataloader',))


def test_set_data_root_replaces_whole_folders_only(write):
    cfg = load_config(write(TEXT + "val_evaluator = dict(a=data_root + 'b.json', c='data/xy')"))
    set_data_root(cfg, 'there')
    assert cfg.train_dataloader.dataset.data_root == 'there/'
    assert cfg.val_evaluator == dict(a='there/b.json', c='data/xy')


@pytest.mark.parametrize('given', ['sets', 'sets/ade', 'sets/ade/ADEChallengeData2016'])
def test_set_data_root_takes_a_folder_above_the_data(write, given, tmp_path):
    text = "model = dict(type='M')\ndata_root = 'data/ade/ADEChallengeData2016/'\n" + (
        'train_dataloader = dict(dataset=dict(data_root=data_root, '
        "data_prefix=dict(img_path='images/training')))"
    )
    cfg = load_config(write(text))
    folder = tmp_path / 'sets' / 'ade' / 'ADEChallengeData2016'
    (folder / 'images' / 'training').mkdir(parents=True)
    set_data_root(cfg, str(tmp_path / given))
    assert cfg.train_dataloader.dataset.data_root == f'{folder}/'
    (folder / 'images' / 'training').rmdir()
    with pytest.raises(DataError, match=r'reads .*images/training, which is not a folder'):
        check_data_roots(cfg, ('train_dataloader',))


def test_set_data_root_config_without_raises(write):
    with pytest.raises(ConfigError, match='has no data_root that --data-root could replace'):
        set_data_root(load_config(write('model = dict()')), 'there')


@pytest.mark.parametrize('error', [TypeError('unsupported operand'), KeyError('depth')])
def test_explain_build_error_other_errors_stay(write, error):
    assert explain_build_error(load_config(write()), error) is None


OWN_NET = """
from torch import nn
from mim_bench.registry import MODELS

@MODELS.register_module(name='{name}', force=True)
class OwnNet(nn.Module):
    def __init__(self, out_indices, **settings):
        super().__init__()
        {body}
"""


@pytest.mark.parametrize(
    ('name', 'body', 'message'),
    [
        ('Absent', None, r"there is no '.*Absent' in the registry .* named in custom_imports\.$"),
        ('Bare', 'pass', 'Bare has no num_outputs'),
        ('Half', 'self.num_outputs = 3', r'Half has no out_channels'),
        ('Broken', 'self.x = 1 / 0', r'backbone cannot be built: ZeroDivisionError: '),
        ('Index', 'self.x = settings["depth"]', r"backbone cannot be built: KeyError: .*'depth'"),
    ],
)
def test_load_config_backbone_of_the_user_that_cannot_be_set_up_is_told(
    tmp_path, monkeypatch, name, body, message
):
    imports = ''
    if body:
        (tmp_path / f'own_{name}.py').write_text(OWN_NET.format(name=name, body=body))
        monkeypatch.syspath_prepend(tmp_path)
        imports = f"custom_imports = dict(imports=['own_{name}'])\n"
    demo = configs_folder() / 'demo/finetune_vit-toy_1xb64-coslr-4e_toy-in1k-64px.py'
    (tmp_path / 'net.py').write_text(
        f"_base_ = '{demo}'\n{imports}"
        f"model = dict(backbone=dict(_delete_=True, type='mim_bench.{name}'))\n"
    )

    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / 'net.py')


@pytest.mark.parametrize(
    'loop', [dict(max_epochs=0), dict(max_iters=2.5), dict(max_epochs=3, val_interval=0)]
)
def test_loop_of_no_whole_length_is_told_before_anything_is_built(loop):
    with pytest.raises(ConfigError, match=r'train_cfg\.\w+ is (0|2\.5)\. Set a whole number'):
        loop_in_iterations(loop, 1)
