"""What may be told of an error."""

from collections.abc import Iterable

import pytest

from tailrace.error import Fatal, Reject, trace


def test_i9_a_trace_tells_frames_and_types_and_only_our_own_messages() -> None:
    def handler() -> None:
        raise ValueError("card 4111")

    try:
        try:
            handler()
        except ValueError as error:
            raise Fatal("handler raised ValueError") from error
    except Fatal as error:
        told = trace(error)
    assert "4111" not in told.replace('raise ValueError("card 4111")', "")
    assert told.count("Traceback") == 2
    assert "in handler" in told
    assert told.endswith("Fatal: handler raised ValueError")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ([0, 1], "with change 1 of the batch among the refused and the written ones"),
        ([3], "without naming a change of the batch: it has 3"),
        ([-1], "without naming a change of the batch: it has 3"),
        (["0"], "with str in place of an index of its batch"),
    ],
)
def test_what_a_reject_calls_written_is_of_the_batch_and_not_refused(written: Iterable[int], said: str) -> None:
    with pytest.raises(Fatal, match=f"sink test raised Reject {said}"):
        Reject({1: "too large"}, written=written).checked(3, "sink test")


def test_what_a_reject_calls_written_may_be_all_that_it_does_not_refuse() -> None:
    reject = Reject({1: "too large"}, written=[0, 2])
    assert reject.checked(3, "sink test") == {1: "too large"}
    assert reject.written == {0, 2}


def test_a_reject_that_names_none_of_several_is_no_reason_to_park_one() -> None:
    """It was taken for the first of them."""
    assert Reject("too large").checked(1, "sink test") == {0: "too large"}
    with pytest.raises(Fatal, match="sink test raised Reject over 3 changes without naming which of them: too large"):
        Reject("too large").checked(3, "sink test")


def test_a_reject_that_names_none_may_be_about_all_that_is_not_written() -> None:
    reject = Reject("too large", written=[1])
    assert reject.suspected(3, "handler test") == {0: "too large", 2: "too large"}
    assert Reject({1: "too large"}).suspected(3, "handler test") == {1: "too large"}
    for written in ([0, 1], [2], [-1]):
        with pytest.raises(Fatal, match="handler test raised Reject without naming a change of the batch"):
            Reject("too large", written=written).suspected(2, "handler test")


def test_halves_of_surrogate_pairs_stand_escaped_where_they_would_stop_a_file_or_an_answer() -> None:
    """A json column may hold them, and Python's names of files do."""
    error = Fatal("cannot read \udcff.jsonl", hint="\ud800")
    assert str(error) == "cannot read \\udcff.jsonl\n  hint: \\ud800"
    assert Reject("bad \ud800").checked(1, "sink test") == {0: "bad \\ud800"}
    assert Reject({1: "bad \ud800"}).suspected(2, "sink test") == {1: "bad \\ud800"}
