"""Selects the entries of a suite for a checkpoint."""

from collections.abc import Callable, Mapping, Sequence

from mim_bench.errors import ConfigError, did_you_mean
from mim_bench.suite.tasks import PRETRAINED, Entry, Network, Suite


def parse_tasks(text: str, suite: Suite) -> dict[str, str]:
    """Parse ``in1k-knn,in1k-ft=ummae`` to recipes by task; '' is the suite's default.

    Raises:
        ConfigError: A task is unknown or named twice, or has no such recipe.
    """
    wanted: dict[str, str] = {}
    for word in filter(None, (part.strip() for part in text.split(','))):
        task, _, recipe = word.partition('=')
        if task not in suite.tasks:
            raise ConfigError(
                f'{word}: the suite {suite.name!r} has no task {task!r}.'
                f'{did_you_mean(task, suite.tasks)} It has {", ".join(suite.tasks)}.'
            )
        if task in wanted:
            raise ConfigError(f'The task {task} is named twice. Name each task once.')
        recipes = [entry.recipe for entry in suite.entries if task in entry.tasks]
        if recipe and not any(is_called(known, recipe) for known in recipes):
            raise ConfigError(
                f'{word}: {task} has no recipe {recipe!r}.{did_you_mean(recipe, recipes)} It has '
                f'{", ".join(recipes)}.'
            )
        wanted[task] = recipe
    if not wanted:
        raise ConfigError(f'{text!r} names no task. Known: {", ".join(suite.tasks)}.')
    return wanted


def is_called(recipe: str, word: str) -> bool:
    """Whether a word names a recipe: by its full name or its first word (mae for mae-100e)."""
    return recipe == word or recipe.partition('-')[0] == word


def choose_entries(
    suite: Suite, network: Network, wanted: Mapping[str, str] | None, who: str
) -> list[Entry]:
    """The entries that a backbone runs, each before entries that start from its result.

    One entry may record several of the tasks. An entry that another one starts from is added.

    Args:
        suite: The suite.
        network: The backbone.
        wanted: Result of :func:`parse_tasks`; None: all tasks that have a config for the backbone.
        who: Name of the checkpoint, for messages.

    Raises:
        ConfigError: A wanted task has no config for the backbone, or entries start from each other.
    """
    chosen: list[Entry] = []

    def add(entry: Entry, *after: Entry) -> None:
        if entry in after:
            names = ', '.join(other.name for other in after)
            raise ConfigError(f'{names} start from each other. Let one start from {PRETRAINED!r}.')
        start = start_entry(entry, suite, network, wanted or {}, who)
        if start is not None:
            add(start, *after, entry)
        if entry not in chosen:
            chosen.append(entry)

    for task in suite.tasks if wanted is None else wanted:
        recipe = '' if wanted is None else wanted[task]
        candidates = _candidates(suite, task, network, recipe)
        if not candidates and wanted is None:
            continue
        if not candidates:
            raise _no_config(suite, task, network, recipe, who)
        add(candidates[0])
    return sorted(chosen, key=lambda entry: entry.start != PRETRAINED)


def start_entry(
    entry: Entry, suite: Suite, network: Network, wanted: Mapping[str, str], who: str
) -> Entry | None:
    """The fine-tuning that an entry starts from; None if it starts from the pre-trained file.

    Its recipe is the one that the user chose for that task, else one with the same first word (so
    UM-MAE's segmentation starts from UM-MAE's fine-tuning), else the default.

    Raises:
        ConfigError: The backbone has no config for that task.
    """
    if entry.start == PRETRAINED:
        return None
    recipe = wanted.get(entry.start, '')
    own = entry.recipe.partition('-')[0]
    candidates = _candidates(suite, entry.start, network, recipe)
    alike = [c for c in candidates if is_called(c.recipe, own)]
    if not candidates:
        raise _no_config(suite, entry.start, network, recipe, who)
    return candidates[0] if recipe or not alike else alike[0]


def _candidates(suite: Suite, task: str, network: Network, recipe: str) -> list[Entry]:
    return [
        entry
        for entry in suite.entries
        if task in entry.tasks
        and _has_config(entry, suite, network)
        and (not recipe or is_called(entry.recipe, recipe))
    ]


def _has_config(entry: Entry, suite: Suite, network: Network) -> bool:
    """Whether an entry, or for a variant the training that it tests, has a config."""
    if entry.variant is None:
        return bool(entry.config_of(network))
    return bool(_candidates(suite, entry.start, network, ''))


def _no_config(suite: Suite, task: str, network: Network, recipe: str, who: str) -> ConfigError:
    entries = [entry for entry in suite.entries if task in entry.tasks]
    known = [
        f'{entry.recipe} ({", ".join(entry.configs)})'
        for entry in entries
        if not recipe or is_called(entry.recipe, recipe)
    ]
    asked = f'{task}={recipe}' if recipe else task
    return ConfigError(
        f'{who}: the suite {suite.name!r} has no config of {asked} for the backbone {network}. '
        f'There are: {"; ".join(known)}. Leave the task out, or add a config and its entry.'
    )


def with_data(suite: Suite, has_data: Callable[[str], bool]) -> Suite:
    """A suite without the robustness tests whose test set is missing.

    Args:
        suite: The suite.
        has_data: Takes the name of a data set; whether it exists.
    """
    entries = [e for e in suite.entries if e.variant is None or has_data(e.dataset)]
    return suite.model_copy(update={'entries': tuple(entries)})


def missing_tasks(suite: Suite, network: Network) -> Sequence[str]:
    """Tasks of a suite that have no config for a backbone."""
    return [t for t in suite.tasks if not _candidates(suite, t, network, '')]
