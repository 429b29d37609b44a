from dataclasses import replace
from pathlib import Path

import pytest

from mim_bench.cli.main import build_parser
from mim_bench.errors import ConfigError
from mim_bench.recipe.limit import Limit
from mim_bench.suite.plan import Places, Row, Settings, plan_rows
from mim_bench.suite.selection import parse_tasks, with_data
from mim_bench.suite.steps import check_plan
from mim_bench.suite.tasks import load_suite

PLACES = Places(Path('/out'), Path('/data'))
SWIN = Row('mine', 'simmim', 'swin-tiny', Path('/out/checkpoints/mine.pth'), 'ab' * 32)
UMMAE = replace(SWIN, method='ummae', backbone='ummae-swin-tiny')
VIT = Row('other', 'mae', 'vit-base', Path('/out/checkpoints/other.pth'), 'cd' * 32)


def plan(tasks, rows=(SWIN,), suite='full', places=PLACES, **options):
    suite = load_suite(suite)
    return plan_rows(rows, suite, parse_tasks(tasks, suite), places=places, **options)


def names(steps):
    return [step.name for step in steps]


def after(step, word):
    return step.words[step.words.index(word) + 1]


def test_plan_rows_is_checkpoints_times_tasks_times_seeds():
    steps = plan('in1k-knn,in1k-ft=ummae', [SWIN], seeds=(0, 7))
    assert names(steps) == [
        'in1k-probe-mine-s0',
        'in1k-ft-ummae-100e-pyramid-mine-s0',
        'in1k-probe-mine-s7',
        'in1k-ft-ummae-100e-pyramid-mine-s7',
    ]
    assert len(plan('in1k-knn,in1k-ft', [SWIN, VIT], seeds=(0, 1, 2))) == 12


def test_plan_rows_is_the_same_every_time_and_its_commands_parse():
    tasks = 'in1k-knn,in1k-ft,ade20k-upernet=ummae,coco-gfl'
    steps = plan(tasks, [UMMAE], seeds=(0, 1))
    assert steps == plan(tasks, [UMMAE], seeds=(0, 1))
    check_plan(steps)
    parser = build_parser()
    for step in steps:
        assert Path(getattr(parser.parse_args(step.words), 'config', __file__)).is_file()
        if step.trial_words:
            parser.parse_args([*step.trial_words, '--dry-run', 'x.json'])


def test_plan_rows_probe_leaves_a_record_of_each_task():
    (probe,) = plan('in1k-knn,in1k-linear', suite='proxy')
    assert [path.parent.name for path in probe.records] == [
        'proxy-in1k-probe-mine-s0-in1k-knn',
        'proxy-in1k-probe-mine-s0-in1k-linear',
    ]


def test_plan_rows_refuses_an_entry_with_a_part_of_the_tasks_of_its_config():
    suite = load_suite('proxy')
    probe = next(entry for entry in suite.entries if 'in1k-linear' in entry.tasks)
    part = probe.model_copy(update={'tasks': {'in1k-knn': probe.tasks['in1k-knn']}})
    with pytest.raises(
        ConfigError, match=r"has the tasks \['in1k-knn'\], but .* measures .*linear"
    ):
        plan_rows(
            [SWIN],
            suite.model_copy(update={'entries': (part,)}),
            parse_tasks('in1k-knn', suite),
            places=PLACES,
        )


def test_plan_rows_dense_task_starts_from_the_fine_tuned_backbone_of_its_seed():
    steps = {s.name: s for s in plan('ade20k-upernet=ummae', [UMMAE], seeds=(0, 1))}
    for seed in (0, 1):
        keep = steps[f'keep-in1k-ft-ummae-100e-pyramid-mine-s{seed}']
        dense = steps[f'ade20k-upernet-ummae-160k-ummae-swin-tiny-mine-s{seed}']
        assert dense.needs == (keep.name,)
        assert after(dense, '--checkpoint') == str(keep.files[0])
        assert keep.needs == (f'in1k-ft-ummae-100e-pyramid-mine-s{seed}',)
        # Before it is there, the pre-trained file tells what it takes.
        assert str(SWIN.start) in dense.trial_words
        # The row is the pre-trained one.
        assert f'file={SWIN.start}' in dense.words


def test_plan_rows_dense_task_that_does_not_starts_from_the_given_file():
    (step,) = plan('coco-mask-rcnn=swin')
    assert after(step, '--checkpoint') == str(SWIN.start)
    assert step.needs == ()


def test_plan_rows_record_names_the_user_s_file():
    (step,) = plan('in1k-ft')
    facts = step.words[step.words.index('--record-checkpoint') + 1 :]
    assert facts[:2] == ('id=mine', 'backbone=swin-tiny')
    # What is known of it stands in the file.
    assert not facts[2].startswith('file=')


def test_plan_rows_proxy_changes_the_tier_of_configs_that_say_another():
    (step,) = plan('in1k-10pct-ft', suite='proxy')
    assert 'protocol.tier=proxy' in step.words
    (full,) = plan('in1k-ft')
    assert not [word for word in full.words if word.startswith('protocol.')]


def test_plan_rows_trainings_resume_and_take_all_gpus_probes_one():
    probe, training = plan('in1k-knn,in1k-ft', settings=Settings(gpus=8))
    assert (probe.gpus, training.gpus) == (1, 8)
    assert '--auto-resume' in training.words
    assert '--auto-resume' not in probe.words


def test_plan_rows_limited_runs_have_names_of_their_own_and_trackers_change_nothing():
    (whole,) = plan('in1k-ft')
    (limited,) = plan('in1k-ft', settings=Settings(limit=Limit(64, 0)))
    assert limited.name == 'in1k-ft-common-limit64s0-mine-s0'
    assert after(limited, '--limit') == after_in(limited.trial_words, '--limit') == '64:0'
    assert limited.fingerprint != whole.fingerprint
    (tracked,) = plan('in1k-ft', settings=Settings(track=('wandb', 'mlflow')))
    assert after(tracked, '--track') == 'wandb,mlflow'
    assert tracked.fingerprint == whole.fingerprint


def after_in(words, word):
    return words[words.index(word) + 1]


def test_plan_rows_own_config_counts_by_its_content_not_its_place(tmp_path):
    found = set()
    for place in ('here', 'there'):
        folder = tmp_path / place
        folder.mkdir()
        text = "protocol = dict(task='in1k-mine', name='mine', version='1', tier='full')"
        (folder / 'mine.py').write_text(text)
        (folder / 'mine.yml').write_text(
            'tier: full\nentries: [{name: mine, command: train, dataset: in1k, protocol: mine, '
            "version: '1', fit: true, tasks: {in1k-mine: [top1]}, configs: {swin: mine.py}}]"
        )
        (step,) = plan('in1k-mine', [replace(SWIN, start=None)], str(folder / 'mine.yml'))
        assert step.words[1] == str(folder / 'mine.py')
        found.add(step.fingerprint)
    assert len(found) == 1


def test_plan_rows_htc_plus_needs_the_stuff_maps():
    (step,) = plan('coco-htc-plus', [replace(SWIN, backbone='swin-large')])
    assert step.need_stuff
    assert step.dataset == ('coco', '/data/coco')


def test_plan_rows_data_set_may_lie_elsewhere():
    places = replace(PLACES, data_roots={'coco': Path('/elsewhere')})
    detection, probe = plan('coco-htc,in1k-knn', places=places)
    assert after(detection, '--data-root') == '/elsewhere'
    assert after(probe, '--data-root') == '/data/imagenet'


def test_plan_rows_moved_folders_and_other_gpus_leave_the_fingerprints():
    moved = replace(UMMAE, start=Path('/moved/checkpoints/mine.pth'))
    steps = plan('in1k-knn,ade20k-upernet=ummae', [UMMAE])
    others = plan(
        'in1k-knn,ade20k-upernet=ummae',
        [moved],
        places=Places(Path('/moved'), Path('/other/data')),
        settings=Settings(gpus=4),
    )
    assert [s.fingerprint for s in steps] == [s.fingerprint for s in others]


@pytest.mark.parametrize(
    ('rows', 'options'),
    [
        ((replace(UMMAE, sha256='ef' * 32),), {}),
        ((replace(UMMAE, labels=('in1k',)),), {}),
        ((UMMAE,), {'settings': Settings(options=('train_cfg.max_epochs=1',))}),
        ((UMMAE,), {'settings': Settings(precision='bf16')}),
    ],
)
def test_plan_rows_another_file_or_setting_changes_all_fingerprints(rows, options):
    tasks = 'in1k-ft=ummae,ade20k-upernet=ummae'
    before = {s.fingerprint for s in plan(tasks, [UMMAE])}
    assert not before & {s.fingerprint for s in plan(tasks, rows, **options)}


def test_plan_rows_changed_config_changes_what_starts_from_its_result(monkeypatch):
    from mim_bench.suite import plan as module

    before = plan('ade20k-upernet=ummae,in1k-knn', [UMMAE])
    real = module.config_hash
    monkeypatch.setattr(
        module, 'config_hash', lambda path: 'new' if 'finetune_' in path.name else real(path)
    )
    after_change = plan('ade20k-upernet=ummae,in1k-knn', [UMMAE])
    same = [a.name for a, b in zip(before, after_change) if a.fingerprint == b.fingerprint]  # noqa: B905
    assert same == ['in1k-probe-mine-s0']


def test_plan_rows_random_weights_have_no_checkpoint():
    row = Row('random_swin-tiny', 'random', 'swin-tiny')
    (step,) = plan('in1k-knn', [row])
    assert '--checkpoint' not in step.words
    # The config is of another size of the family.
    assert 'model.backbone.arch=tiny' in step.words


def test_plan_rows_smoke_takes_the_sizes_of_the_checkpoint():
    (step,) = plan('in1k-knn', suite='smoke')
    assert '--fit-backbone' in step.words
    assert 'backbone=swin-tiny' in step.words
    assert 'probe_swin-toy' in step.words[1]


def test_plan_rows_variant_tests_the_model_of_its_fine_tuning():
    steps = plan('imagenet-a,in1k-ft', [VIT])
    assert names(steps) == ['in1k-ft-common-other-s0', 'imagenet-a-other-s0']
    training, test = steps
    assert test.words[:3] == ('test', training.words[1], str(training.work_dir))
    assert after(test, '--variant') == 'imagenet-a'
    assert after(test, '--data-root') == '/data/imagenet-a'
    assert test.needs == (training.name,)
    assert str(training.work_dir) not in test.trial_words
    parser = build_parser()
    for words in (test.words, (*test.trial_words, '--dry-run', 'x.json')):
        assert parser.parse_args(words).variant == 'imagenet-a'


def test_plan_rows_variant_follows_the_recipe_of_its_fine_tuning():
    training, test = plan('in1k-ft=mae,imagenet-v2', [VIT])
    assert training.name.startswith('in1k-ft-mae')
    assert test.words[1] == training.words[1]


def test_plan_rows_variant_of_probes_follows_their_test():
    probe, test = plan('imagenet-c-linear', [VIT])
    assert names([probe, test]) == ['in1k-probe-other-s0', 'imagenet-c-knn-other-s0']
    assert test.words[:3] == ('test', probe.words[1], str(probe.work_dir))
    assert after(test, '--checkpoint') == after(probe, '--checkpoint')
    assert [path.parent.name for path in test.records] == [
        'imagenet-c-knn-other-s0-imagenet-c-knn',
        'imagenet-c-knn-other-s0-imagenet-c-linear',
    ]


def test_with_data_leaves_out_test_sets_that_are_not_there():
    suite = load_suite('full')
    assert 'imagenet-c' in suite.tasks
    kept = with_data(suite, lambda name: name == 'imagenet-a')
    probes = ['', '-knn', '-linear', '-attentive']
    assert {t for t in kept.tasks if t.startswith('imagenet-')} == {
        f'imagenet-a{p}' for p in probes
    }
    left_out = set(suite.tasks) - set(kept.tasks)
    assert left_out == {
        f'imagenet-{s}{p}' for s in ('real', 'v2', 'r', 'sketch', 'c') for p in probes
    }
