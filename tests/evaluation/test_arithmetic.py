"""Features in float32, TF32 and bfloat16; the heads of a sweep shared among processes."""

from itertools import chain

import pytest
import torch
from torch.nn import functional as F

from mim_bench.evaluation.probes import together
from mim_bench.evaluation.probes.dispatch import run_probe
from mim_bench.evaluation.probes.extraction import arithmetic, arithmetic_name, extract_features
from mim_bench.recipe.building import build_model
from mim_bench.recipe.config import load_config, set_data_root
from mim_bench.testing.bad_inputs import DEMO, built

CPU = torch.device('cpu')


@pytest.mark.parametrize('kind', ['bf16', 'tf32'])
def test_knn_on_the_embedded_data_is_that_of_float32_within_an_image(kind, toy_root, tmp_path):
    cfg = load_config(DEMO / 'probe_vit-toy_1xb64_toy-in1k-64px.py')
    set_data_root(cfg, str(toy_root / 'imagenet'))
    loaders = {'bank': cfg.test_cfg.bank_dataloader, 'query': cfg.test_dataloader}
    for name, loader in loaders.items():
        cfg[f'{name}_loader'] = {**loader, 'num_workers': 0, 'persistent_workers': False}
    torch.manual_seed(0)
    model = build_model(cfg)
    found, accuracy = {}, {}
    for fp16 in (False, kind):
        for name in loaders:
            folder = tmp_path / f'{name}-{fp16}'
            folder.mkdir()
            found[fp16, name] = extract_features(
                model, built(cfg, f'{name}_loader'), folder, pooling=cfg.test_cfg.pooling, fp16=fp16
            )
        accuracy[fp16] = run_probe(
            'knn', found[fp16, 'bank'], found[fp16, 'query'], device=CPU, settings={'k': 5}
        ).scores['top1']

    one, other = (found[fp16, 'bank'].x[:] for fp16 in (False, kind))
    assert F.cosine_similarity(one, other).min() > 0.999
    assert (kind == 'tf32') == torch.equal(one, other)  # a CPU has no TF32
    assert abs(accuracy[kind] - accuracy[False]) <= 100 / 20


def test_tf32_is_asked_for_inside_alone():
    before = torch.get_float32_matmul_precision()
    with arithmetic(CPU, 'tf32'):
        assert torch.get_float32_matmul_precision() == 'high'
    assert torch.get_float32_matmul_precision() == before


def test_arithmetics_have_names_that_tell_them_apart():
    names = [arithmetic_name(CPU, kind) for kind in (False, 'tf32', 'bf16', 'fp16')]
    assert names == [None, 'tf32', 'torch.bfloat16', 'torch.float16']
    assert arithmetic_name(CPU, True) == 'torch.bfloat16'  # as before there were names


@pytest.mark.parametrize('world_size', [1, 2, 4, 7])
def test_heads_of_a_sweep_are_shared_and_come_back_in_order(world_size, monkeypatch):
    rates = [0.1, 0.2, 0.3, 0.4, 0.5]
    trained = []

    def score(part):
        trained.append(list(part))
        return [100 * rate for rate in part], [1 - rate for rate in part]

    def shared(rank, gathered):
        rows = []
        monkeypatch.setattr(together, 'get_rank', lambda: rank)
        monkeypatch.setattr(together, 'get_world_size', lambda: world_size)
        monkeypatch.setattr(
            together, 'on_every_process', lambda work: rows.append(work()) or gathered or [rows[0]]
        )
        result = together.shared_scores(score, rates)
        return rows[0], result

    shares = [shared(rank, None)[0] for rank in range(world_size)]
    by_rank = trained[:world_size]

    assert sorted(chain.from_iterable(by_rank[: len(rates)])) == rates
    assert all(part == rates[:1] for part in by_rank[len(rates) :])  # the same random numbers
    for rank in range(world_size):
        _, (accuracy, loss) = shared(rank, shares)
        assert accuracy == [100 * rate for rate in rates]
        assert loss == [1 - rate for rate in rates]
