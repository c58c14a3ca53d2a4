"""Whether a shared source keeps the promises of `contract.Shared`, for `check_source`. Members come and go in peace.

What a process that hangs or is killed leaves behind is fenced off by the sink, which `check_sink` looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tailrace.contract import Source
from tailrace.error import Fatal
from tailrace.model import Change, Position
from tailrace.testing.evidence import Identity, check_order, identity
from tailrace.testing.expect import expect
from tailrace.testing.member import Group, Member

__all__ = ["SharedTrial"]

_CALLS = 10
"""How often a member reads, or tends, while nothing may come of it."""
_COMES = "what was committed comes"
_SHARED_OUT = "a reader that joins another is given lineages of it"
_GIVEN_BACK = "what a reader had that has left is offered to the other"


class SharedTrial:
    """The checks, in an order in which each goes on with the members and the positions that the one before left."""

    def __init__(self, make_source: Callable[[], Source], commit: Callable[[int], object]) -> None:
        self._make = make_source
        self._write = commit
        self._group = Group(make_source)
        self._lineages = frozenset[str]()
        self._seen: dict[Member, int] = {}
        """How many batches of each member are of an earlier check."""

    def run(self) -> list[str]:
        """All of them; AssertionError for what was not shown."""
        group = self._group
        try:
            shown = [self._reads_what_is_there(), self._begins_where_it_is_told()]
            first = group.join(claims=False)
            shown += [self._waits_for_its_claim(first), self._keeps_order(first), self._tends(first)]
            second = group.join()
            shown += [self._lets_go_while_it_tends(first, second), self._hands_over(first, second)]
            group.leave(second)
            shown += [self._gives_back(first), self._drops(first), self._begins_late()]
            shown += [self._loses_nothing(), self._refuses_what_is_foreign()]
        finally:
            group.end()
        return shown

    def _reads_what_is_there(self) -> str:
        self._write(3)
        some = self._read_all()
        self._lineages = frozenset(some)
        expect(len(self._lineages) >= 2, "make_source reads at least two lineages, or they cannot be shared")
        expect(sum(map(len, some.values())) >= 3, "the first open delivers what is there")
        self._commit(3)
        more = self._read_all()
        few = sorted(name for name, changes in more.items() if len(changes) < 2)
        expect(not few, f"commit() spreads its rows evenly over the lineages; too few came of {', '.join(few)}")
        for name, changes in some.items():
            again = _identities(more[name])[: len(changes)]
            expect(_identities(changes) == again, "I6 I7 what was not saved comes again, the same, in the same order")
        return "I6 I7 until_current delivers what is there and ends; what was not saved comes again"

    def _begins_where_it_is_told(self) -> str:
        before = self._read_all()
        self._group.positions.save([changes[0].position for changes in before.values()])
        rest = self._read_all()
        for name, changes in before.items():
            promise = "I6 begin() reads right after what is saved, of each change: nothing is left out or comes twice"
            expect(_identities(rest[name]) == _identities(changes[1:]), promise)
        self._group.positions.save([changes[-1].position for changes in rest.values()])
        expect(not any(self._read_all().values()), "I6 what is saved does not come again")
        return "I6 each lineage is read right after the position that it is begun with, which is kept as JSON"

    def _waits_for_its_claim(self, member: Member) -> str:
        size = self._commit(2)
        self._group.wait(lambda: member.ours == self._lineages, "all lineages are offered to who is alone")
        self._let_call(member, "read")
        member.claims = True
        self._come_once(size)
        return "I16 nothing is read of a lineage before it is claimed"

    def _keeps_order(self, member: Member) -> str:
        """What comes before the next is committed was committed before it, whatever positions say."""
        for _ in range(2 * len(self._lineages)):
            self._commit_rows(1)
            self._come_once(1)
        check_order(member.batches)
        return "I3 I7 what is committed later comes later, under a position of its own"

    def _tends(self, member: Member) -> str:
        member.only_tends = True
        self._let_call(member, "tend")
        self._commit(2)
        before = len(member.batches)
        self._let_call(member, "tend")
        expect(len(member.batches) == before, "I11 a stream that is tended is not read")
        return "I11 tend reads nothing"

    def _lets_go_while_it_tends(self, first: Member, second: Member) -> str:
        self._share_out(first, second, _SHARED_OUT)
        first.only_tends = False
        self._come_once(2 * len(self._lineages))
        return "I11 tend lets go of what is another's, and takes nothing of what waits"

    def _hands_over(self, first: Member, second: Member) -> str:
        size = self._commit(2)
        came = self._come_once(size)
        expect({change.position.lineage for change in came} == self._lineages, "every lineage is read by one of them")
        first.save()
        second.save()
        for position in {change.position.lineage: change.position for change in came}.values():
            first.confirm(position)
        self._come_once(self._commit(1))
        return "I2 I16 what was saved when a lineage goes does not come again; confirm is advice from any thread"

    def _gives_back(self, member: Member) -> str:
        self._group.wait(lambda: member.ours == self._lineages, _GIVEN_BACK)
        self._come_once(self._commit(2))
        return "I12 what a reader leaves is read on by the other; closing twice is harmless"

    def _drops(self, first: Member) -> str:
        first.save()
        first.saves = False
        came = self._come_once(self._commit(2))
        second = self._group.join()
        self._share_out(first, second, _SHARED_OUT)
        for name in sorted(second.ours):
            self._comes_again(second, name, [change for change in came if change.position.lineage == name])
        first.saves = True
        self._group.leave(first, second)
        return "I6 what was dropped when a lineage went comes again to who has it next"

    def _comes_again(self, member: Member, name: str, changes: list[Change]) -> None:
        promise = "I6 what was dropped when a lineage went comes again to who has it next"
        self._group.wait(lambda: len(_of(member)[name]) >= len(changes), promise)
        again = _identities(_of(member)[name])
        expect(again == _identities(changes), "I6 I7 what comes again is the same, in the same order, and nothing else")

    def _begins_late(self) -> str:
        first = self._group.join(claims=False)
        self._group.wait(lambda: first.ours == self._lineages, "all lineages are offered to who is alone")
        second = self._group.join()
        self._share_out(first, second, "a lineage that is offered and not begun is let go of too")
        first.claims = True
        self._come_once(self._commit(2))
        self._group.leave(second)
        self._group.wait(lambda: first.ours == self._lineages, _GIVEN_BACK)
        self._come_once(self._commit(2))
        self._group.leave(first)
        return "I16 a lineage that went before it was begun is not read"

    def _loses_nothing(self) -> str:
        expect(not any(self._read_all().values()), "I6 what is saved does not come again, whoever has read it")
        return "I6 what one member has saved no other reads again"

    def _refuses_what_is_foreign(self) -> str:
        """Twice: another server's position, and a text under the own lineages that the source did not write."""
        own = [position for position in self._group.positions.known().values() if position is not None]
        elsewhere = [Position(f"elsewhere/{position.lineage}", position.text) for position in own]
        self._refuses(elsewhere, "another server's position")
        self._refuses([Position(name, "check_source wrote this") for name in self._lineages], "what it did not write")
        return "I6 it refuses to start over from a position that is not its own"

    def _refuses(self, saved: list[Position], what: str) -> None:
        promise = f"I6 open(), or begin(), raises Fatal (HistoryLost where `reset` is the way out) over {what}"
        foreign = Group(self._make)
        foreign.positions.save(saved)
        try:
            member = foreign.join(until_current=True, saves=False)
            foreign.wait(lambda: member.ended, promise)
        except Fatal:
            expect(not any(map(len, member.batches)), f"{promise}, before it brings a change")
            return
        except Exception as error:
            expect(isinstance(error, AssertionError), f"{promise}; it raised {type(error).__name__}")
            raise
        finally:
            foreign.end()
        expect(False, promise)

    def _read_all(self) -> Mapping[str, list[Change]]:
        """What a bounded stream brings of each lineage that it was offered; nothing of it is saved."""
        member = self._group.join(until_current=True, saves=False)
        self._group.wait(lambda: member.ended, "a bounded stream ends")
        self._group.leave(member)
        check_order(member.batches)
        self._seen[member] = len(member.batches)
        return {name: _of(member)[name] for name in sorted(member.went)}

    def _commit(self, each: int) -> int:
        """So many rows for each lineage, if they are spread evenly; returns how many that are."""
        size = each * len(self._lineages)
        self._commit_rows(size)
        return size

    def _commit_rows(self, size: int) -> None:
        self._seen = {member: len(member.batches) for member in self._group.members}
        self._write(size)

    def _come_once(self, size: int) -> list[Change]:
        """Wait for so many changes since the last commit, of all members together."""
        came: list[Change] = []

        def enough() -> bool:
            came[:] = self._new()
            return len(came) >= size

        self._group.wait(enough, _COMES)
        places = {change.position for change in came}
        expect(len(places) == len(came) == size, "each change comes once, and to one reader; none from before")
        for member in self._group.members:
            check_order(member.batches[self._seen.get(member, 0) :])
        return came

    def _new(self) -> list[Change]:
        seen = ((member, self._seen.get(member, 0)) for member in self._group.members)
        return [change for member, first in seen for batch in member.batches[first:] for change in batch]

    def _let_call(self, member: Member, name: str) -> None:
        """Wait until it has called `name` some more times."""
        enough = member.calls[name] + _CALLS
        self._group.wait(lambda: member.calls[name] >= enough, f"{name}() returns")

    def _share_out(self, first: Member, second: Member, promise: str) -> None:
        """Wait until each lineage is one's of the two, and both have some."""

        def shared_out() -> bool:
            apart = bool(first.ours) and bool(second.ours) and not first.ours & second.ours
            return apart and first.ours | second.ours == self._lineages

        self._group.wait(shared_out, promise)


def _of(member: Member) -> dict[str, list[Change]]:
    """What it was brought of each lineage."""
    brought: dict[str, list[Change]] = {name: [] for name in member.ours | member.went}
    for batch in member.batches:
        for change in batch:
            brought[change.position.lineage].append(change)
    return brought


def _identities(changes: list[Change]) -> list[Identity]:
    return [identity(change) for change in changes]
