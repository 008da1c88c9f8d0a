"""Whatever others may write is text on the page: in every field of every value that the page is made of.

The values are made of the types that the page takes, so a new field is tried without a word here; and where
markup is made for a case that none of these pages is, that is found as well.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as sized
from hypothesis import strategies as st

from support.examples import examples
from support.filled import describe, fill
from support.steps import traced
from zkdns.model import Problem, State
from zkdns.serve.clients import NOT_KEPT
from zkdns.web import page as package
from zkdns.web.page import Asked, View, render
from zkdns.web.page.view import NO_PAST
from zkdns.web.shapes import Firsts
from zkdns.web.status import Beside

NOW = 1_800_000_000.0
PLAIN = "plain"
EVIL = (
    "<img src=x onerror=alert(1)><script>alert(2)</script>'\"&amp;",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)",
    "javascript:alert(1)",
    "//evil.example/",
    "</title></details><svg onload=alert(1)>",
    '\\"><b>\n\r\t`${x}`',
    "a/b?c=d&e=f#g h;i",
)
ADDRESS = re.compile(r"http://([\w.-]+:\d+|\[[0-9a-fA-F:.]+\]:\d+)/")
PAGE = Path(package.__file__).parent
CROWD = 5
SHOWN = {
    "beside": "ASKERS", "explaining": "ANSWERS", "incident": "CAUSES NAMED SHOWN", "overview": "FEW SHOWN",
    "service": "SHOWN", "services": "NAMED PAGE", "timeline": "MARKS ROWS",
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def little() -> Iterator[None]:
    """What the page shows of much is two of each: five are many."""
    with pytest.MonkeyPatch.context() as patch:
        for module, names in SHOWN.items():
            for name in names.split():
                patch.setattr(import_module(f"zkdns.web.page.{module}"), name, 2)
        yield


def made(text: str) -> View:
    """All that the page is made of, with this text in every place."""
    shape = {"$ref": "#/components/schemas/Explanation"}
    view: View = fill(View, text, NOW, {
        "View.now": NOW,
        "View.explained": describe(shape, text),
        "ServerNode.lag": 0.25,
        "ServerNode.rate": 2.0,
        "Status.forward": {"cached": 3, "in_flight": 3, "cache_bytes": 3},
        "Beside.zones": [{"from": text, "to": text, "share": 0.5, "given": 0.5, "answers": 3}],
        "Instance.state": State.FAILING,
        "ServiceSettings.policy": "weighted",
        "Change.what": "state",
        "InForce.over": 60.0,
        "InForce.until": NOW + 60,
    })  # fmt: skip
    return view


def variants(text: str) -> Iterator[tuple[View, Asked]]:
    """Pages that show all there is, each with this text wherever it may be."""
    full = made(text)
    asked = Asked(*[text] * 4, 1, *[text] * 5)
    status = full.status
    (name,) = status.services
    (service,) = status.services.values()
    (instance,) = service.instances
    yield full, asked
    yield full, replace(asked, sort="-name", state="empty")
    (node,) = status.replicas.values()
    reached = replace(status, replicas={text: msgspec.structs.replace(node, http="10.0.0.1:8053")})
    yield replace(full, status=reached), asked
    yield replace(full, explained=text), replace(asked, service=f"{text}x", q="", state="")
    yield replace(full, status=replace(status, services={}, loaded=False, outages={})), asked
    many = {f"{text}{n}": replace(service, name=f"{text}{n}", instances=()) for n in range(CROWD)}
    problems = tuple(Problem(f"{text}/{n}", f"{'x' * n} {text}", text) for n in range(CROWD))
    problems += tuple(Problem(f"{text}/same{n}", f"'{n}' {text}", text) for n in range(CROWD))
    outages = dict.fromkeys(many, *status.outages.values())
    outages |= {f"{text}0": replace(outages[f"{text}0"], change=None)}
    crowd = replace(
        status, services=many, problems=problems, outages=outages, replica="",
        registries=status.registries * 2, stale_seconds=60.0,
    )  # fmt: skip
    yield replace(full, status=crowd, routed={}), replace(asked, q=text, page=2, state="", service=f"{text}0")
    yield replace(full, status=crowd, beside=Beside(told=NOT_KEPT), routed={}), Asked(page=1)
    up = replace(instance, state=State.HEALTHY)
    ups = tuple(replace(up, id=f"{text}{n}", label=f"l{n}", path=f"/{n}") for n in range(CROWD))
    healthy = replace(service, instances=ups)
    (row,) = full.beside.told.rows
    told = replace(full.beside.told, rows=tuple(replace(row, client=f"{text}{n}") for n in range(CROWD)))
    (change,) = full.past.changes
    came = [replace(change, at=NOW - n, id=f"{text}{n}", what="registered", was="", now="healthy")
            for n in range(CROWD)]  # fmt: skip
    went = [replace(one, at=one.at - 200, what="gone", was="healthy", now="", why=f"{'x' * n} {text}")
            for n, one in enumerate(came)]  # fmt: skip
    past = replace(full.past, changes=[*reversed(went), *reversed(came)], since=NOW - 600)
    big = replace(
        full, status=replace(status, services={name: healthy}, outages={}), past=past, recent=past,
        beside=replace(full.beside, told=told), routed={}, firsts=Firsts(),
    )  # fmt: skip
    yield big, replace(asked, q=f"{text}1", state="", sort="asked")
    unrouted = replace(full.beside, route=None, told=replace(told, rows=(), forgotten=0))
    yield replace(big, beside=unrouted, past=NO_PAST, recent=NO_PAST), replace(asked, q="", state="")
    route = full.beside.route
    assert route is not None
    nobody = replace(route, name=replace(route.name, first=()), note="", problems=())
    yield replace(full, routed={name: nobody}, beside=replace(full.beside, route=nobody)), asked
    broken = replace(service, instances=(replace(instance, since=None),))  # we fall over its row
    yield replace(full, status=replace(status, services={name: broken})), asked
    giving = replace(route, note="")
    yield replace(full, routed={name: giving}), asked


def pages(text: str) -> list[str]:
    return [render(view, asked) for view, asked in variants(text)]


class Tags(HTMLParser):
    """What a browser would make of a page: its elements with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.shape: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.values: list[str] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shape.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        self.values += [value or "" for _, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self.shape.append((f"/{tag}", ()))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def is_safe(link: str) -> bool:
    """Whether it leads to this server, or by address to another of its kind."""
    return link.startswith("#") or (link[:1] == "/" and link[1:2] != "/") or bool(ADDRESS.fullmatch(link))


@pytest.mark.parametrize("evil", EVIL)
def test_what_others_write_makes_no_element_no_attribute_and_no_link_elsewhere(evil: str) -> None:
    for plain, page in zip(map(Tags, pages(PLAIN)), map(Tags, pages(evil)), strict=True):
        assert page.shape == plain.shape
        assert all(map(is_safe, page.links)), [link for link in page.links if not is_safe(link)]


def test_what_others_write_stands_on_the_page_as_it_was_written() -> None:
    """Escaped once, and not twice: in text as in attributes."""
    evil = EVIL[0]
    (page,) = map(Tags, pages(evil)[:1])
    assert "".join(page.text).count(evil) > 50
    assert sum(evil in value for value in page.values) > 20
    assert not any(
        twice in part for part in (*page.text, *page.values) for twice in ("&lt;", "&quot;", "&#x27;")
    )


@given(st.text("<>&\"'`=/\\ \n;#a", min_size=1, max_size=12))
@sized(max_examples=examples(10))
def test_no_text_at_all_is_markup(text: str) -> None:
    plain, page = Tags(pages(PLAIN)[0]), Tags(pages(f"x{text}")[0])
    assert page.shape == plain.shape
    assert all(map(is_safe, page.links))


def test_the_page_has_no_style_and_no_script_of_its_own_in_line() -> None:
    """The Content-Security-Policy forbids both."""
    for page in map(Tags, pages(PLAIN)):
        assert [names for tag, names in page.shape if tag == "script"] == [("src", "defer")]
        assert "style" not in {tag for tag, _ in page.shape}
        assert not any(name == "style" or name.startswith("on") for _, names in page.shape for name in names)


# --- that this is all there is ------------------------------------------------------------------------------


def lines_of(act: Callable[[], object]) -> dict[str, set[int]]:
    """The lines of the page's modules that this runs, by file."""
    run: dict[str, set[int]] = {path.name: set() for path in PAGE.glob("*.py")}

    def trace(frame: FrameType, event: str, _: object) -> Any:
        path = Path(frame.f_code.co_filename)
        if path.parent != PAGE:
            return None
        run[path.name].add(frame.f_lineno)
        return trace

    with traced(trace):
        act()
    return run


def markup_in(path: Path) -> Iterator[ast.JoinedStr]:
    """The texts with holes that make elements."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr) and any(
            isinstance(part, ast.Constant) and "<" in str(part.value) for part in node.values
        ):
            yield node


def test_all_markup_that_the_page_can_make_is_made_here() -> None:
    run: Mapping[str, set[int]] = lines_of(lambda: pages(EVIL[0]))
    missed = [
        f"{path.name}:{node.lineno}"
        for path in sorted(PAGE.glob("*.py"))
        for node in markup_in(path)
        if run[path.name].isdisjoint(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    ]
    assert not missed, "no page above shows these: add the case to `variants`"


def test_every_table_of_the_page_has_a_row_with_what_others_wrote() -> None:
    """By the names that tables have for screen readers."""
    named = {
        str(node.args[2].value)
        for path in PAGE.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "table"
        and isinstance(node.args[2], ast.Constant)
    }  # fmt: skip
    assert len(named) > 12
    for name in named:
        made_of = [page.split(f'aria-label="{name}"')[1] for page in pages("MARK") if f'"{name}"' in page]
        assert made_of, name
        assert any("MARK" in table.split("<tbody>")[1].split("</tbody>")[0] for table in made_of), name
