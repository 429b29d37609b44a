"""The Python interface: ``mim_bench.load``, ``mim_bench.features`` and ``mim_bench.evaluate``."""

import copy
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from mim_bench.cli.main import build_parser
from mim_bench.conversion.architecture import MODULE
from mim_bench.conversion.files import read_checkpoint, state_sha256, write_checkpoint
from mim_bench.conversion.key_table import BACKBONE
from mim_bench.conversion.provenance import FACTS, meta_names
from mim_bench.data.image_file import check_sides
from mim_bench.engine.environment import usable_device
from mim_bench.engine.image_features import (
    FeatureNetwork,
    ImageFeatures,
    Picture,
    list_pictures,
    name_of,
    open_network,
)
from mim_bench.errors import ConfigError, MimBenchError, RunInterrupted, TrainingError
from mim_bench.evaluation.isolation import preserved_rng
from mim_bench.models.backbones.module_backbone import (
    ModuleBackbone,
    describe_module,
    keep_module,
)
from mim_bench.recipe.config import load_config
from mim_bench.recipe.image_size import largest_side
from mim_bench.results.record import RunRecord
from mim_bench.results.stated_facts import parse_facts
from mim_bench.results.store import read_record
from mim_bench.suite.backbone_check import feasible
from mim_bench.suite.checkpoints import rows_of
from mim_bench.suite.execute import Listener, execute
from mim_bench.suite.launching import LocalLauncher, OwnProcess
from mim_bench.suite.locations import DATA_ROOTS, configs_folder
from mim_bench.suite.plan import (
    Places,
    Row,
    Settings,
    architecture_options,
    make_data,
    plan_rows,
)
from mim_bench.suite.selection import parse_tasks
from mim_bench.suite.steps import Step
from mim_bench.suite.tasks import Suite, load_suite

_NAME = re.compile(r'[^/,=.\x00-\x1f][^/,=\x00-\x1f]{0,99}')
_NO_MAPS = (
    'returns one vector an image, and this task needs maps. Let the module return the maps '
    '(B, C, rows, cols) of its stages or blocks.'
)


def load(
    checkpoint: str | Path,
    *,
    size: int = 224,
    timm: str | None = None,
    download: bool = False,
    device: torch.device | str = 'cpu',
) -> nn.Module:
    """A checkpoint's backbone with its weights, in evaluation mode.

    Args:
        checkpoint: As for ``mim-bench run --checkpoint``: a file in any layout that ``convert``
            recognises, ``timm:NAME.TAG`` for timm's weights, ``timm:NAME`` or ``random:BACKBONE``
            for random ones; ``,container=KEY,prefix=P,source=S`` may follow.
        size: Side of the images in pixels, for families whose networks are built for one.
        timm: Name of the timm network whose weights a file holds; timm's loader reads it then.
        download: Download weights of timm that are not in its cache.
        device: Device of torch.

    Returns:
        A module that takes RGB images (B, 3, H, W), normalised as its weights were trained (by
        ImageNet's mean and deviation unless ``docs/timm.md`` says others), and returns a tuple
        with its last map (B, C, rows, cols), set up as by the common probe. ``out_channels`` and
        ``strides`` give the map's width and stride.

    Raises:
        MimBenchError: The file is not recognised, or does not fill the network.
    """
    _check_counts(size=(size, 1))
    with _network(checkpoint, size=size, timm=timm, download=download, device=device) as network:
        return network.backbone


def features(
    model: nn.Module | str | Path,
    images: Sequence[Picture] | str | Path,
    *,
    maps: bool = False,
    size: int = 224,
    batch_size: int = 64,
    workers: int = 0,
    num_prefix_tokens: int | None = None,
    timm: str | None = None,
    download: bool = False,
    device: torch.device | str | None = None,
) -> ImageFeatures:
    """Features of images, all in memory; ``mim-bench features`` writes them into a file.

    Args:
        model: A checkpoint as in :func:`load`, or a module as in :func:`evaluate`.
        images: A file, folder or archive; or a list of these and of images of PIL.
        maps: Return the maps of patches, too.
        size: Side of the images in pixels: the short side is resized to 256 / 224 of it, and the
            middle is cropped, as the common probe does.
        batch_size: Images at a time.
        workers: Processes that read images; 0: this one.
        num_prefix_tokens: See :func:`evaluate`.
        timm: See :func:`load`.
        download: See :func:`load`.
        device: Device of torch; a GPU if None and there is one.

    Returns:
        The average of the last map for each image, as k-NN compares them.

    Raises:
        MimBenchError: An image cannot be read, or the model cannot be set up.
    """
    _check_counts(size=(size, 1), batch_size=(batch_size, 1), workers=(workers, 0))
    if num_prefix_tokens is not None:
        _check_counts(num_prefix_tokens=(num_prefix_tokens, 0))
    one = isinstance(images, str | Path | Image.Image) or not isinstance(images, Iterable)
    given = [images] if one else list(images)
    pictures: list[Picture] = []
    for picture in given:
        if not isinstance(picture, str | Path | Image.Image):
            raise ConfigError(
                f'images: holds a {type(picture).__name__}. Give paths, or images of PIL '
                '(PIL.Image.fromarray makes one of an array).'
            )
        if isinstance(picture, Image.Image) and 0 in picture.size:
            raise ConfigError(f'images: one is {picture.size} pixels. Give images with pixels.')
        if isinstance(picture, Image.Image):
            check_sides('images: one', picture.size[::-1])
        pictures += list_pictures([picture]) if isinstance(picture, str | Path) else [picture]
    if not pictures:
        raise ConfigError('images: is empty. Give at least one image.')
    opened = _network(
        model,
        size=size,
        num_prefix_tokens=num_prefix_tokens,
        timm=timm,
        download=download,
        device=device,
    )
    with opened as network:
        vectors, parts = [], []
        for batch, part in network.batches(pictures, batch_size=batch_size, workers=workers):
            if maps and part is None:
                raise ConfigError(
                    f'{type(model).__name__}: returns a vector for each image and no map. Set '
                    'maps=False.'
                )
            vectors.append(batch)
            parts += [part] if maps else []  # of all images they would fill the memory
    return ImageFeatures(
        [name_of(picture, i) for i, picture in enumerate(pictures)],
        torch.cat(vectors),
        torch.cat(parts) if maps else None,
    )


def evaluate(
    backbone: nn.Module | str | Path,
    tasks: Sequence[str] | str,
    *,
    data: str | Path | Mapping[str, str | Path] | None = None,
    suite: str = 'full',
    out: str | Path = 'bench',
    name: str | None = None,
    facts: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (0,),
    num_prefix_tokens: int | None = None,
    timm: str | None = None,
    download: bool = False,
    options: Mapping[str, Any] | None = None,
) -> list[RunRecord]:
    """Run a backbone through tasks, in this process, by the protocols of ``mim-bench run``.

    Finished runs are skipped, and records of modules and of checkpoints rank together.

    Args:
        backbone: A checkpoint as in :func:`load`; or a module that takes images (B, 3, H, W) of any
            size and returns maps (B, C, rows, cols), tokens (B, prefix + rows * cols, C), or a list
            or tuple of these from the first stage or block to the last; or one vector an image
            (B, C), for k-NN and linear probe. Dense tasks need a map of each stage, or of several
            blocks. It is copied: the module itself is not trained. Its identity in records is the
            SHA-256 of its state dict.
        tasks: Names of tasks, as of ``--tasks``: ``'in1k-knn'``, ``'in1k-ft=mae'``.
        data: Folder of the data sets in their usual layout, or folders by name (``in1k``,
            ``ade20k``, ``coco``). Defaults to ``data``, for the suite smoke to embedded data.
        suite: ``'smoke'``, ``'proxy'`` or ``'full'``.
        out: Folder of everything that is written.
        name: Name of the row on the leaderboard.
        facts: What is known about the weights: ``method``, ``data``, ``labels``, ``epochs``,
            ``img_size``, ``licence``.
        seeds: Each training is run once per seed.
        num_prefix_tokens: For a module that returns tokens: how many come before the patches.
        timm: See :func:`load`.
        download: See :func:`load`.
        options: Changes to every config, by dotted key; such rows do not rank with others.

    Returns:
        The records, in the order of the runs.

    Raises:
        ConfigError: The backbone cannot do a task: the message says what is missing.
        TrainingError: A run failed; the others were run.
    """
    _check_kind(backbone)
    _check_arguments(tasks, data, facts, options, name)
    if not isinstance(suite, str) or not isinstance(out, str | Path):
        raise ConfigError(f'suite={suite!r}, out={out!r}: give the name of a suite, and a folder.')
    if isinstance(seeds, int | str) or not seeds or len({*seeds}) != len(seeds):
        raise ConfigError(
            f'seeds={seeds!r}: is empty, or no list of different seeds. Give at least one, as (0,).'
        )
    for seed in seeds:
        _check_counts(seeds=(seed, 0))
    if num_prefix_tokens is not None:
        _check_counts(num_prefix_tokens=(num_prefix_tokens, 0))
    if Path(out).exists() and not Path(out).is_dir():
        raise ConfigError(f'out: {out} is a file. Give a folder.')
    chosen = load_suite(suite)
    wanted = parse_tasks(tasks if isinstance(tasks, str) else ','.join(tasks), chosen)
    places = _places(Path(out).resolve(), data, chosen)
    row = _row(backbone, places, chosen, wanted, name, facts, num_prefix_tokens, timm, download)
    words = tuple(f'{key}={value}' for key, value in (options or {}).items())
    # Further processes would import the user's script again.
    plan = [make_data(places, seeds[0], workers=1)] if places.is_embedded else []
    plan += plan_rows(
        [row],
        chosen,
        wanted,
        places=places,
        seeds=seeds,
        settings=Settings(options=words),
    )
    plan = feasible(plan, [row], places.out / 'steps')
    if isinstance(backbone, nn.Module):
        _check_images(plan, row)
    launcher = _InProcessLauncher()
    with preserved_rng():
        outcome = execute(plan, places.out / 'steps', launcher=launcher, listener=Listener())
    if not outcome.is_complete:
        failed = '\n'.join(f'{step}: {error}' for step, error in launcher.errors.items())
        skipped = f' Not run: {", ".join(outcome.skipped)}.' if outcome.skipped else ''
        raise TrainingError(f'Runs failed:\n{failed or outcome.failed}{skipped}')
    return [read_record(path) for step in plan for path in step.records]


def _check_counts(**counts: tuple[Any, int]) -> None:
    """Refuse arguments that are no whole numbers, or smaller than theirs may be."""
    for name, (value, lowest) in counts.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < lowest:
            raise ConfigError(f'{name}={value!r}: give a whole number, {lowest} or more.')


def _check_arguments(tasks: Any, data: Any, facts: Any, options: Any, name: Any) -> None:
    """Refuse arguments of :func:`evaluate` of another kind than it takes."""
    names = [tasks] if isinstance(tasks, str) else tasks
    if not isinstance(names, Iterable) or not all(isinstance(task, str) for task in names):
        raise ConfigError(f"tasks={tasks!r}: give names of tasks, as ['in1k-knn'].")
    places = data.values() if isinstance(data, Mapping) else [data or '']
    if not all(isinstance(place, str | Path) for place in places):
        raise ConfigError(f"data={data!r}: give a folder, or folders by name, as {{'in1k': DIR}}.")
    for what, given in (('facts', facts), ('options', options)):
        if not isinstance(given or {}, Mapping):
            raise ConfigError(f'{what}={given!r}: give a dictionary.')
    if name is not None and not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise ConfigError(
            f'name={name!r} cannot name files. Give 1 to 100 characters without "/", ",", "=" and '
            'line breaks, and without a leading dot.'
        )


def _check_kind(model: object) -> None:
    if not isinstance(model, nn.Module | str | Path):
        raise ConfigError(
            f'{model!r} is neither a module of torch nor a checkpoint. Give an instance of '
            'nn.Module, or the path of a file.'
        )


class _InProcessLauncher(LocalLauncher):
    """Runs each step in this process; :meth:`start` returns when it has ended.

    Attributes:
        errors: The errors that steps raised, by name of the step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, Exception] = {}

    def start(self, step: Step, words: Sequence[str], log: Path) -> OwnProcess:
        """See :class:`mim_bench.suite.launching.Launcher`."""
        args = build_parser().parse_args(list(words))
        try:
            return _EndedStep(args.run(args))
        except RunInterrupted:
            raise
        except (MimBenchError, OSError) as error:
            self.errors[step.name] = error
            with log.open('a') as file:
                file.write(f'error: {error}\n')
            return _EndedStep(1)


class _EndedStep(OwnProcess):
    """A step that has ended."""

    pid = None  # it cannot outlive this process

    def __init__(self, status: int) -> None:
        super().__init__(lambda: None)
        self._status = status

    def poll(self) -> int:
        """The exit status."""
        return self._status

    def interrupt(self) -> None:
        """Nothing: it has ended."""

    def stop(self) -> None:
        """Nothing: it has ended."""


def _places(out: Path, data: str | Path | Mapping[str, str | Path] | None, suite: Suite) -> Places:
    """Folders of an evaluation."""
    if not isinstance(data, Mapping):
        return Places.of_suite(out, suite, None if data is None else Path(data or 'data'), {})
    if unknown := sorted(set(data) - set(DATA_ROOTS)):
        raise ConfigError(
            f'data: no task reads {", ".join(unknown)}. Known: {", ".join(sorted(DATA_ROOTS))}.'
        )
    roots = {key: Path(value).resolve() for key, value in data.items()}
    return Places.of_suite(out, suite, None, roots)


def _row(
    backbone: nn.Module | str | Path,
    places: Places,
    suite: Suite,
    wanted: Mapping[str, str],
    name: str | None,
    facts: Mapping[str, Any] | None,
    num_prefix_tokens: int | None,
    timm: str | None,
    download: bool,
) -> Row:
    stated = [f'{k}={_word(v)}' for k, v in (facts or {}).items() if v is not None]
    if not isinstance(backbone, nn.Module):
        word = ','.join([f'{name}={backbone}' if name else str(backbone), *stated])
        networks = [timm] if timm else []
        return rows_of([word], places.checkpoints, suite, timm=networks, download=download)[0]
    backbone = _uncompiled(backbone)
    # Entries of robustness tests have no configs: they use those of the tested training.
    configured = [entry for entry in suite.entries if entry.configs]
    entries = [e for task in wanted for e in configured if task in e.tasks] or configured
    cfg = load_config(configs_folder() / next(iter(entries[0].configs.values())))
    known = parse_facts(stated, 'facts')
    row_name = name or type(backbone).__name__
    path = places.checkpoints / f'{row_name}.pth'
    meta = _write_module(backbone, path, largest_side(cfg) or 224, num_prefix_tokens, known)
    return Row(
        id=row_name,
        method=meta['method'] or 'unknown',
        backbone=type(backbone).__name__,
        start=path,
        sha256=meta['origin_sha256'],
        labels=None if meta['labels'] is None else tuple(meta['labels']),
        family='module',
    )


def _uncompiled(module: nn.Module) -> nn.Module:
    """What torch.compile wraps, or the module itself."""
    return getattr(module, '_orig_mod', module)


def _word(value: Any) -> str:
    """A fact as a word of the command line."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return str(value)
    return '+'.join(value) or 'none'


def _write_module(
    module: nn.Module,
    path: Path,
    size: int,
    num_prefix_tokens: int | None,
    stated: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the canonical file of a module, whose copy this process keeps, and return its ``meta``.

    Raises:
        ConfigError: It is no backbone, cannot be copied, or another module has its name there.
    """
    try:
        module = copy.deepcopy(module).eval()
    except Exception as error:  # the user's code may raise anything
        raise ConfigError(
            f'{type(module).__name__}: cannot be copied ({type(error).__name__}: {error}). Give a '
            'module that copy.deepcopy copies.'
        ) from error
    described = describe_module(module, size, num_prefix_tokens)
    digest = state_sha256(module.state_dict())
    if path.exists() and read_checkpoint(path)['meta'].get('origin_sha256') != digest:
        raise ConfigError(
            f'{path.parent} has results of another module named {path.stem!r}. Pass another name '
            'or another out.'
        )
    key = f'{type(module).__name__}-{digest[:12]}'
    keep_module(module, key)
    known = meta_names(stated)
    meta = {
        'source': 'torch module',
        'backbone_type': MODULE,
        'arch': {'module': key, **described},
        'assumed': [],
        **dict.fromkeys(FACTS),
        **known,
        'known_from': dict.fromkeys(known, 'stated'),
        'params': sum(p.numel() for p in module.parameters()),
        'origin_sha256': digest,
        'notes': [
            f'a module of class {type(module).__qualname__}, not a file: its SHA-256 is of its '
            'state dict, and does not tell the code of the class'
        ],
    }
    state = {f'{BACKBONE}net.{k}': v.detach().cpu() for k, v in module.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint({'state_dict': state, 'meta': meta}, path)
    return meta


@torch.no_grad()
def _check_images(plan: Sequence[Step], row: Row) -> None:
    """Refuse tasks that need feature maps or image sizes that a module does not support.

    Raises:
        ConfigError: Names each task and what is missing.
    """
    refused, tried = [], set()
    for step in plan:
        config = Path(step.words[1])
        if '--fit-backbone' not in step.words or config in tried:
            continue
        tried.add(config)
        cfg = load_config(config, backbone_of=row.start)
        is_probe = 'probes' in (cfg.get('test_cfg') or {})
        network = ModuleBackbone(**{k: v for k, v in cfg.model.backbone.items() if k != 'type'})
        if 0 in network.own_strides:
            if not is_probe:
                refused.append(f'{step.name}: the module {_NO_MAPS}')
            continue
        side = largest_side(cfg) or 224
        # Classifiers get squares, dense tasks other shapes, too.
        width = side if cfg.default_scope == 'mmpretrain' else side * 3 // 4
        try:
            network.eval()(torch.zeros(1, 3, side, width))
        except Exception as error:  # the user's code may raise anything
            refused.append(
                f'{step.name}: the module takes no image of {side} x {width} px '
                f'({type(error).__name__}: {error}). The task needs images of this size.'
            )
    if refused:
        raise ConfigError(
            'The backbone cannot do these tasks:\n'
            + '\n'.join(refused)
            + '\nLeave them out of tasks.'
        )


@contextmanager
def _network(
    model: nn.Module | str | Path,
    *,
    size: int,
    num_prefix_tokens: int | None = None,
    timm: str | None = None,
    download: bool = False,
    device: torch.device | str | None = None,
):
    """Context with the network that computes features; its canonical file is temporary."""
    _check_kind(model)
    place = usable_device(device)
    with tempfile.TemporaryDirectory(prefix='mim_bench_') as folder:
        if isinstance(model, nn.Module):
            path = Path(folder) / 'module.pth'
            _write_module(_uncompiled(model), path, size, num_prefix_tokens, {})
            yield open_network(path, size=size, device=place)
            return
        word = f'{model},timm={timm}' if timm else str(model)
        yield word_network(word, Path(folder), size=size, download=download, device=place)


def word_network(
    word: str,
    folder: Path,
    *,
    size: int,
    download: bool = False,
    device: torch.device | str | None = None,
) -> FeatureNetwork:
    """The network that a word of ``--checkpoint`` names, set up as by the common probe.

    Args:
        word: See :func:`load`.
        folder: A temporary folder, for the canonical file.
        size: Side of the images in pixels.
        download: Download weights of timm that are not in its cache.
        device: Device of torch; a GPU if None and there is one.
    """
    suite = load_suite('full')
    row = rows_of([word], folder, suite, download=download)[0]
    entry = next(entry for entry in suite.entries if 'in1k-knn' in entry.tasks)
    config = configs_folder() / entry.config_of(row.network)
    options = dict(part.split('=', 1) for part in architecture_options(entry, row, config))
    return open_network(row.start, config=config, size=size, options=options, device=device)
