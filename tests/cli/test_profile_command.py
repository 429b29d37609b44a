"""What ``mim-bench profile`` makes of its words; the measuring is tested in tests/profiling."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mim_bench.cli.main import main
from mim_bench.errors import ConfigError
from mim_bench.profiling import comparison, estimate, graph_breaks, hook_time
from mim_bench.profiling.comparison import Comparison, Profile, Spread
from mim_bench.profiling.estimate import StepEstimate
from mim_bench.profiling.step_trace import MemoryParts

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
MAE, MASKFEAT = (str(next(DEMO.glob(f'{name}_vit-toy*'))) for name in ('mae', 'maskfeat'))


def fake_compare(plan, listen):
    listen('[red] is no markup')
    spread = Spread(12.5, 12.0, 13.0)
    profiles = [
        Profile(
            *(entry.name, entry.config, dict(entry.options)),
            step_s=[0.5],
            img_per_s=spread,
            ratio=Spread(1.25, 1, 2),
            peak_mem_bytes=3 * 2**20,
            num_parameters=4_200_000,
            num_trainable=4_000_000,
            flops_forward=2e9,
            flops_step=6e9,
            flop_per_s=75e9,
            share_of_reference=0.75,
            num_steps=1,
            largest_batch=48 if plan.finds_batch else None,
        )
        for entry in plan.entries
    ]
    fake_compare.plan = plan
    return Comparison(plan, Spread(100e9, 90e9, 110e9), profiles)


@pytest.fixture(autouse=True)
def _fake(monkeypatch):
    monkeypatch.setenv('COLUMNS', '200')
    monkeypatch.setattr(comparison, 'compare', fake_compare)


def names():
    return [entry.name for entry in fake_compare.plan.entries]


def test_profile_prints_a_row_a_config(capsys):
    assert main(['profile', MAE, MASKFEAT, '--device', 'cpu', '--threads', '2']) == 0
    printed = capsys.readouterr().out
    (row,) = (line for line in printed.splitlines() if 'maskfeat_vit-toy' in line)
    for text in ('12.50 (12.00-13.00)', '1.25 x', ' 3 ', '4.2', ' 6 ', '75', '75%'):
        assert text in row
    assert 'batch 8, forward + backward + optimiser, 2 threads' in printed
    assert 'reaches 100 GFLOP/s' in printed
    assert 'a multiply-add is two operations' in ' '.join(printed.split())


def test_profile_writes_json(tmp_path, capsys):
    out = tmp_path / 'profile.json'
    assert main(['profile', MAE, '--device', 'cpu', '--json', str(out)]) == 0
    content = json.loads(out.read_text())
    assert content['device_name'] == 'cpu'
    assert content['profiles'][0]['config'] == MAE
    assert 'torch' in content['environment']


def test_profile_baseline_goes_first_wherever_it_is_named():
    main(['profile', MAE, MASKFEAT, '--baseline', MASKFEAT, '--device', 'cpu'])
    assert names() == [Path(MASKFEAT).stem, Path(MAE).stem]
    main(['profile', MAE, '--baseline', MASKFEAT, '--device', 'cpu'])
    assert names() == [Path(MASKFEAT).stem, Path(MAE).stem]


def test_profile_variant_has_options_of_its_own_beside_those_of_all():
    scale = 'train_dataloader.dataset.pipeline.1.scale=56'
    common = 'model.backbone.drop_path_rate=0.3'
    words = ['--variant', MASKFEAT, scale, '--cfg-options', common, '--device', 'cpu']
    assert main(['profile', MASKFEAT, *words]) == 0
    plain, variant = fake_compare.plan.entries
    assert dict(plain.options) == {'model.backbone.drop_path_rate': 0.3}
    assert dict(variant.options) == {**plain.options, scale.partition('=')[0]: 56}
    assert variant.name == f'{plain.name} {scale}'


@pytest.fixture
def estimated(monkeypatch, request):
    """Calls of the estimate, which gives 64 GFLOP an image; MaskFeat's fails."""
    calls, kind = [], getattr(request, 'param', ConfigError)

    def estimate_config(path, options, **arguments):
        if path == MASKFEAT:
            raise kind('maskfeat reads 3 from the device')
        calls.append((path, dict(options), arguments))
        memory = MemoryParts(2**30, 0, 2**31, 2**32, 0)
        counts = dict(flops_forward=2e10, flops_step=6.4e10, num_parameters=9, num_trainable=9)
        run = dict(processes=8, num_images=45_000_000)
        return StepEstimate('fp16', 512, memory, 2**30, **counts, **run)

    monkeypatch.setattr(estimate, 'estimate_config', estimate_config)
    return calls


def test_profile_estimate_prints_parts_and_hours_and_says_what_it_is(estimated, capsys):
    assert main(['profile', MAE, '--device', 'cuda', '--estimate']) == 0
    printed = capsys.readouterr().out
    (row,) = (line for line in printed.splitlines() if '│ mae_vit-toy' in line)
    # 64 GFLOP x 45e6 images over 8 x 100 TFLOP/s is an hour.
    for text in (' 512 ', ' 8.00 ', ' 1.00 ', ' 2.00 ', ' 4.00 ', ' 64 ', ' 1 │'):
        assert text in row
    assert 'Estimated, not measured' in printed
    assert 'at 100 TFLOP/s a GPU, which is an assumption' in ' '.join(printed.split())
    assert estimated[0][2]['precision'] == 'recipe'
    assert estimated[0][2]['batch_size'] is None


def test_profile_estimate_of_a_large_network_has_no_exponents(estimated, monkeypatch, capsys):
    counts = dict(flops_forward=4.5e11, flops_step=1.35e12, num_images=45_000_000_000)
    plain = estimate.estimate_config
    monkeypatch.setattr(
        estimate, 'estimate_config', lambda *args, **own: replace(plain(*args, **own), **counts)
    )
    assert main(['profile', MAE, '--device', 'cuda', '--estimate']) == 0
    printed = capsys.readouterr().out
    assert ' 1,350 ' in printed
    assert ' 21,094 ' in printed  # hours: 1.35e12 x 45e9 over 8 x 100 TFLOP/s
    assert 'a multiply-add is two operations' in ' '.join(printed.split())


def test_profile_estimate_writes_json_and_markdown(estimated, tmp_path):
    files = tmp_path / 'a.json', tmp_path / 'a.md'
    words = ['--estimate', '--assume-tflops', '50', '--batch-size', '2', '--precision', 'bf16']
    assert main(['profile', MAE, *words, '--json', str(files[0]), '--markdown', str(files[1])]) == 0
    content = json.loads(files[0].read_text())
    assert content['is_estimate']
    assert content['estimates'][0]['hours'] == 2
    assert content['estimates'][0]['memory']['activations'] == 2**32
    assert files[1].read_text().count(f'| `{Path(MAE).stem}` | fp16 | 512 | 8 | 8.00 |') == 1
    assert (estimated[0][2]['precision'], estimated[0][2]['batch_size']) == ('bf16', 2)


# The networks' own: batch normalisation of one image, say.
@pytest.mark.parametrize('estimated', [ConfigError, ValueError], indirect=True)
def test_profile_estimate_of_several_prints_the_others_and_names_what_failed(
    estimated, tmp_path, capsys
):
    file = tmp_path / 'a.md'
    assert main(['profile', MASKFEAT, MAE, '--estimate', '--markdown', str(file)]) == 1
    printed = capsys.readouterr()
    assert '│ mae_vit-toy' in printed.out
    assert f'{Path(MASKFEAT).stem}: maskfeat reads 3 from the device' in printed.err
    assert Path(MAE).stem in file.read_text()
    assert Path(MASKFEAT).stem not in file.read_text()


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--estimate', '--compile'], '--compile has no effect with --estimate'),
        (['--estimate'], '--estimate simulates'),
        (['--assume-tflops', '3'], '--assume-tflops needs --estimate'),
    ],
)
def test_profile_options_of_an_estimate_that_contradict_are_refused(words, message, capsys):
    assert main(['profile', MAE, '--device', 'cpu', *words]) == 1
    assert message in ' '.join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ([], 'nothing to profile'),
        (['absent.py'], 'absent.py: there is no such config file'),
        ([MAE, MAE], 'given twice'),
        ([MAE, '--cfg-options', 'modl.neck.depth=2'], "Did you mean 'model'"),
        ([MAE, '--cfg-options', 'batch'], "'batch' changes no setting"),
        ([MAE, '--variant', MAE, 'x=[1,(2'], 'brackets do not match'),
        ([MAE, '--find-batch'], '--find-batch needs a GPU'),
    ],
)
def test_profile_slip_is_one_clear_error(words, message, capsys):
    assert main(['profile', *words, '--device', 'cpu']) == 1
    assert message in ' '.join(capsys.readouterr().err.split())


@pytest.mark.parametrize('words', [['--repeats', '0'], ['--batch-size', 'x']])
def test_profile_wrong_number_exits_with_2(words):
    with pytest.raises(SystemExit) as caught:
        main(['profile', MAE, *words])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--graph-breaks', '--threads', '2'], '--threads has no effect with --graph-breaks'),
        (['--loader', '--precision', 'bf16'], '--precision has no effect with --loader'),
        (['--estimate', '--repeats', '99'], '--repeats has no effect with --estimate'),
        (['--images', '999'], '--images needs --loader'),
        (['--hooks', '--markdown', 'a.md'], '--markdown needs --estimate or --graph-breaks or'),
    ],
)
def test_profile_refuses_options_that_a_measurement_does_not_read(words, message, capsys):
    assert main(['profile', MAE, *words]) == 1
    assert message in ' '.join(capsys.readouterr().err.split())


def test_profile_takes_one_kind_of_measurement():
    with pytest.raises(SystemExit) as caught:
        main(['profile', MAE, '--hooks', '--loader'])
    assert caught.value.code == 2


def test_profile_hooks_needs_a_config_and_takes_variants_and_json(monkeypatch, tmp_path, capsys):
    fake = {'A': 0.5}
    monkeypatch.setattr(hook_time, 'hook_times', lambda cfg, size: fake)
    assert main(['profile', '--hooks']) == 1
    assert 'nothing to profile' in capsys.readouterr().err
    out = tmp_path / 'hooks.json'
    scale = 'train_dataloader.dataset.pipeline.1.scale=56'
    words = ['--variant', MASKFEAT, scale, '--batch-size', '8', '--json', str(out)]
    assert main(['profile', MAE, '--hooks', *words]) == 0
    names = [Path(MAE).stem, f'{Path(MASKFEAT).stem} {scale}']
    assert json.loads(out.read_text()) == {'hooks': {name: {'8': {'A': 0.5}} for name in names}}


def test_profile_graph_breaks_are_written_as_json(monkeypatch, tmp_path):
    found = graph_breaks.GraphBreaks('ViT', ('a reason',), ())
    monkeypatch.setattr(graph_breaks, 'graph_breaks_of_config', lambda path, options: found)
    out = tmp_path / 'breaks.json'
    assert main(['profile', MAE, '--graph-breaks', '--json', str(out)]) == 0
    breaks = {'backbone': 'ViT', 'training': ['a reason'], 'features': []}
    assert json.loads(out.read_text()) == {'graph_breaks': {Path(MAE).stem: breaks}}
