"""Tables for people keep to their width, whatever stands in them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from orchestrator.cli.columns import WIDTH, Column, lines_of
from orchestrator.shown import visible

_COLUMNS = (
    Column(title="machine", least=16),
    Column(title="where", least=8),
    Column(title="vCPU", right=True),
    Column(title="due", least=7, cut="end"),
)


def test_columns_are_as_wide_as_what_stands_in_them() -> None:
    lines = list(lines_of(_COLUMNS, [("dupont/web-1", "paris", "12", ""), ("a/b", "lyon/pve1", "2", "held")]))
    assert lines == [
        "machine       where      vCPU  due",
        "dupont/web-1  paris        12",
        "a/b           lyon/pve1     2  held",
    ]


def test_a_long_name_is_cut_visibly_and_keeps_its_beginning_and_its_end() -> None:
    name = "c" * 63 + "/" + "m" * 60 + "-42"
    title, line = lines_of(_COLUMNS, [(name, "paris/pve1", "1", "restart, 3 updates")])
    assert len(line) == WIDTH and line.startswith("ccc") and "…" in line and "mm-42  paris/pve1" in line
    assert line.endswith("restart, 3 updates")
    assert title.startswith("machine ")


def test_a_list_is_cut_at_its_end() -> None:
    *_, line = lines_of(_COLUMNS, [("web-1", "paris", "1", "restart, 3 updates, held")], width=40)
    assert line == "web-1    paris     1  restart, 3 update…"


@given(
    rows=st.lists(st.tuples(*[st.text(max_size=150)] * 2, st.just("512"), st.text(max_size=150)), max_size=4)
)
def test_no_line_is_wider_than_the_terminal_and_nothing_moves_its_cursor(
    rows: list[tuple[str, str, str, str]],
) -> None:
    lines = list(lines_of(_COLUMNS, rows))
    assert len(lines) == len(rows) + 1
    assert max(map(cell_len, lines)) <= WIDTH
    assert all(visible(line) == line for line in lines)
