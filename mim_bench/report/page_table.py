"""What the page's table and its filters need beside the board: groups, rows and their places."""

from dataclasses import dataclass

from mim_bench.report.catalogue import TIER_ORDER, task_title
from mim_bench.report.leaderboard import ColumnGroup, Leaderboard, Row
from mim_bench.report.task_cost import task_of_cost

# Rows shown at once; the page has a button for more. A browser lays out thousands for seconds.
ROWS_SHOWN = 200
PUBLISHED_SHOWN = 8


@dataclass(frozen=True)
class PageGroup:
    """A column group as the filters offer it; ``tier`` is empty for what has none."""

    index: int
    key: str
    task: str
    task_title: str
    title: str
    tier: str


@dataclass(frozen=True)
class PageRow:
    """A row with its place and the indices of the groups in which it has anything."""

    index: int
    row: Row
    groups: str

    @property
    def is_hidden(self) -> bool:
        """Whether it waits for the button for more."""
        return self.index >= ROWS_SHOWN


@dataclass(frozen=True)
class PageFacts:
    """What templates and filters need of the board.

    Attributes:
        rows: All rows.
        places: The column groups by key.
        methods: Titles to filter by, as ``backbones``.
        backbones: Names.
        tasks: Titles by name, of the tasks that have columns.
        tiers: That occur, full first.
        rows_shown: At once.
        published_shown: Published rows at once.
    """

    rows: list[PageRow]
    places: dict[str, PageGroup]
    methods: list[str]
    backbones: list[str]
    tasks: dict[str, str]
    tiers: list[str]
    rows_shown: int = ROWS_SHOWN
    published_shown: int = PUBLISHED_SHOWN


def page_facts(board: Leaderboard) -> PageFacts:
    """Collect them; published rows are found by the methods and backbones of ours."""
    places = page_groups(board)
    found = {group.tier for group in places.values()}
    return PageFacts(
        rows=page_rows(board, places),
        places=places,
        methods=sorted({row.method for row in board.rows}, key=str.lower),
        backbones=sorted({row.checkpoint.backbone for row in board.rows}),
        tasks={group.task: group.task_title for group in places.values() if group.tier},
        tiers=[tier for tier in TIER_ORDER if tier in found],
    )


def page_groups(board: Leaderboard) -> dict[str, PageGroup]:
    """All column groups by key, in the order of the board."""
    groups: dict[str, PageGroup] = {}
    for group in board.groups:
        if group.key not in groups:
            groups[group.key] = _page_group(len(groups), group)
    return groups


def cost_places(board: Leaderboard, groups: dict[str, PageGroup]) -> dict[str, int]:
    """The cost columns of a task go with the task's own; the total goes with none."""
    places = {key: group.index for key, group in groups.items()}
    return {g.key: places.get(task_of_cost(g), len(groups)) for g in board.costs}


def _page_group(index: int, group: ColumnGroup) -> PageGroup:
    protocol = group.protocol
    if protocol is None:
        return PageGroup(index, group.key, group.task, group.title, group.title, '')
    title = f'{group.title}: {protocol.name}'
    return PageGroup(index, group.key, group.task, task_title(group.task), title, protocol.tier)


def page_rows(board: Leaderboard, groups: dict[str, PageGroup]) -> list[PageRow]:
    """All rows of the board."""
    group_of = {c.key: groups[group.key].index for group in board.groups for c in group.columns}
    rows = []
    for index, row in enumerate(board.rows):
        found = sorted({group_of[key] for key in row.cells if key in group_of})
        rows.append(PageRow(index, row, ' '.join(map(str, found))))
    return rows
