"""Several folders of results as one: the origin of every record, and a check of overlaps."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from mim_bench.errors import RecordError
from mim_bench.report.published import TOLERANCES, metric_name
from mim_bench.report.spread import SampleReader
from mim_bench.results.record import RunRecord
from mim_bench.results.statistics.comparison import Measured, compare
from mim_bench.results.store import Collection, DamagedFile, collect


@dataclass(frozen=True)
class MergedFolders:
    """A collection of several folders; it serves wherever a :class:`Collection` does.

    Two folders may hold different runs of one id, so a record is found by its identity.
    ``notes`` are the findings of the check as (kind, text); a kind is ``same``, ``agree``,
    ``differ``, ``untested`` or ``protocol``.
    """

    records: list[RunRecord] = field(default_factory=list)
    damaged: list[DamagedFile] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    origins: dict[int, tuple[str, Collection]] = field(default_factory=dict)

    def folder_name(self, record: RunRecord) -> str:
        """The name of the folder that a record came from."""
        return self.origins[id(record)][0]

    def artifact_path(self, record: RunRecord, relative: str) -> Path:
        """As :meth:`Collection.artifact_path`."""
        return self.origins[id(record)][1].artifact_path(record, relative)


def folder_names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell the folders apart.

    Raises:
        RecordError: A folder is given twice.
    """
    paths = [Path(folder).resolve() for folder in folders]
    if len(set(paths)) < len(paths):
        raise RecordError('A folder of results is given twice. Give each folder once.')
    for count in range(1, max(len(path.parts) for path in paths) + 1):
        names = ['/'.join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            # Two groups both call it results; what stands above tells them apart.
            shared = len({path.parts[-1] for path in paths}) == 1 and count > 1
            return [name.rpartition('/')[0] if shared else name for name in names]
    return list(map(str, paths))


def merge_folders(folders: Sequence[Path]) -> MergedFolders:
    """Collect several folders and check them against each other.

    A run that stands in several folders with the same record is kept once, in the first. All
    other rows stay apart, marked with their folder.

    Raises:
        RecordError: A folder does not exist or is given twice.
    """
    merged = MergedFolders()
    known: dict[str, list[RunRecord]] = defaultdict(list)
    copies: dict[tuple[str, str], int] = defaultdict(int)
    for name, folder in zip(folder_names(folders), folders, strict=True):
        collection = collect(folder)
        merged.damaged.extend(DamagedFile(f'{name}/{f.path}', f.reason) for f in collection.damaged)
        for record in collection.records:
            twin = next((one for one in known[record.run_id] if one == record), None)
            if twin is not None:
                copies[merged.folder_name(twin), name] += 1
                continue
            known[record.run_id].append(record)
            merged.records.append(record)
            merged.origins[id(record)] = (name, collection)
    for (first, second), count in copies.items():
        merged.notes.append(
            ('same', f'{count:,} run(s) of {second} are those of {first}; kept once')
        )
    merged.notes.extend(_protocol_notes(merged))
    merged.notes.extend(_number_notes(merged))
    return merged


def _protocol_notes(merged: MergedFolders) -> Iterator[tuple[str, str]]:
    """One name and version must mean one hash; else two groups changed what is measured."""
    found: dict[tuple[str, str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for record in merged.records:
        if not record.is_pretraining:
            p = record.protocol
            found[p.name, p.version, p.tier][p.hash].add(merged.folder_name(record))
    for (name, version, tier), hashes in sorted(found.items()):
        if len(hashes) > 1:
            where = '; '.join(f'{h} in {", ".join(sorted(g))}' for h, g in sorted(hashes.items()))
            text = f'{name} version {version} ({tier}) has several hashes: {where}'
            yield 'protocol', f'{text}. Their columns stand apart; --explain says what differs.'


def _number_notes(merged: MergedFolders) -> Iterator[tuple[str, str]]:
    """Whether folders that measured one file under one protocol got the same numbers."""
    found: dict[tuple, dict[str, dict[int, RunRecord]]] = defaultdict(lambda: defaultdict(dict))
    for record in sorted(merged.records, key=lambda r: (r.started_at, r.run_id)):
        if record.is_pretraining or record.status != 'done' or record.checkpoint.sha256 is None:
            continue
        p = record.protocol
        for metric in record.metrics:
            key = (
                record.checkpoint.sha256,
                record.checkpoint.id,
                record.task,
                p.hash,
                p.tier,
                metric,
            )
            found[key][merged.folder_name(record)][record.seed] = record
    reader = SampleReader(merged)
    for (_, label, task, _, _, metric), folders in sorted(found.items()):
        for first, second in combinations(sorted(folders), 2):
            sides = [list(folders[name].values()) for name in (first, second)]
            yield _verdict(f'{label}: {task} {metric}', (first, second), sides, metric, reader)


def _verdict(
    what: str,
    names: Sequence[str],
    sides: Sequence[list[RunRecord]],
    metric: str,
    reader: SampleReader,
) -> tuple[str, str]:
    measured = [
        Measured(
            tuple(run.metrics[metric].value for run in runs),
            tuple(reader.read(run).get(metric) for run in runs),
        )
        for runs in sides
    ]
    comparison = compare(*measured)
    means = [sum(side.values) / len(side.values) for side in measured]
    text = f'{what}: {means[0]:.2f} in {names[0]}, {means[1]:.2f} in {names[1]}'
    tolerance = TOLERANCES.get(metric_name(metric))
    is_other = comparison.is_distinguishable()
    if abs(means[0] - means[1]) <= (tolerance or 0.0):
        return 'agree', text
    if is_other is None:
        return 'untested', f'{text}; too few seeds or outcomes to test it'
    return ('differ', f'{text}; a test tells them apart') if is_other else ('agree', text)
