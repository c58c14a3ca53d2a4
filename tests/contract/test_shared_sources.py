"""Every shared source keeps the contract, and the suite finds out those that do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tailrace import testing
from tailrace.testing import evidence, member
from tests.contract import broken
from tests.contract.parts import Parts, PartSource, PartStream

COMES = "what was committed comes"


def _check(source: type[PartSource] = PartSource, stream: type[PartStream] = PartStream, size: int = 3) -> list[str]:
    parts = Parts(size)
    return testing.check_source(lambda: source(parts, stream), parts.commit)


def test_the_fake_shared_source_keeps_the_contract() -> None:
    shown = "\n".join(_check())
    assert all(number in shown for number in ("I2", "I3", "I6", "I7", "I11", "I12", "I16"))


@pytest.mark.parametrize(
    ("stream", "promise"),
    [
        (broken.ReadsUnclaimed, "I16 nothing is read of a lineage before it is claimed"),
        (broken.OffersTwice, "offered once, until it is taken away"),
        (broken.StartsOver, "I6 begin.* right after what is saved"),
        (broken.SkipsOne, "I6 begin.* right after what is saved"),
        (broken.GoesOnByItself, "I6 I7 what was not saved comes again"),
        (broken.StartsOverWhereItIsUnknown, "I6 .*raises Fatal .*it did not write"),
        (broken.StumblesWhereItIsUnknown, "I6 .*raises Fatal .*it did not write; it raised ValueError"),
        (broken.Doubles, "I7 every change has its own position"),
        (broken.Swaps, "I7 every change has its own position"),
        (broken.DoesNotUnderstand, "is understood: its bytes are none"),
        (broken.ReadsOn, "I16 nothing is read of a lineage that was taken away"),
        (broken.LetsGoEarly, r"I16 .* once settle\(\) has answered"),
        (broken.SettlesWhatNobodyKnows, "lineages that are ours, and with no others"),
        (broken.BeginsWhatWent, "I16 nothing is read of a lineage that was taken away"),
        (broken.ConfirmsWithAFault, "I2 .*raises nothing"),
        (broken.ConfirmsWhatIsItsOwn, "I2 .*raises nothing"),
        (broken.WaitsToConfirm, "I2 .*cheap"),
        (broken.EndsEarly, "the first open delivers what is there"),
    ],
)
def test_a_shared_source_that_breaks_a_promise_is_found_out(
    monkeypatch: pytest.MonkeyPatch, stream: type[PartStream], promise: str
) -> None:
    if stream is broken.WaitsToConfirm:  # the only one that is waited for, and in vain
        monkeypatch.setattr(evidence, "_ADVICE_S", 1.5)
    with pytest.raises(AssertionError, match=promise):
        _check(stream=stream)


@pytest.mark.parametrize(
    ("stream", "promise"),
    [
        (broken.LetsGoInSilence, "a reader that joins another is given lineages of it"),
        (broken.TendsNothing, "a reader that joins another is given lineages of it"),
        (broken.GivesNothingAway, "a reader that joins another is given lineages of it"),
        (broken.GivesNothingBack, "what a reader had that has left is offered to the other"),
        (broken.TakesNothingTwice, "what a reader had that has left is offered to the other"),
        (broken.KeepsWhatIsNotBegun, "a lineage that is offered and not begun is let go of too"),
        (broken.GoesOnWhereOthersWere, "I6 what was dropped when a lineage went comes again to who has it next"),
        (broken.EndsNever, "a bounded stream ends"),
        (broken.ReadsWhileItTends, COMES),
    ],
)
def test_a_shared_source_that_lets_others_wait_in_vain_is_found_out(
    monkeypatch: pytest.MonkeyPatch, stream: type[PartStream], promise: str
) -> None:
    wait = member.Group.wait

    def impatient(group: member.Group, condition: Callable[[], bool], what: str) -> None:
        """Waits long for all else: that the machine is slow must not be found out in its place."""
        patience_s = 5.0 if promise == COMES else 1.5  # the others are waited for once, and in vain
        monkeypatch.setattr(member, "_PATIENCE_S", patience_s if what == promise else 60.0)
        wait(group, condition, what)

    monkeypatch.setattr(member.Group, "wait", impatient)
    with pytest.raises(AssertionError, match=rf"{promise}: waited for [\d.]+ s in vain"):
        _check(stream=stream)


def test_i12_a_shared_source_that_closes_only_once_is_found_out() -> None:
    with pytest.raises(RuntimeError, match="it is closed"):
        _check(stream=broken.ClosesOnce)


@pytest.mark.parametrize(
    ("source", "promise"),
    [
        (broken.ClaimsAtOnce, "I16 open.* claims nothing"),
        (broken.TakesForeign, "I6 .*raises Fatal .*another server's"),
    ],
)
def test_a_shared_source_that_opens_otherwise_is_found_out(source: type[PartSource], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        _check(source)


def test_one_lineage_cannot_be_shared() -> None:
    with pytest.raises(AssertionError, match="at least two lineages"):
        _check(size=1)


def test_rows_of_which_one_lineage_has_none_show_nothing_of_it() -> None:
    parts = Parts()

    def commit(rows: int) -> None:
        for _ in range(rows):
            parts.insert("test/parts/0")

    with pytest.raises(AssertionError, match="too few came of test/parts/1, test/parts/2"):
        testing.check_source(lambda: PartSource(parts), commit)
