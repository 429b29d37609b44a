"""Plans the steps of a suite from checkpoints, tasks and seeds; writes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mim_bench
from mim_bench.errors import ConfigError
from mim_bench.recipe.limit import Limit
from mim_bench.results.record import run_id_of
from mim_bench.results.store import RECORD_FILE
from mim_bench.suite.config_index import config_hash, read_settings
from mim_bench.suite.locations import DATA_ROOTS, configs_folder
from mim_bench.suite.resources import Cluster, Resources
from mim_bench.suite.selection import choose_entries, start_entry
from mim_bench.suite.steps import Step
from mim_bench.suite.tasks import Entry, Network, Suite, network_named

DATA_STEP = 'data'


@dataclass(frozen=True)
class Row:
    """A checkpoint, which is a row of the leaderboard.

    Attributes:
        id: Name of the row, and part of the names of its runs.
        method: Pre-training method, or 'random'.
        backbone: Name of the backbone in configs, for the record.
        family: Family of the backbone; None where it has no name.
        start: Canonical file that runs start from; None for random weights.
        sha256: SHA-256 of the user's file; '' if a step of the plan makes the file.
        labels: Data sets whose labels it has seen; None: not known, or a step makes the file.
        needs: Steps of the plan that make the file.
        inputs: Fingerprint of the step that makes the file; '' for a file of the user's.
    """

    id: str
    method: str
    backbone: str
    start: Path | None = None
    sha256: str = ''
    labels: tuple[str, ...] | None = None
    needs: tuple[str, ...] = ()
    inputs: str = ''
    family: str | None = None

    @property
    def network(self) -> Network:
        """The backbone as the key by which suites select configs."""
        return Network(self.backbone, self.family or network_named(self.backbone).family)


@dataclass(frozen=True)
class Places:
    """Folders of a suite.

    Attributes:
        out: Folder of runs, checkpoints, records and leaderboard.
        data_root: Folder of the data sets in their usual layout.
        data_roots: Folders of single data sets, by name.
        is_embedded: Whether all runs read embedded data, which the first step of a plan makes
            (:func:`make_data`).
    """

    out: Path
    data_root: Path
    data_roots: Mapping[str, Path] = field(default_factory=dict)
    is_embedded: bool = False

    @classmethod
    def of_suite(
        cls, out: Path, suite: Suite, data_root: Path | None, data_roots: Mapping[str, Path]
    ) -> 'Places':
        """The folders of a suite; without a folder of data, a smoke suite has embedded data."""
        is_embedded = suite.tier == 'smoke' and data_root is None and not data_roots
        root = out / 'data' if is_embedded else (data_root or Path('data')).resolve()
        return cls(out, root, data_roots, is_embedded)

    @property
    def results(self) -> Path:
        """Folder of the records."""
        return self.out / 'results'

    @property
    def checkpoints(self) -> Path:
        """Folder of the converted and the fine-tuned files."""
        return self.out / 'checkpoints'

    def data(self, dataset: str) -> Path:
        """Folder of a data set."""
        return self.data_roots.get(dataset) or self.data_root / DATA_ROOTS[dataset]

    def work_dir(self, name: str) -> Path:
        """Folder of a run's checkpoints and logs."""
        return self.out / 'work_dirs' / name


@dataclass(frozen=True)
class Settings:
    """Settings of all runs of a plan.

    Attributes:
        gpus: Number of GPUs of a run whose entry says 'all'.
        precision: Precision of trainings: 'recipe', 'fp32', 'fp16' or 'bf16'.
        allow_partial: Accept a checkpoint that fills less than 99 % of the backbone.
        options: ``KEY=VALUE`` words that change every config.
        cluster: What the jobs of runs ask for; None: they run on this machine.
        track: Names of the trackers that follow every run.
        limit: Images of each data set that every run may use; None: all.
    """

    gpus: int = 1
    precision: str = 'recipe'
    allow_partial: bool = False
    options: tuple[str, ...] = ()
    cluster: Cluster | None = None
    track: tuple[str, ...] = ()
    limit: Limit | None = None

    def resources_of(self, entry: Entry) -> tuple[int, Resources]:
        """GPUs of each node, and the other resources, of a run."""
        gpus = 1 if entry.gpus == 1 else self.gpus
        if self.cluster is None:
            return gpus, Resources()
        asked = self.cluster.of(list(entry.tasks))
        own = [self.cluster.tasks[task] for task in entry.tasks if task in self.cluster.tasks]
        if entry.gpus == 1:
            # One GPU is enough, unless the user gives the task itself more.
            given = {key for task in own for key in task.model_fields_set}
            fewer = {'nodes': 1, 'gpus_per_node': 1}
            asked = asked.model_copy(update={k: v for k, v in fewer.items() if k not in given})
        return (gpus if asked.gpus_per_node is None else asked.gpus_per_node), asked


def make_data(places: Places, seed: int, size: str = 'default', workers: int = 2) -> Step:
    """The step that writes the embedded data set, of one of the sizes of ``data make-toy``."""
    drawn = ('--seed', str(seed), '--size', size)
    return Step(
        name=DATA_STEP,
        words=('data', 'make-toy', str(places.data_root), *drawn, '--workers', str(workers)),
        files=(places.data_root / 'toy.json',),
        inputs=mim_bench.__version__,
        identity=('data', 'make-toy', *drawn),
    )


def plan_rows(
    rows: Sequence[Row],
    suite: Suite,
    wanted: Mapping[str, str] | None,
    *,
    places: Places,
    seeds: Sequence[int] = (0,),
    settings: Settings = Settings(),
) -> list[Step]:
    """The runs of checkpoints, each after the fine-tuning that it starts from.

    A run is named ``<entry>-<checkpoint id>-s<seed>``.

    Args:
        rows: Checkpoints.
        suite: Suite of the tasks.
        wanted: Result of :func:`mim_bench.suite.selection.parse_tasks`; None: all tasks.
        places: Folders to read and write.
        seeds: Seeds; a run for each.
        settings: Settings of all runs.

    Raises:
        ConfigError: A task has no config for the backbone of a row.
    """
    steps = []
    for row in rows:
        entries = choose_entries(suite, row.network, wanted, row.id)
        starts = [start_entry(entry, suite, row.network, wanted or {}, row.id) for entry in entries]
        for seed in seeds:
            planner = _Planner(row, suite, places, seed, settings)
            runs: dict[str, Step] = {}
            kept: dict[str, Step] = {}  # the backbones of fine-tunings that other runs start from
            to_keep = [s for e, s in zip(entries, starts, strict=True) if not e.variant]
            for entry, start in zip(entries, starts, strict=True):
                if entry.variant is not None:
                    steps.append(planner.test_variant(entry, start, runs[start.name]))
                    continue
                runs[entry.name] = planner.run(entry, start and kept[start.name])
                steps.append(runs[entry.name])
                if entry in to_keep:
                    kept[entry.name] = planner.keep(runs[entry.name])
                    steps.append(kept[entry.name])
    return steps


def keep_backbone(name: str, training: Step, checkpoint: Path) -> Step:
    """The step that extracts the backbone from a training's checkpoint."""
    return Step(
        name=name,
        words=('convert', str(training.work_dir), str(checkpoint)),
        files=(checkpoint,),
        needs=(training.name,),
        inputs=training.fingerprint,
        identity=('convert',),
    )


def run_words(
    config: Path, name: str, row: Row, dataset: str, places: Places, seed: int
) -> tuple[str, ...]:
    """Arguments of ``train`` and ``test`` that all runs have."""
    return (
        str(config),
        *('--work-dir', str(places.work_dir(name))),
        *('--data-root', str(places.data(dataset))),
        *('--seed', str(seed)),
        *('--results-dir', str(places.results)),
        *('--run-id', name),
        *('--record-checkpoint', f'id={row.id}', f'backbone={row.backbone}'),
    )


def record_paths(places: Places, name: str, tasks: Sequence[str]) -> tuple[Path, ...]:
    """The records of a run, one a task."""
    ids = [run_id_of(name, task, is_only=len(tasks) == 1) for task in tasks]
    return tuple(places.results / run_id / RECORD_FILE for run_id in ids)


@dataclass(frozen=True)
class _Planner:
    """Plans the steps of one row with one seed."""

    row: Row
    suite: Suite
    places: Places
    seed: int
    settings: Settings

    @property
    def needs(self) -> tuple[str, ...]:
        """The steps that all runs need."""
        return (DATA_STEP,) if self.places.is_embedded else ()

    def run(self, entry: Entry, start: Step | None) -> Step:
        """The run of an entry; ``start`` is the step that keeps its fine-tuned backbone."""
        row, name = self.row, self._name(entry.name)
        relative = entry.config_of(row.network)
        config = configs_folder() / relative
        _check_tasks(entry, config)
        words = (
            entry.command,
            *run_words(config, name, row, entry.dataset, self.places, self.seed),
        )
        if start:
            # The record's checkpoint stays the pre-trained one, from which the row has its facts.
            words += (f'file={row.start}',)
        more, identity_words = self._option_words(entry, config, entry.command)
        pretrained = row.start and str(row.start)
        checkpoint = str(start.files[0]) if start else pretrained
        identity = (
            # The user may move a config of their own: its name counts, not its path.
            *(entry.command, relative if config != Path(relative) else config.name),
            f'seed={self.seed}',
            *(row.id, row.method, row.backbone, row.sha256, row.inputs),
            f'labels={row.labels}',
            *((start.fingerprint,) if start else ()),
            *identity_words,
        )
        gpus, resources = self.settings.resources_of(entry)
        return Step(
            name=name,
            words=(*words, *_checkpoint_words(checkpoint, fit=entry.fit), *more),
            records=record_paths(self.places, name, list(entry.tasks)),
            work_dir=self.places.work_dir(name),
            needs=(*self.needs, *((start.name,) if start else row.needs)),
            inputs=config_hash(config),
            identity=identity,
            gpus=gpus,
            resources=resources,
            trial_words=(*words, *_checkpoint_words(pretrained, fit=entry.fit), *more),
            dataset=(entry.dataset, str(self.places.data(entry.dataset))),
            need_stuff=entry.need_stuff,
        )

    def test_variant(self, entry: Entry, training: Entry, step: Step) -> Step:
        """The test of a fine-tuned model on a test set of robustness, by its training's config."""
        row, name = self.row, self._name(entry.name)
        config = configs_folder() / training.config_of(row.network)
        given = _checkpoint_words(row.start and str(row.start), fit=training.fit)
        more, identity_words = self._option_words(training, config, 'test')
        words = run_words(config, name, row, entry.dataset, self.places, self.seed)
        words = ('test', *words, *given, '--variant', entry.variant, *more)
        gpus, resources = self.settings.resources_of(entry)
        return Step(
            name=name,
            words=(*words[:2], str(step.work_dir), *words[2:]),
            records=record_paths(self.places, name, list(entry.tasks)),
            work_dir=self.places.work_dir(name),
            needs=(*self.needs, step.name),
            inputs=config_hash(config),
            identity=('test', entry.variant, step.fingerprint, *identity_words),
            gpus=gpus,
            resources=resources,
            trial_words=words,
            dataset=(entry.dataset, str(self.places.data(entry.dataset))),
        )

    def keep(self, finetuning: Step) -> Step:
        """The step that keeps the fine-tuned backbone."""
        path = self.places.checkpoints / f'{finetuning.name}.pth'
        return keep_backbone(f'keep-{finetuning.name}', finetuning, path)

    def _name(self, entry: str) -> str:
        limit = self.settings.limit
        return f'{entry}{limit.suffix if limit else ""}-{self.row.id}-s{self.seed}'

    def _option_words(
        self, entry: Entry, config: Path, command: str
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Further words of a run, and what of them belongs to the identity of its step."""
        words: list[str] = []
        identity: list[str] = []
        options = [*architecture_options(entry, self.row, config), *self.settings.options]
        if read_settings(config)['protocol'].get('tier') != self.suite.tier:
            options.insert(0, f'protocol.tier={self.suite.tier}')
        if options:
            words += ['--cfg-options', *options]
            identity += options
        if command == 'train':
            words.append('--auto-resume')
            if self.settings.precision != 'recipe':
                words += ['--precision', self.settings.precision]
                identity.append(self.settings.precision)
        if self.settings.allow_partial:
            words.append('--allow-partial')
            identity.append('--allow-partial')
        if self.settings.limit is not None:
            words += ['--limit', str(self.settings.limit)]
            identity.append(f'--limit={self.settings.limit}')
        if self.settings.track:
            words += ['--track', ','.join(self.settings.track)]
        return tuple(words), tuple(identity)


def _check_tasks(entry: Entry, config: Path) -> None:
    """Refuse an entry whose tasks are not those that its config measures."""
    protocol = read_settings(config)['protocol']
    measured = {task['task'] for task in protocol.get('tasks', [protocol]) if 'task' in task}
    if measured and measured != set(entry.tasks):
        raise ConfigError(
            f'Entry {entry.name!r} has the tasks {sorted(entry.tasks)}, but {config} measures '
            f'{sorted(measured)}. List these, with their metrics, in the file of the suite.'
        )


def architecture_options(entry: Entry, row: Row, config: Path) -> list[str]:
    """The option that sets the size of a random network in a config of its family."""
    own = config.stem.split('_')[1:2]
    if not entry.fit or row.start is not None or own == [row.backbone]:
        return []
    return [f'model.backbone.arch={row.backbone.removeprefix(f"{row.network.family}-")}']


def _checkpoint_words(checkpoint: str | None, *, fit: bool) -> tuple[str, ...]:
    if checkpoint is None:
        return ()
    return ('--checkpoint', checkpoint, *(('--fit-backbone',) if fit else ()))
