"""What a registry's URL says, and how a mistake in it is told: in one line that names it."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns.registry import formats, presets
from zkdns.registry.json_fields import JSONFields
from zkdns.registry.url import DEFAULT_LAYOUT, is_usual, parse_registry, registration_path


def test_without_options_instances_stand_two_below_the_root() -> None:
    url = parse_registry("zk://h1:2181,h2/services")
    assert (url.hosts, url.root, url.format) == ("h1:2181,h2:2181", "/services", "auto")
    assert (url.layout, url.service, url.preset) == (DEFAULT_LAYOUT, "{service}", None)
    assert parse_registry("zk://h").root == "/services"


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1), max_size=3))
def test_a_root_that_is_quoted_as_urls_are_is_the_node_of_that_name(names: list[str]) -> None:
    root = "/" + "/".join(name.replace("/", "%") for name in names if name not in (".", ".."))
    assert parse_registry(f"zk://h{quote(root)}?format=native").root == root


def test_a_layout_stands_below_the_urls_path() -> None:
    url = parse_registry("zk://h/x?layout=/{service}/members/{id}&as=db-{service}")
    assert (url.root, url.layout.text, url.service) == ("/x", "/{service}/members/{id}", "db-{service}")
    assert parse_registry("zk://h?layout=/a/{id}&as=web").root == "/"


def test_a_preset_brings_its_layouts_and_names() -> None:
    url = parse_registry("events=zk://zk1/kafka-prod?preset=kafka&as=events")
    assert url.name == "events"
    assert (url.root, url.format) == ("/kafka-prod", "kafka")
    assert url.preset is not None
    assert {place.service for place in url.preset.places} == {"events"}
    assert parse_registry("zk://zk1?preset=kafka").root == "/"


def test_the_ensembles_own_servers_stand_outside_any_chroot() -> None:
    assert parse_registry("zk://zk1/deep/down?preset=zookeeper").root == "/"


@pytest.mark.parametrize("name", [*formats.names(), *presets.names()])
def test_every_format_and_every_presets_name_is_a_format(name: str) -> None:
    assert parse_registry(f"zk://h/x?format={name}").format == name


@pytest.mark.parametrize("name", presets.names())
def test_every_file_of_the_folder_is_a_preset_that_a_url_may_name(name: str) -> None:
    url = parse_registry(f"zk://h/x?preset={name}")
    assert url.preset is not None
    assert url.preset.name == name
    assert url.preset is presets.named(name) or name == "zookeeper"


def test_json_of_ones_own_names_its_fields() -> None:
    url = parse_registry("zk://h/x?format=json&address=net.url&port=p&weight=w&status=s")
    assert url.fields == JSONFields("net.url", "p", "w", "s")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("preset=nope", "no preset 'nope'; there are"),
        ("preset=kafka&format=kafka", "preset=kafka says it all: leave format= out"),
        ("preset=kafka&layout=/x/{id}", "preset=kafka says it all: leave layout= out"),
        ("preset=patroni&as=db", "write as=db-{service}"),
        ("format=nope", "no format 'nope'; there are"),
        ("layout=x", "must start with /"),
        ("layout=/{service}", "no {id}"),
        ("layout=/a/{id}", "names no service: add as=NAME"),
        ("layout=/a/{id}&as=x-{service}", "has no {service}"),
        ("as=web", "write as=web-{service}"),
        ("as=", "is no service's name"),
        ("as=a/b-{service}", "is no service's name"),
        ("as={name}-{service}", "is no service's name"),
        ("as={service}{service}", "is no service's name"),
        ("format=json", "needs address=FIELD"),
        ("format=json&address=", "address= names no field"),
        ("address=a", "address= goes with format=json alone"),
        ("port=p&format=native", "port= goes with format=json alone"),
        ("layout=/{service}/{id}&format=native&format=json", "format= stands there more than once"),
        ("colour=red", "no option 'colour'; there are format=, layout="),
    ],
)
def test_a_wrong_option_is_told_in_one_line(options: str, why: str) -> None:
    with pytest.raises(ValueError, match="zk://h/x") as error:
        parse_registry(f"zk://h/x?{options}")
    assert why in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("hosts", ["::1", "fd00::1:2181", "h:2181,fd00::1", "[::1:2181"])
def test_an_address_with_colons_wants_brackets(hosts: str) -> None:
    with pytest.raises(ValueError, match="bracket"):
        parse_registry(f"zk://{hosts}/x")
    assert parse_registry("zk://[fd00::1],h:2182/x").hosts == "[fd00::1]:2181,h:2182"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("zk://h/services", "/services/web/a"),
        ("zk://h/", "/web/a"),
        ("zk://h/x?layout=/{service}/members/{id}", "/x/web/members/a"),
        ("zk://h/x?layout=/{service}/{id}&as=prod-{service}", "/x/web/a"),
        ("zk://h/x?layout=/y/{id}&as=web&format=native", "/x/y/a"),
    ],
)
def test_an_instance_of_ours_stands_where_the_registry_reads_it(text: str, path: str) -> None:
    assert registration_path(parse_registry(text), "web", "a") == path


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("zk://h?preset=kafka", "by that system alone"),
        ("zk://h/x?format=json&address=a", "are read as json"),
        ("zk://h/x?format=curator", "are read as curator"),
        ("zk://h/x?layout=/y/{id}&as=other", "the service there is other"),
    ],
)
def test_where_an_instance_of_ours_has_no_place_it_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        registration_path(parse_registry(text), "web", "a")


def test_what_is_usual_is_read_service_by_service() -> None:
    assert is_usual(parse_registry("zk://h/services?format=curator"))
    for options in ("preset=kafka", "layout=/{service}/x/{id}", "as=p-{service}", "format=json&address=a"):
        assert not is_usual(parse_registry(f"zk://h/x?{options}"))


@given(
    st.sampled_from(["zk://", "zkk://", "zk:/", "zk:", "http://", "", "x=zk://", "x=zk:"]),
    st.sampled_from(["", "u:", ":", "[::1]:", "h:1,u:", "["]),
    st.sampled_from(["h:2181/x", "h", "", "h:2181/x?format=zz", "@h/x"]),
    st.text("/,:[]?#% ", max_size=3),
)
def test_a_secret_in_a_url_is_told_by_no_error(scheme: str, user: str, rest: str, odd: str) -> None:
    secret = f"SEC{odd}RET"
    try:
        parse_registry(f"{scheme}{user}{secret}@{rest}")
    except ValueError as error:
        told = str(error)
    else:
        told = ""  # it may be read otherwise, with an @ in the root
    assert "SEC" not in told
    assert "RET" not in told


def test_an_address_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="'h:x' is no HOST:PORT"):
        parse_registry("zk://h:x/services")
