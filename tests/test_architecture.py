"""Holds the package to its layers and its house rules by reading the source, not running it."""

import ast
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the top; a part imports from its own row and from the rows below it.
LAYERS = [
    {'cli', 'api', '__main__'},
    {'suite'},
    {'report'},
    {'profiling'},
    {'engine'},
    {'evaluation'},
    {'recipe'},
    {'visualization'},
    {'models'},
    {'conversion'},
    {'published'},
    {'results'},
    {'data'},
    {'cost'},
    {'masking', 'targets'},
    {'files'},
    {'architectures', 'registry', 'discovery', 'compat', 'shipped', 'errors'},
]
ROW = {part: row for row, parts in enumerate(LAYERS) for part in parts}
# Parts that import less of the package than their row allows.
ONLY = {'report': {'report', 'published', 'results', 'files', 'errors'}}

OPENMMLAB = {'mmengine', 'mmcv', 'mmpretrain', 'mmseg', 'mmdet'}
TORCH = {'torch', 'torchvision', 'timm'}
FORBIDDEN_LIBRARIES = {
    'report': TORCH | OPENMMLAB,
    'published': TORCH | OPENMMLAB,
    'results': TORCH | OPENMMLAB,
    'files': TORCH | OPENMMLAB,
    'masking': OPENMMLAB,
    'targets': OPENMMLAB,
}
ONLY_AS_STRINGS = {'mmdet', 'mmseg'}  # heavy, and optional for who does not detect or segment
VAGUE_NAMES = {'utils', 'util', 'misc', 'helpers', 'helper', 'common'}
MAX_LINES = 600
# Folders of one machine; home stands for a user's.
MACHINE_PATH = re.compile(r'(?<![\w./~$}>-])/(?:root|tmp|work|workspace|home/\w+)/')


@dataclass(frozen=True)
class Import:
    """One import of a module: who, whom, on which line, whether when the module is imported."""

    importer: str
    imported: str
    line: int
    is_at_module_level: bool

    @property
    def parts(self):
        return part_of(self.importer), part_of(self.imported)

    def breaks(self, rule):
        path = self.importer.replace('.', '/')
        return f'{path}.py:{self.line} imports {self.imported}: {rule}'


def part_of(module):
    """The part of mim_bench a module belongs to; '' is the package itself."""
    return [*module.split('.'), ''][1]


def read_modules(root):
    """Module name -> syntax tree, of every module of the package under a folder."""
    modules = {}
    for path in sorted((root / 'mim_bench').rglob('*.py')):
        words = path.relative_to(root).with_suffix('').parts
        name = '.'.join(words[:-1] if words[-1] == '__init__' else words)
        modules[name] = ast.parse(path.read_text(encoding='utf-8'))
        modules[name].is_package = words[-1] == '__init__'
    return modules


def read_imports(modules):
    return [
        Import(name, imported, node.lineno, is_at_module_level)
        for name, tree in modules.items()
        for node, is_at_module_level in import_nodes(tree)
        for imported in imported_names(node, name, tree.is_package, modules)
    ]


def import_nodes(node, is_at_module_level=True):
    """The import statements below a node, but for those that only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and 'TYPE_CHECKING' in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, is_at_module_level
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from import_nodes(child, is_at_module_level and not is_function)


def imported_names(node, importer, is_package, modules):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ''
    if node.level:
        up = node.level - is_package
        base = '.'.join(importer.split('.')[: -up or None] + ([base] if base else []))
    # "from package import module" imports the module; else it is a name in the package.
    names = [f'{base}.{alias.name}' for alias in node.names]
    return sorted({name if name in modules else base for name in names})


def layer_violations(imports):
    for found in imports:
        source, target = found.parts
        if not found.imported.startswith('mim_bench') or source == target:
            continue
        if source == 'testing':  # helpers for tests may use everything
            continue
        if source == '':
            if target != 'compat':
                yield found.breaks('the package itself imports compat only')
        elif target == 'testing':
            yield found.breaks('only tests import helpers for tests')
        elif target and target not in ONLY.get(source, {target}):
            yield found.breaks(f'{source} imports only {", ".join(sorted(ONLY[source]))}')
        elif target and ROW.get(source, 0) > ROW.get(target, 0):
            yield found.breaks(f'{target} stands above {source}; imports go down')


def library_violations(imports):
    for found in imports:
        library = found.imported.split('.')[0]
        part = part_of(found.importer)
        if library in FORBIDDEN_LIBRARIES.get(part, set()):
            yield found.breaks(f'{part} works without {library}')
        if library in ONLY_AS_STRINGS and found.is_at_module_level:
            yield found.breaks(f'{library} is imported inside functions only, named in configs')


def method_violations(imports):
    home = 'mim_bench.models.methods.'
    for found in imports:
        is_pair = found.importer.startswith(home) and found.imported.startswith(home)
        # localmim and localmim_swin are one method.
        names = [name.removeprefix(home).split('_')[0] for name in (found.importer, found.imported)]
        if is_pair and names[0] != names[1]:
            yield found.breaks('methods never import each other; move what they share down')


def cycle_violations(imports):
    graph = {}
    for found in imports:
        if found.imported != found.importer:
            graph.setdefault(found.importer, set()).add(found.imported)
    done, path = set(), []

    def visit(module):
        if module in path:
            yield ' -> '.join([*path[path.index(module) :], module]) + ': imports in a circle'
        elif module not in done:
            path.append(module)
            for imported in sorted(graph.get(module, ())):
                yield from visit(imported)
            path.pop()
            done.add(module)

    for module in sorted(graph):
        yield from visit(module)


def statement_violations(modules):
    for name, tree in modules.items():
        path = name.replace('.', '/')
        for node in ast.walk(tree):
            if isinstance(node, ast.Assert):
                yield f'{path}.py:{node.lineno}: assert vanishes under -O; raise an error'
            if isinstance(node, ast.ExceptHandler) and is_silent(node):
                yield f'{path}.py:{node.lineno}: swallows every error; name the one you expect'


def is_silent(handler):
    is_broad = handler.type is None or ast.unparse(handler.type) in ('Exception', 'BaseException')
    return is_broad and all(isinstance(statement, ast.Pass) for statement in handler.body)


@pytest.fixture(scope='module')
def modules():
    return read_modules(ROOT)


@pytest.fixture(scope='module')
def imports(modules):
    return read_imports(modules)


@pytest.fixture(scope='module')
def files():
    """What git has, by path and text; a user's own files beside them may name any path."""
    listing = ['git', '-C', str(ROOT), 'ls-files', '-z']
    done = subprocess.run(listing, capture_output=True, text=True)
    if done.returncode:
        pytest.skip('not a git checkout')
    paths = [ROOT / name for name in done.stdout.split('\0') if name and (ROOT / name).is_file()]
    return {path.relative_to(ROOT): path.read_bytes().decode(errors='ignore') for path in paths}


def report(violations):
    found = sorted(set(violations))
    assert not found, '\n'.join(['', *found])


def test_every_module_belongs_to_a_known_part(modules):
    unknown = {part_of(name) for name in modules} - set(ROW) - {'testing', ''}
    assert not unknown, f'{unknown}: give it a row in LAYERS and in the design, or another home'


def test_imports_go_down(imports):
    report(layer_violations(imports))


def test_parts_without_a_library_do_not_import_it(imports):
    report(library_violations(imports))


def test_methods_do_not_import_each_other(imports):
    report(method_violations(imports))


def test_imports_make_no_circle(imports):
    report(cycle_violations(imports))


def test_errors_are_raised_and_none_is_swallowed(modules):
    report(statement_violations(modules))


def test_files_have_telling_names(files):
    vague = [path for path in files if path.suffix == '.py' and path.stem in VAGUE_NAMES]
    report(f'{path}: name the file after what it holds' for path in vague)


def test_files_are_short(files):
    lengths = {path: len(text.splitlines()) for path, text in files.items() if path.suffix == '.py'}
    long = {path: lines for path, lines in lengths.items() if lines > MAX_LINES}
    report(f'{path}: {n} lines, more than {MAX_LINES}; split it' for path, n in long.items())


def test_files_name_no_path_of_a_machine(files):
    report(
        f'{path}:{number}: names a path of one machine: {line.strip()[:80]}'
        for path, text in files.items()
        if '\0' not in text
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATH.search(line)
    )


WRONG = {
    'upward import': ('data/a.py', 'from mim_bench.models import b', 'imports go down'),
    'upward import in a function': (
        'data/a.py',
        'def f():\n    from ..models import b',
        'imports go down',
    ),
    'report imports data': ('report/a.py', 'import mim_bench.data.b', 'report imports only'),
    'torch in results': ('results/a.py', 'import torch.nn', 'results works without torch'),
    'mmdet at module level': ('models/a.py', 'import mmdet.models', 'inside functions only'),
    'test helpers in the library': ('data/a.py', 'import mim_bench.testing', 'only tests'),
    'method imports method': (
        'models/methods/a.py',
        'from mim_bench.models.methods.b import B',
        'never import each other',
    ),
    'circle': ('data/a.py', 'import mim_bench.data.b', 'in a circle'),
    'assert': ('data/a.py', 'assert True', 'raise an error'),
    'swallowed error': ('data/a.py', 'try:\n    f()\nexcept Exception:\n    pass', 'swallows'),
}


@pytest.mark.parametrize('case', WRONG)
def test_rules_see_what_is_wrong(tmp_path, case):
    path, source, rule = WRONG[case]
    (tmp_path / 'mim_bench' / path).parent.mkdir(parents=True)
    (tmp_path / 'mim_bench' / path).write_text(source)
    (tmp_path / 'mim_bench' / path).with_name('b.py').write_text('from mim_bench.data import a\n')
    modules = read_modules(tmp_path)
    modules['mim_bench.data.a'] = modules.get('mim_bench.data.a', ast.parse(''))
    imports = read_imports(modules)
    checks = (layer_violations, library_violations, method_violations, cycle_violations)
    found = [violation for check in checks for violation in check(imports)]
    found += statement_violations(modules)
    assert any(rule in violation for violation in found), found


@pytest.mark.parametrize(
    'source', ['def f():\n    import mmdet', 'if TYPE_CHECKING:\n    from mmdet import x']
)
def test_rules_allow_late_and_typing_imports(tmp_path, source):
    (tmp_path / 'mim_bench' / 'models').mkdir(parents=True)
    (tmp_path / 'mim_bench' / 'models' / 'a.py').write_text(source)
    assert not list(library_violations(read_imports(read_modules(tmp_path))))


def test_machine_path_matches_only_absolute_ones():
    folder = '/'.join(['', 'tmp', 'x'])
    assert MACHINE_PATH.search(f"open('{folder}')")
    assert not MACHINE_PATH.search(f'https://example.org{folder}')
    assert not MACHINE_PATH.search(f'tests{folder}')
