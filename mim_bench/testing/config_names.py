"""The configs of the project, what their names say, and ways to look through them."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from mim_bench.recipe.config import load_config
from mim_bench.suite.locations import configs_folder

CONFIGS = configs_folder()
PATHS = sorted(p for p in CONFIGS.rglob('*.py') if '_base_' not in p.relative_to(CONFIGS).parts)
BASES = sorted((CONFIGS / '_base_').rglob('*.py'))

# {head or method}_{backbone}_{gpus}xb{batch}[-accumN][-amp][-recipe]-{length}_{dataset}-{px}px;
# a probe trains no network, so its name has neither recipe nor length. The recipe of a downstream
# config names whose settings they are; `coslr` says the schedule.
WORD = r'[a-z0-9]+(?:-[a-z0-9]+)*'
NAME = re.compile(
    rf'(?P<head>{WORD})_(?P<backbone>{WORD}-(?P<size>tiny|small|base|large|huge|toy))_'
    r'(?P<gpus>\d+)xb(?P<batch>\d+)(?:-accum(?P<accum>\d+))?(?P<amp>-amp)?'
    r'(?:(?:-(?P<recipe>[a-z0-9]*[a-z][a-z0-9]*))?-(?P<length>\d+)(?P<unit>[eik]))?'
    r'_(?P<dataset>in1k(?:-1pct|-10pct)?|ade20k|coco|toy-in1k|toy-ade20k|toy-coco)'
    r'-(?P<pixels>\d+)px'
)

# Heads of configs that train no network.
PROBES = ('probe', 'best-layer', 'knn', 'logreg', 'attentive')


def demo(pattern: str) -> str:
    """The path of the one config of the demo whose name begins so."""
    (path,) = (CONFIGS / 'demo').glob(f'{pattern.removesuffix("*")}*.py')
    return str(path)


@cache
def load(path: Path) -> Config:
    """The resolved config; shared, so change a copy only."""
    return load_config(path)


@cache
def parse(path: Path) -> dict[str, str | None] | None:
    """What the name of a config says; None if it does not follow the scheme."""
    match = NAME.fullmatch(path.stem)
    return match and match.groupdict()


def has_schedule(path: Path) -> bool:
    """Whether a config trains; a probe does not."""
    return parse(path)['head'] not in PROBES


def used_loaders(path: Path) -> dict[str, ConfigDict]:
    """The loaders that a run of this config builds, by name."""
    cfg = load(path)
    if not has_schedule(path):
        return {'test': cfg.test_dataloader, 'bank': cfg.test_cfg.bank_dataloader}
    names = [name for name in ('train', 'val', 'test') if cfg.get(f'{name}_dataloader')]
    return {name: cfg[f'{name}_dataloader'] for name in names}


def effective_preprocessor(cfg: Config) -> ConfigDict:
    """The model's own, else the one at the top; mmengine does not merge the two."""
    return cfg.model.get('data_preprocessor') or cfg.data_preprocessor


def walk(node: Any) -> Iterator[Any]:
    """Every dictionary and every text at and below a node of a config."""
    if isinstance(node, dict | str):
        yield node
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list | tuple):
        for child in node:
            yield from walk(child)


def for_every(items: Iterable[Any]) -> Callable[[Callable[[Any], None]], Callable[[], None]]:
    """A decorator: a check of one config becomes one test of many, which names all that fail.

    Args:
        items: Paths, or whatever else has a ``name``.
    """

    def decorate(check: Callable[[Any], None]) -> Callable[[], None]:
        def test() -> None:
            failures = []
            for item in items:
                try:
                    check(item)
                except Exception as error:
                    failures.append(f'{item.name}: {error!r}')
            if failures:
                raise AssertionError('\n'.join([check.__name__, *failures]))

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return test

    return decorate
