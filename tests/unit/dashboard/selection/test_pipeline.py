"""Filter, sort, page: against the plainest way to do it."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from ksnap.dashboard.selection.pipeline import pick
from ksnap.dashboard.selection.properties import Property, common, text
from ksnap.dashboard.selection.query import Filter, Selection, Sort
from ksnap.kube.watch.objects import Objects
from ksnap.kube.watch.records import Metadata, Record

STATUS: Property[Record] = text("status", lambda record: record.metadata.labels.get("status", ""))
PROPERTIES = (*common(namespaced=True), STATUS)
NAMES = st.text("abc", max_size=3)

records = st.lists(
    st.builds(
        lambda namespace, name, second, status: Record(
            Metadata(
                name=name,
                namespace=namespace,
                uid=f"{namespace}/{name}",
                creation_timestamp=f"2026-01-01T00:00:0{second}Z",
                labels={"status": status},
            )
        ),
        NAMES,
        NAMES,
        st.integers(0, 3),
        st.sampled_from(["", "Running", "Pending"]),
    ),
    max_size=40,
    unique_by=lambda record: record.key,
)
filters = st.lists(st.builds(Filter, st.sampled_from((PROPERTIES[0], PROPERTIES[1], STATUS)), NAMES), max_size=2)
sorts = st.lists(st.builds(Sort, st.sampled_from(PROPERTIES), st.booleans()), max_size=3)
pages = st.builds(
    lambda some_filters, some_sorts, per_page, page: Selection(tuple(some_filters), tuple(some_sorts), per_page, page),
    filters,
    sorts,
    st.one_of(st.none(), st.integers(0, 10), st.just(2**63 - 1)),
    st.one_of(st.integers(1, 8), st.just(2**63)),
)


def naive(found: Sequence[Record], selection: Selection[Record]) -> tuple[int, Sequence[Record]]:
    for each in selection.filters:
        found = [record for record in found if each.wanted in each.property.value(record)]
    found = sorted(found, key=lambda record: (record.metadata.namespace, record.metadata.name, record.metadata.uid))
    for sort in reversed(selection.sorts):
        found = sorted(found, key=sort.property.value, reverse=sort.descending)
    if selection.items_per_page is None:
        return len(found), found
    start = (selection.page - 1) * selection.items_per_page
    return len(found), found[start : start + selection.items_per_page]


@given(records, pages)
def test_a_page_is_what_the_plain_way_finds(some: list[Record], selection: Selection[Record]) -> None:
    objects: Objects[Record] = Objects()
    objects.replace(some)
    picked = pick(objects, selection)
    assert (len(picked.matching), list(picked.page)) == naive(some, selection)


@given(records, pages, st.data())
def test_of_a_part_as_well(some: list[Record], selection: Selection[Record], data: st.DataObject) -> None:
    objects: Objects[Record] = Objects()
    objects.replace(some)
    among = data.draw(st.lists(st.sampled_from(some), unique_by=id)) if some else []
    picked = pick(objects, selection, among=among)
    assert (len(picked.matching), list(picked.page)) == naive(among, selection)


@given(records, records, pages)
def test_orders_keep_up_with_changes(before: list[Record], after: list[Record], selection: Selection[Record]) -> None:
    objects: Objects[Record] = Objects()
    objects.replace(before)
    pick(objects, selection)
    objects.replace([_newer(each) for each in after])
    picked = pick(objects, selection)
    assert (len(picked.matching), list(picked.page)) == naive(list(objects), selection)
    assert {each.key for each in objects} == {each.key for each in after}


@given(records, sorts, st.integers(1, 7))
def test_pages_are_the_whole_cut_up(some: list[Record], by: list[Sort[Record]], per_page: int) -> None:
    objects: Objects[Record] = Objects()
    objects.replace(some)
    whole = list(pick(objects, Selection(sorts=tuple(by))).page)
    pages = [
        pick(objects, Selection(sorts=tuple(by), items_per_page=per_page, page=page)).page
        for page in range(1, len(some) + 2)
    ]
    assert [each for page in pages for each in page] == whole


def _newer(record: Record) -> Record:
    metadata = record.metadata
    return Record(
        Metadata(
            name=metadata.name,
            namespace=metadata.namespace,
            uid=metadata.uid,
            resource_version="2",
            creation_timestamp=metadata.creation_timestamp,
            labels={"status": "Running"},
        )
    )
