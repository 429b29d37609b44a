import pytest

from mim_bench.errors import ConfigError
from mim_bench.suite.steps import Step, check_plan

PLAN = [
    Step('data', ('data',)),
    Step('pretrain', ('train',), needs=('data',)),
]


def test_fingerprint_depends_on_words_or_identity_and_on_inputs_only():
    step = Step('a', ('train', 'x.py'), inputs='1')
    assert step.fingerprint == Step('b', ('train', 'x.py'), needs=('c',), inputs='1').fingerprint
    assert step.fingerprint != Step('a', ('train', 'y.py'), inputs='1').fingerprint
    assert step.fingerprint != Step('a', ('train', 'x.py'), inputs='2').fingerprint
    here = Step('a', ('train', 'here'), inputs='1', identity=('train',))
    assert here.fingerprint == Step('a', ('there',), inputs='1', identity=('train',)).fingerprint
    assert here.fingerprint != Step('a', ('here',), inputs='2', identity=('train',)).fingerprint


def test_check_plan_same_name_twice_raises():
    with pytest.raises(ConfigError, match="two steps 'data'"):
        check_plan([PLAN[0], PLAN[0]])
