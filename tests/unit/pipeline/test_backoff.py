"""The pauses between two lives of a pipeline: they double, stop at a cap, differ at random and fall back."""

from tailrace.pipeline.pipeline import _Backoff

TRIES = 12


def test_pauses_double_up_to_the_cap_each_shortened_by_up_to_half() -> None:
    herd = [_Backoff(s_max=1.0) for _ in range(50)]
    for failure in range(TRIES):
        longest_s = min(1.0, 0.2 * 2**failure)
        pauses_s = [each.next_s() for each in herd]
        assert all(longest_s / 2 <= pause_s <= longest_s for pause_s in pauses_s)
        assert max(pauses_s) - min(pauses_s) > longest_s / 8, "a herd spreads out"


def test_a_success_makes_the_next_fault_a_first_one() -> None:
    backoff = _Backoff(s_max=60.0)
    for _ in range(TRIES):
        backoff.next_s()
    assert backoff.next_s() > 1.0
    backoff.reset()
    assert backoff.next_s() <= 0.2
