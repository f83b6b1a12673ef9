"""Whether an engine moves, by its metrics."""

from __future__ import annotations

from ascendllm.state.pulse import Beat, Pulse, felt, read_beats

TEXT = """\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a b\\"c"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 0.0
vllm:num_requests_waiting{engine="0",model_name="m"} 7.0
vllm:iteration_tokens_total_bucket{engine="0",le="1.0",model_name="m"} 1.0
vllm:iteration_tokens_total_count{engine="0",model_name="m"} 1.2e+06
vllm:iteration_tokens_total_sum{engine="0",model_name="m"} 99.0
vllm:iteration_tokens_total_count{engine="1",model_name="m"} 5.0
"""


def looks(*beats: tuple[float, float], every: float = 10) -> list[float]:
    """For how long the engine stands still after each look."""
    pulse, seconds = Pulse(), []
    for number, (running, steps) in enumerate(beats):
        pulse = felt(pulse, {"0": Beat(running, steps)}, number * every)
        seconds.append(pulse.hung_seconds(number * every))
    return seconds


def test_each_engine_is_read() -> None:
    assert read_beats(TEXT) == {"0": Beat(3, 1_200_000), "1": Beat(0, 5)}


def test_other_texts_tell_of_no_engine() -> None:
    assert read_beats("") == {}
    assert read_beats("<html>vllm:num_requests_running</html>") == {}
    assert read_beats('vllm:num_requests_running{engine="0"} 1.0\n') == {}
    assert read_beats('vllm:num_requests_running{engine="0"} 1e1e1\n') == {}


def test_an_engine_with_requests_that_makes_no_step_stands_still() -> None:
    assert looks((2, 7), (2, 7), (2, 7), (2, 7)) == [0, 0, 20, 30]


def test_two_looks_say_nothing_however_far_apart() -> None:
    assert looks((2, 7), (2, 7), every=3600) == [0, 0]


def test_a_step_begins_it_anew() -> None:
    assert looks((2, 7), (2, 7), (2, 7), (2, 8), (2, 8), (2, 8)) == [0, 0, 20, 0, 0, 20]


def test_who_has_nothing_to_do_does_not_hang() -> None:
    assert looks((0, 7), (0, 7), (0, 7), (0, 7)) == [0, 0, 0, 0]
    assert looks((2, 7), (0, 7), (2, 7), (2, 7)) == [0, 0, 0, 0]


def test_a_restarted_engine_counts_from_nothing() -> None:
    assert looks((1, 900), (1, 900), (1, 0), (1, 0), (1, 0)) == [0, 0, 0, 0, 20]


def test_one_of_several_engines_is_enough() -> None:
    pulse = Pulse()
    for now in (0.0, 10.0, 20.0):
        pulse = felt(pulse, {"0": Beat(1, now), "1": Beat(1, 5)}, now)
    assert pulse.hung_seconds(20) == 20


def test_a_text_made_to_be_searched_for_ever_tells_nothing() -> None:
    """Each line searched to the end of the text, it would take half an hour."""
    assert read_beats("vllm:num_requests_running{\n" * 150_000) == {}


def test_a_server_of_endless_engines_is_not_remembered_whole() -> None:
    text = "\n".join(
        f'vllm:{name}{{engine="{number}"}} 1'
        for number in range(10_000)
        for name in ("num_requests_running", "iteration_tokens_total_count")
    )
    assert len(read_beats(text)) == 2048
    assert read_beats(text.replace('engine="', 'engine="' + "1" * 5000)).keys() <= {""}
