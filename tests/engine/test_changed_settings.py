from pathlib import Path

import pytest

from mim_bench.engine.launch import Launch, resolve
from mim_bench.engine.run_record import config_file

CONFIGS = Path(__file__).parents[2] / 'configs'
FINETUNING = str(CONFIGS / 'classification/finetune_vit-base_8xb128-amp-mae-100e_in1k-224px.py')
HTC_PLUS = str(CONFIGS / 'detection/htc_plus/htc-plus_swin-base_8xb2-swin-72e_coco-1400px.py')


@pytest.mark.parametrize(
    ('config', 'options', 'is_changed'),
    [
        (FINETUNING, {}, False),
        (FINETUNING, {'protocol.tier': 'proxy'}, False),
        (FINETUNING, {'train_dataloader.num_workers': 1}, False),
        (FINETUNING, {'train_dataloader.dataset.data_root': 'elsewhere'}, False),
        (FINETUNING, {'optim_wrapper.optimizer.lr': 1e-3}, True),
        (FINETUNING, {'train_cfg.max_epochs': 3}, True),
        (HTC_PLUS, {'model.test_cfg.rcnn.nms.type': 'nms'}, True),
    ],
    ids=lambda value: Path(value).stem.split('_')[0] if isinstance(value, str) else str(value),
)
def test_resolve_keeps_whether_options_changed_the_protocol(config, options, is_changed):
    cfg = resolve(Launch(config, options=options))
    assert cfg.is_changed is is_changed
    assert config_file(cfg).changed is is_changed


def test_resolve_config_that_a_changed_run_left_stays_changed(tmp_path):
    changed = resolve(Launch(FINETUNING, options={'train_cfg.max_epochs': 3}))
    changed.dump(tmp_path / 'left.py')
    assert resolve(Launch(str(tmp_path / 'left.py'))).is_changed


def test_config_file_hash_does_not_depend_on_the_mark():
    cfg = resolve(Launch(FINETUNING))
    digest = config_file(cfg).sha256
    cfg.pop('is_changed')
    found = config_file(cfg)
    assert (found.sha256, found.changed) == (digest, None)
