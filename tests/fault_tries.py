"""What became of one thing that went wrong on purpose; no tests in here."""

import collections
import dataclasses


@dataclasses.dataclass(frozen=True)
class Try:
    """One fault.

    Args:
        kind: the row of the table it counts in.
        what: which of its kind.
        lost: what was not as promised: work lost, a process crashed, damage let through, code run,
            an error that names nothing. Empty if all was well.
    """

    kind: str
    what: str
    lost: str = ""


def counted(tries):
    """`{kind: {"tries": ..., "survived": ..., "lost": ...}}`, in the order of the tries."""
    counts = collections.defaultdict(lambda: {"tries": 0, "survived": 0, "lost": 0})
    for one in tries:
        counts[one.kind]["tries"] += 1
        counts[one.kind]["lost" if one.lost else "survived"] += 1
    return dict(counts)


def losses(tries):
    """Lines about what was lost, for an assertion to show."""
    return [f"{one.kind}, {one.what}: {one.lost}" for one in tries if one.lost]
