import pytest

from mim_bench.errors import ConfigError
from mim_bench.suite.steps import (
    Step,
    check_plan,
    lost_steps,
    ready_steps,
)

PLAN = [
    Step('data', ('data',)),
    Step('pretrain', ('train',), needs=('data',)),
    Step('convert', ('convert',), needs=('pretrain',)),
    Step('random', ('test',), needs=('data',)),
]


def names(steps):
    return [step.name for step in steps]


def test_ready_steps_nothing_done_gives_those_without_needs():
    assert names(ready_steps(PLAN, set(), set(), set())) == ['data']


def test_ready_steps_come_in_the_order_of_the_plan():
    assert names(ready_steps(PLAN, {'data'}, set(), set())) == ['pretrain', 'random']


def test_ready_steps_started_and_lost_ones_are_not_ready():
    assert names(ready_steps(PLAN, {'data'}, {'data', 'pretrain'}, {'random'})) == []


def test_lost_steps_are_direct_dependents_not_lost_yet():
    assert names(lost_steps(PLAN, {'pretrain'})) == ['convert']
    assert names(lost_steps(PLAN, {'pretrain', 'convert'})) == []


def test_fingerprint_depends_on_words_and_inputs_only():
    step = Step('a', ('train', 'x.py'), inputs='1')
    assert step.fingerprint == Step('b', ('train', 'x.py'), needs=('c',), inputs='1').fingerprint
    assert step.fingerprint != Step('a', ('train', 'y.py'), inputs='1').fingerprint
    assert step.fingerprint != Step('a', ('train', 'x.py'), inputs='2').fingerprint


def test_check_plan_same_name_twice_raises():
    with pytest.raises(ConfigError, match="two steps 'data'"):
        check_plan([PLAN[0], PLAN[0]])


def test_fingerprint_follows_the_identity_and_the_inputs_not_the_paths():
    here = Step('a', ('train', 'here'), inputs='1', identity=('train',))
    there = Step('a', ('train', 'there'), inputs='1', identity=('train',))
    assert here.fingerprint == there.fingerprint
    assert (
        here.fingerprint
        != Step('a', ('train', 'here'), inputs='2', identity=('train',)).fingerprint
    )
