"""The linear probe trains its classifier alone; the 384 px stage takes a whole smaller model."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmpretrain.structures import DataSample

from mim_bench.engine.load_gate import load_state
from mim_bench.recipe.building import build_model, init_weights, library_scope
from mim_bench.recipe.precision import disable_amp
from mim_bench.suite.locations import configs_folder
from mim_bench.testing.toy_width import toy_width

FOLDER = configs_folder() / 'classification'


def toy_config(name):
    return toy_width(Config.fromfile(FOLDER / f'{name}.py'), Path('toy'))


def build(name):
    """The config at toy width, and its model in training mode."""
    cfg = toy_config(name)
    torch.manual_seed(0)
    model = build_model(cfg)
    init_weights(model)
    return cfg, model.train()


def one_step(cfg, model):
    """A step of the recipe's optimiser on random images, at its full rate."""
    side = cfg.test_pipeline[-2].crop_size
    torch.manual_seed(1)
    images = torch.randn(4, 3, side, side)
    samples = [DataSample().set_gt_label(i) for i in range(4)]
    disable_amp(cfg)
    with library_scope(cfg):
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    optimizer.update_params(model(images, samples, mode='loss')['loss'])
    return optimizer.optimizer


def test_linear_probe_trains_the_classifier_alone():
    cfg, model = build('linear_vit-base_8xb2048-amp-mae-90e_in1k-224px')
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = one_step(cfg, model)
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    statistics = {k for k in before if k.startswith('neck') and 'running' in k}
    assert len(statistics) == 2
    assert {k for k in changed if 'num_batches' not in k} == statistics | {
        'head.fc.weight',
        'head.fc.bias',
    }
    trained = [p for group in optimizer.param_groups for p in group['params']]
    assert [p.shape for p in trained] == [model.head.fc.weight.shape, model.head.fc.bias.shape]


def test_second_stage_takes_the_whole_model_of_the_first():
    _, first = build('finetune_beit-vit-base_8xb128-amp-conmim-100e_in1k-224px')
    _, second = build('finetune_beit-vit-base_8xb64-accum2-amp-conmim-10e_in1k-384px')
    torch.nn.init.normal_(first.backbone.layers[0].attn.relative_position_bias_table)
    report = load_state(second, first.state_dict(), 'first.pth', advice='')
    assert report.share == 1
    assert report.missing == []
    # Rows of a table: 27 x 27 at 224 px and 47 x 47 at 384 px, and three of the class token.
    tables = [k for k, v in second.state_dict().items() if 'position_bias_table' in k]
    assert len(tables) == 12
    assert second.state_dict()[tables[0]].shape[0] == 47 * 47 + 3
    assert report.resized == sorted(tables)
    torch.testing.assert_close(second.head.fc.weight, first.head.fc.weight)
    torch.testing.assert_close(second.neck.norm.weight, first.neck.norm.weight)
