"""Titles, order and number formats of columns; ``templates/titles.yml`` has what is known."""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from mim_bench.results.record import metric_name

_TITLES = yaml.safe_load((Path(__file__).parent / 'templates' / 'titles.yml').read_text('utf-8'))
_METRICS, _METHODS, _DATA = (_TITLES[name] for name in ('metrics', 'methods', 'data'))


class Task(NamedTuple):
    """A task: its title, that of a metric that stands alone, and its headline metrics."""

    title: str
    alone: str
    metrics: Sequence[str]


_PROBES = {'': '', 'knn': 'k-NN', 'linear': 'linear', 'attentive': 'attentive'}


def _robustness() -> dict[str, Task]:
    """Each test set of robustness for fine-tuned models, then for each probe."""
    tasks = {}
    for probe, words in _PROBES.items():
        end, suffix = (f'-{probe}', f', {words}') if probe else ('', '')
        for name in ('ReaL', 'V2', 'A', 'R', 'Sketch', 'C'):
            title = 'ImageNet ReaL' if name == 'ReaL' else f'ImageNet-{name}'
            metric = f'{probe}_' * bool(probe) + ('mCE' if name == 'C' else 'top1')
            task = Task(title + suffix, f'{name} {{}}{suffix}', [metric])
            tasks[f'imagenet-{name.lower()}{end}'] = task
    return tasks


_TASKS = {name: Task(*facts) for name, facts in _TITLES['tasks'].items()}
TASKS = {name: task for name, task in _TASKS.items() if name.startswith('in1k')}
TASKS |= _robustness() | _TASKS

# What the names of methods begin with that learned from labels.
SUPERVISED = 'supervised'
TIER_ORDER = ('full', 'proxy', 'smoke')


def task_title(task: str) -> str:
    """The title of a task; unknown ones keep their name."""
    return TASKS[task].title if task in TASKS else task


def method_title(method: str) -> str:
    """The title of a pre-training method; unknown ones keep their name."""
    return _METHODS.get(method, [method])[0]


def method_links(method: str) -> dict[str, str]:
    """Addresses of the method's paper and official code, as far as they are known."""
    sites = {'paper': 'https://arxiv.org/abs/', 'code': 'https://github.com/'}
    known = _METHODS.get(method, [])[1:]
    return {name: site + place for (name, site), place in zip(sites.items(), known, strict=False)}


def data_titles(data_sets: Iterable[str]) -> str:
    """The titles of data sets; unknown ones keep their name."""
    return ', '.join(_DATA.get(name, name) for name in data_sets)


def metric_titles(task: str, metric: str) -> tuple[str, str]:
    """A title that tells the column apart from every other task's, and a short one."""
    # A task of one's own may have several probes.
    is_plain = task in TASKS or metric == metric_name(metric)
    short = _METRICS.get(metric, metric) if is_plain else metric
    alone = TASKS[task].alone if is_headline(task, metric) else f'{task_title(task)} {{}}'
    titles = alone.format(short), short
    return tuple(re.sub('^(box|mask)', lambda word: word[0].title(), title) for title in titles)


def is_headline(task: str, metric: str) -> bool:
    """Whether the metric belongs in the first table whatever the records say."""
    return task in TASKS and metric in TASKS[task].metrics


def is_loss(metric: str) -> bool:
    """Whether a metric is a training loss, which is never ranked: methods minimise other things."""
    return 'loss' in re.split(r'[._]', metric)


def task_rank(task: str) -> tuple[int, str]:
    """Sort key: known tasks in their order, then the others by name."""
    return _rank(list(TASKS), task)


def metric_rank(task: str, metric: str) -> tuple[int, str]:
    """Sort key of a metric inside its task, as :func:`task_rank`."""
    return _rank(list(TASKS[task].metrics) if task in TASKS else [], metric)


def _rank(known: list[str], name: str) -> tuple[int, str]:
    return (known.index(name) if name in known else len(known), name)


def decimals_for(unit: str, values: Sequence[float]) -> int:
    """How many decimals tell the values of a column apart without pretending precision."""
    largest = max(map(abs, values), default=0.0)
    if unit == '%':
        return 1 if largest >= 1 else 2
    if all(float(value).is_integer() for value in values):
        return 0
    needed = sum(largest < limit for limit in (1000, 100, 10))
    # Rates of 0.001 and of 10 share a column; no value but 0 is shown as 0.
    smallest = min(abs(value) for value in values if value)
    return max(needed, min(math.ceil(-math.log10(smallest)), 6))
