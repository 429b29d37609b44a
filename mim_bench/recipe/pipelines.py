"""Makes a child's ``train_pipeline`` or ``test_pipeline`` take effect in its loaders."""

import ast
from copy import deepcopy
from pathlib import Path

from mmengine.config import Config

from mim_bench.recipe.tree import inner_dataset

LOADERS = {'train': 'train_pipeline', 'val': 'test_pipeline', 'test': 'test_pipeline'}


def follow_pipelines(cfg: Config) -> None:
    """Set the pipelines of a config's loaders from its variables.

    A base config writes ``pipeline=train_pipeline`` in its loader, which copies the list, so a
    child that overrides only the variable would train on the base's pipeline. The variable is used
    if no file from the child up to the one that sets it writes a ``pipeline`` into the loader.

    Args:
        cfg: Read from a file, changed in place.
    """
    for split, variable in LOADERS.items():
        dataset = inner_dataset(cfg.get(f'{split}_dataloader'))
        if 'pipeline' not in dataset or cfg.get(variable) in (None, dataset['pipeline']):
            continue
        if _is_newer(variable, f'{split}_dataloader', Path(cfg.filename)):
            dataset['pipeline'] = deepcopy(cfg[variable])


def _is_newer(variable: str, loader: str, path: Path) -> bool | None:
    """Whether the variable was set later than the loader's pipeline; None: neither was set."""
    if path.suffix != '.py' or not path.is_file():  # JSON, or a config of another package
        return None
    written = {
        target.id: statement.value
        for statement in ast.parse(path.read_text('utf-8')).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    value = written.get(loader)
    if isinstance(value, ast.Name):  # test_dataloader = val_dataloader
        value = written.get(value.id)
    if value is not None and _says_pipeline(value):
        return False
    if variable in written:
        return True
    bases = ast.literal_eval(written['_base_']) if '_base_' in written else []
    for base in reversed([bases] if isinstance(bases, str) else bases):
        newer = _is_newer(variable, loader, (path.parent / base).resolve())
        if newer is not None:
            return newer
    return None


def _says_pipeline(node: ast.AST) -> bool:
    return any(
        (isinstance(part, ast.keyword) and part.arg == 'pipeline')
        or (isinstance(part, ast.Constant) and part.value == 'pipeline')
        for part in ast.walk(node)
    )
