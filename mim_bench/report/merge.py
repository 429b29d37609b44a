"""Several folders of results as one: the origin of every record, and a check of overlaps."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from mim_bench.errors import RecordError
from mim_bench.report.published import TOLERANCES, metric_name
from mim_bench.report.spread import SampleReader
from mim_bench.results.record import RunRecord
from mim_bench.results.statistics import compare
from mim_bench.results.store import Collection, DamagedFile, collect


def folder_names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell the folders apart.

    Raises:
        RecordError: A folder is given twice.
    """
    paths = [Path(folder).resolve() for folder in folders]
    if len(set(paths)) < len(paths):
        raise RecordError('A folder of results is given twice. Give each folder once.')
    # Two groups both call it results; what stands above tells them apart.
    names = {path.name for path in paths}
    ends = [path.parts[:-1] if len(names) == 1 else path.parts for path in paths]
    for count in range(1, max(map(len, ends)) + 1):
        names = ['/'.join(parts[-count:]) for parts in ends]
        if len(set(names)) == len(names):
            break
    return names


def merge_folders(folders: Sequence[Path]) -> Collection:
    """Collect several folders and check them against each other.

    A run that stands in several folders with the same record is kept once, in the first. All
    other rows stay apart, marked with their folder. The findings are notes of the kinds ``same``,
    ``agree``, ``differ``, ``untested`` and ``protocol``.

    Raises:
        RecordError: A folder does not exist or is given twice.
    """
    merged = Collection()
    known: dict[str, list[RunRecord]] = defaultdict(list)
    copies: Counter[tuple[str, str]] = Counter()
    for name, folder in zip(folder_names(folders), folders, strict=True):
        found = collect(folder)
        merged.damaged.extend(DamagedFile(f'{name}/{f.path}', f.reason) for f in found.damaged)
        for record in found.records:
            twin = next((one for one in known[record.run_id] if one == record), None)
            if twin is not None:
                copies[merged.group(twin), name] += 1
                continue
            known[record.run_id].append(record)
            merged.records.append(record)
            merged.groups[id(record)] = name
            merged.places[id(record)] = found.places[id(record)]
    merged.notes.extend(
        ('same', f'{count:,} run(s) of {second} are those of {first}; kept once')
        for (first, second), count in copies.items()
    )
    merged.notes.extend(_protocol_notes(merged))
    merged.notes.extend(_number_notes(merged))
    return merged


def _protocol_notes(merged: Collection) -> Iterator[tuple[str, str]]:
    """One name and version must mean one hash; else two groups changed what is measured."""
    found = defaultdict(lambda: defaultdict(set))
    for record in merged.records:
        if not record.is_pretraining:
            p = record.protocol
            found[p.name, p.version, p.tier][p.hash].add(merged.group(record))
    for (name, version, tier), hashes in sorted(found.items()):
        if len(hashes) > 1:
            where = '; '.join(f'{h} in {", ".join(sorted(g))}' for h, g in sorted(hashes.items()))
            text = f'{name} version {version} ({tier}) has several hashes: {where}'
            yield 'protocol', f'{text}. Their columns stand apart; --explain says what differs.'


def _number_notes(merged: Collection) -> Iterator[tuple[str, str]]:
    """Whether folders that measured one file under one protocol got the same numbers."""
    found = defaultdict(lambda: defaultdict(dict))
    for run in sorted(merged.records, key=lambda r: (r.started_at, r.run_id)):
        if run.is_pretraining or run.status != 'done' or run.checkpoint.sha256 is None:
            continue
        measured = (run.checkpoint.sha256, run.checkpoint.id, run.task)
        for metric in run.metrics:
            key = (*measured, run.protocol.hash, run.protocol.tier, metric)
            found[key][merged.group(run)][run.seed] = run
    reader = SampleReader(merged)
    for (_, label, task, _, _, metric), folders in sorted(found.items()):
        for first, second in combinations(sorted(folders), 2):
            a, b = (reader.measured(list(folders[f].values()), metric) for f in (first, second))
            comparison = compare(a, b)
            means = [sum(side.values) / len(side.values) for side in (a, b)]
            text = f'{label}: {task} {metric}: '
            text += f'{means[0]:.2f} in {first}, {means[1]:.2f} in {second}'
            differs = comparison.is_distinguishable()
            is_near = abs(means[0] - means[1]) <= TOLERANCES.get(metric_name(metric), 0.0)
            if not is_near and differs is None:
                yield 'untested', f'{text}; too few seeds or outcomes to test it'
            elif not is_near and differs:
                yield 'differ', f'{text}; a test tells them apart'
            else:
                yield 'agree', text
