"""Records of several folders as one collection, checked against each other."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean

from mim_bench.errors import RecordError
from mim_bench.results.collection import Collection, DamagedFile, SampleReader, collect
from mim_bench.results.record import RunRecord, metric_name
from mim_bench.results.statistics import TOLERANCES, compare

# Whether a test tells the numbers of two folders apart -> the kind of the finding, and its words.
_VERDICTS = {
    None: ('untested', '; too few seeds or outcomes to test it'),
    True: ('differ', '; a test tells them apart'),
    False: ('agree', ''),
}


def collect_folders(folders: Sequence[Path]) -> Collection:
    """The records of one folder, or of several that are merged.

    Raises:
        RecordError: A folder does not exist, or no record can be read.
    """
    collection = collect(folders[0]) if len(folders) == 1 else merge_folders(folders)
    if not collection.records:
        names = ', '.join(map(str, folders))
        damaged = ''.join(f'\n  {file.path}: {file.reason}' for file in collection.damaged)
        reason = f'every record is damaged:{damaged}' if damaged else 'no record.json below it.'
        raise RecordError(f'{names}: {reason}\nRun a task first, or give another folder.')
    return collection


def folder_names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell the folders apart.

    Raises:
        RecordError: A folder is given twice.
    """
    paths = [Path(folder).resolve() for folder in folders]
    if len(set(paths)) < len(paths):
        raise RecordError('A folder of results is given twice. Give each folder once.')
    # Two groups both call it results; what stands above tells them apart.
    is_same = len({path.name for path in paths}) == 1
    ends = [path.parts[:-1] if is_same else path.parts for path in paths]
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
        merged.features.update({(name, label): p for (_, label), p in found.features.items()})
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
    merged.notes.extend([*_protocol_notes(merged), *_number_notes(merged)])
    return merged


def _protocol_notes(merged: Collection) -> Iterator[tuple[str, str]]:
    """A task under one name and version must share a hash, or two groups measure otherwise.

    A group may have several, since weights that saw labels have one of their own.
    """
    found = defaultdict(lambda: defaultdict(set))
    for record in merged.records:
        if not record.is_pretraining:
            p = record.protocol
            found[record.task, p.name, p.version, p.tier][p.hash].add(merged.group(record))
    for (task, name, version, tier), hashes in sorted(found.items()):
        if set().union(*hashes.values()) not in hashes.values():
            where = '; '.join(f'{h} in {", ".join(sorted(g))}' for h, g in sorted(hashes.items()))
            text = f'{task}: {name} version {version} ({tier}) has several hashes: {where}'
            yield 'protocol', f'{text}. Their columns stand apart; --explain says what differs.'


def _number_notes(merged: Collection) -> Iterator[tuple[str, str]]:
    """Whether folders that measured one file under one protocol got the same numbers."""
    found = defaultdict(lambda: defaultdict(dict))
    for run in sorted(merged.records, key=lambda r: (r.started_at, r.run_id)):
        if run.is_pretraining or run.status != 'done' or run.checkpoint.sha256 is None:
            continue
        measured = (run.checkpoint.sha256, run.checkpoint.id, run.task)
        for name, m in run.metrics.items():
            key = (*measured, run.protocol.hash, run.protocol.tier, name, m.unit, m.split)
            found[key][merged.group(run)][run.seed] = run
    reader = SampleReader(merged)
    for (_, label, task, _, _, metric, unit, _), folders in sorted(found.items()):
        tolerance = TOLERANCES.get(metric_name(metric), 0.0) if unit == '%' else 0.0
        sides = {f: reader.measured(list(folders[f].values()), metric) for f in sorted(folders)}
        for (first, a), (second, b) in combinations(sides.items(), 2):
            means = [fmean(side.values) for side in (a, b)]
            differs = compare(a, b).is_distinguishable
            if round(abs(means[0] - means[1]), 6) <= tolerance:  # sums of floats are not exact
                differs = False
            verdict, words = _VERDICTS[differs]
            numbers = f'{means[0]:.2f} in {first}, {means[1]:.2f} in {second}'
            yield verdict, f'{label}: {task} {metric}: {numbers}{words}'
