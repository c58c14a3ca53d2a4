"""What may be told of an error."""

from tailrace.error import Fatal, trace


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
