"""The same function for many jobs, in several processes."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def each(
    function: Callable[[Job], Result], jobs: Iterable[Job], processes: int
) -> Iterator[Result]:
    """Give the results in the order of the jobs; `function` must be importable."""
    if processes == 1:
        yield from map(function, jobs)
        return
    # forking a process whose arithmetic has threads can hang
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(function, jobs)


def in_lists(items: Iterable[Job], size: int) -> Iterator[list[Job]]:
    """Cut items into lists of `size`, the last of which may be shorter."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
