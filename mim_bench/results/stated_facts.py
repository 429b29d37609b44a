"""What a user states about a checkpoint, as ``KEY=VALUE`` words of a command."""

from collections.abc import Iterable, Mapping
from typing import Any

from mim_bench.errors import ConfigError

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
        ConfigError: A word is not ``KEY=VALUE`` with a known key, or a number is none.
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
    return facts
