"""The table in the README.md of each config folder: config, source and published result."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from mim_bench.published.numbers import PublishedResult, load_published, network_family
from mim_bench.report.catalogue import method_title, metric_rank, metric_titles
from mim_bench.suite.config_index import CONFIGS, ConfigEntry, index_configs

README = 'README.md'
TOOL = 'tools/write_config_tables.py'
MARK = f'<!-- Made by {TOOL} from here on. -->'
# Methods whose ViT has BEiT's relative positions; published results do not state it.
BEIT_KIND = {'beit', 'beitv2', 'cae', 'conmim', 'mcbeit'}
_NONE = '-'


def stale_tables(folder: Path = CONFIGS) -> dict[Path, str]:
    """README.md files of config folders that are missing or out of date.

    Args:
        folder: Root folder of the configs.

    Returns:
        The wanted text of each. The text above the mark is kept.
    """
    root = Path(folder)
    entries: dict[Path, dict[str, list[ConfigEntry]]] = {}
    for entry in index_configs(root):
        path = root / Path(entry.path).relative_to('configs')
        entries.setdefault(path.parent, {}).setdefault(path.name, []).append(entry)
    stale = {}
    for place, configs in entries.items():
        readme = place / README
        old = readme.read_text('utf-8') if readme.is_file() else ''
        title = f'# configs/{place.relative_to(root).as_posix()}\n'
        intro = old.partition(MARK)[0].rstrip() or title.rstrip()
        new = f'{intro}\n\n{MARK}\n\n{_table(place, configs)}'
        if new != old:
            stale[readme] = new
    return stale


def _table(place: Path, configs: dict[str, list[ConfigEntry]]) -> str:
    rows = [
        (
            f'[{name.removesuffix(".py")}]({name})',
            ', '.join(f'`{p}`' for p in dict.fromkeys(e.protocol for e in entries)),
            _cell(settings_source(place / name)),
            '<br>'.join(_published(entries)) or _NONE,
        )
        for name, entries in configs.items()
    ]
    head = ('config', 'protocol', 'what it is, and the source of its settings', 'published')
    lines = [head, ('---',) * len(head), *rows]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def settings_source(path: Path) -> str:
    """The comment at the top of a config, else the name of its parent."""
    comment = ''
    for line in path.read_text('utf-8').splitlines():
        if not line.startswith('#'):
            break
        text = line.removeprefix('#').strip()
        # A path may go on in the next line.
        comment += text if not comment or comment.endswith('/') else f' {text}'
    if comment:
        return comment
    parents = re.findall(r"'\./([\w-]+)\.py'", path.read_text('utf-8'))
    return f'As {parents[0]}.' if parents else _NONE


def _cell(text: str) -> str:
    """Escape a text for a Markdown table."""
    return re.sub(r'([|*<])', r'\\\1', text)


def _published(entries: Iterable[ConfigEntry]) -> Iterator[str]:
    """Published results of a config's recipe, one text for each row of a source."""
    groups: dict[tuple, list[PublishedResult]] = {}
    for entry in entries:
        for result in load_published():
            if _is_of(result, entry):
                test = 'multi-scale' if result.protocol.test == 'multi-scale' else ''
                key = (result.method, result.pretrain, result.variant, test, result.label)
                groups.setdefault(key, []).append(result)
    for (method, pretrain, variant, test, label), results in groups.items():
        results.sort(key=lambda result: metric_rank(result.task, result.metric))
        numbers = ', '.join(
            f'{metric_titles(result.task, result.metric)[1]} {result.value:g}' for result in results
        )
        epochs = '' if pretrain.epochs is None else f'{pretrain.epochs} epochs'
        name = ' '.join(word for word in (method_title(method), variant) if word)
        facts = ', '.join(fact for fact in (name, epochs, test) if fact)
        yield _cell(f'{numbers} ({facts}; {label})')


def _is_of(result: PublishedResult, entry: ConfigEntry) -> bool:
    """Whether a result is of a config's recipe, or follows a config's pre-training."""
    if entry.method is not None:
        is_variant = entry.backbone == f'{result.variant}-{result.backbone}'
        is_same = is_variant or entry.backbone == network_family(result.backbone)
        facts = (result.task, result.method, result.pretrain.epochs)
        return is_same and result.is_own and facts == ('in1k-ft', entry.method, entry.epochs)
    is_beit = entry.backbone.startswith('beit-')
    if 'vit-' in entry.backbone and is_beit != (result.method in BEIT_KIND):
        return False
    is_same = network_family(entry.backbone) == network_family(result.backbone)
    return is_same and (result.protocol.ours, result.task) == (entry.protocol, entry.task)
