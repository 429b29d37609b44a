"""What a user states about a checkpoint, as ``KEY=VALUE`` words of a command."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from mim_bench.errors import ConfigError
from mim_bench.files.validation import adapter, explain
from mim_bench.results.record import Checkpoint

# The words of a command -> the fields of a record's checkpoint.
FACTS = {
    'method': 'method',
    'data': 'pretrain_data',
    'labels': 'labels',
    'epochs': 'pretrain_epochs',
    'img_size': 'img_size',
    'licence': 'licence',
}
_NUMBERS = {'pretrain_epochs': float, 'img_size': int, 'params': int}


def parse_facts(words: Iterable[str], where: str, known: Mapping[str, str] = FACTS) -> dict:
    """Facts by field of :class:`mim_bench.results.record.Checkpoint`.

    Args:
        words: ``KEY=VALUE``. ``labels`` are joined by ``+`` (``in1k+ade20k``); ``labels=none``
            says that the weights saw none. Any other ``None`` is what is not known.
        where: The option, or the checkpoint, for messages.
        known: Fields by key.

    Raises:
        ConfigError: A word is not ``KEY=VALUE`` with a known key, or no record takes the value.
    """
    facts: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition('=')
        if not equals or key not in known:
            raise ConfigError(
                f'{where} {word}: is not KEY=VALUE with one of {", ".join(known)}. Correct it.'
            )
        field = known[key]
        if field == 'labels' and value != 'None' and value != 'unknown':
            facts[field] = [] if value == 'none' else value.split('+')
        elif value == 'None' or (value == 'unknown' and field != 'method'):
            facts[field] = None
        else:
            try:
                facts[field] = _NUMBERS.get(field, str)(value)
            except ValueError as error:
                raise ConfigError(f'{where} {word}: {error}. Give a number.') from error
    _check_values(facts, where)
    return facts


def _check_values(facts: Mapping[str, Any], where: str) -> None:
    """Refuse what no record takes, before a run that ends in one."""
    others = {'id': '-', 'method': '-', 'backbone': '-'}
    try:
        found = adapter(Checkpoint).validate_python({**others, **facts})
    except ValidationError as problem:
        text = explain(problem, Checkpoint).removesuffix('. Correct the file, or what wrote it.')
        raise ConfigError(f'{where}: {text}. Correct it.') from None
    if not math.isfinite(found.pretrain_epochs or 0):
        raise ConfigError(f'{where}: epochs={found.pretrain_epochs}: give a finite number.')
