from __future__ import annotations

import json
from pathlib import Path

import pytest

from ascendllm.exceptions import SettingsError, UsageError
from ascendllm_simulator.behaviour import MODES, Behaviour, read_behaviour
from ascendllm_simulator.config import LoadError, read_config


def behaviour(**keys: object) -> Behaviour:
    return read_behaviour(None, {"ASCENDLLM_SIMULATE": json.dumps(keys)})


def test_nothing_chosen_is_the_default(tmp_path: Path) -> None:
    assert read_behaviour(tmp_path, {}) == Behaviour()
    assert read_behaviour(None, {}) == Behaviour()


def test_the_environment_overrides_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "simulator.json").write_text(
        '{"loadSeconds": 3, "ttftMs": 1, "failure": {"mode": "hang"}}'
    )
    found = read_behaviour(tmp_path, {"ASCENDLLM_SIMULATE": '{"ttftMs": 2, "failure": null}'})
    assert (found.load_seconds, found.ttft_ms, found.failure) == (3, 2, None)
    assert read_behaviour(tmp_path, {}).fails("hang")


@pytest.mark.parametrize("mode", sorted(MODES))
def test_every_mode_has_defaults(mode: str) -> None:
    failure = behaviour(failure={"mode": mode}).failure
    assert failure is not None
    assert dict(MODES[mode].parameters).items() <= failure.parameters.items()


@pytest.mark.parametrize(
    ("keys", "part"),
    [
        ({"loadSecond": 1}, "unknown key"),
        ({"ttftMs": "1"}, "must be a number"),
        ({"ttftMs": True}, "must be a number"),
        ({"itlMs": -1}, "must be a number"),
        ({"accuracy": 101}, "from 0 to 100"),
        ({"answers": 3}, "wrong type"),
        ({"failure": "hang"}, "must be null or an object"),
        ({"failure": {"mode": "sulk"}}, "crashOnLoad"),
        ({"failure": {"mode": "hang", "afer": 1}}, "no such parameter"),
        ({"failure": {"mode": "hang", "after": -1}}, ">= 0"),
        ({"failure": {"mode": "slow", "factor": "x"}}, "must be of type float"),
        ({"failure": {"mode": "loadForever", "after": 1}}, "only none"),
    ],
)
def test_mistakes_are_refused(keys: dict[str, object], part: str) -> None:
    with pytest.raises(SettingsError) as caught:
        behaviour(**keys)
    assert part in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_no_object_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ASCENDLLM_SIMULATE"):
        read_behaviour(None, {"ASCENDLLM_SIMULATE": text})
    (tmp_path / "simulator.json").write_text(text)
    with pytest.raises(SettingsError, match=r"simulator\.json"):
        read_behaviour(tmp_path, {})


def test_config_from_the_arguments_of_serve(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 8192}')
    config = read_config(
        [str(tmp_path), "--port=9", "--served-model-name", "a", "b", "--max-num-seqs=3",
         "--shutdown-timeout=7", "--api-key", "k1", "k2", "--no-enable-prefix-caching"],
        {},
    )  # fmt: skip
    assert (config.port, config.names, config.max_num_seqs) == (9, ("a", "b"), 3)
    assert (config.shutdown_timeout, config.api_keys) == (7, ("k1", "k2"))
    assert config.max_model_len == 8192
    assert not config.prefix_caching
    assert read_config([str(tmp_path)], {"VLLM_API_KEY": "k"}).api_keys == ("k",)
    assert read_config([str(tmp_path)], {}).names == (str(tmp_path),)
    assert read_config(["org/model"], {}).max_model_len == 8192


def test_what_fails_while_loading(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="Invalid repository ID or local directory"):
        read_config([str(tmp_path / "none")], {})
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 2048}')
    with pytest.raises(LoadError, match=r"greater than the derived max_model_len .*=2048"):
        read_config([str(tmp_path), "--max-model-len", "4096"], {})
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(LoadError, match="not a valid JSON file"):
        read_config([str(tmp_path)], {})


def test_adapters_are_loaded_with_the_model(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="LoRA is not enabled"):
        read_config(["m", f"--lora-modules=a={tmp_path}"], {})
    asked = ["m", "--enable-lora", "--lora-modules", f"a={tmp_path}"]
    with pytest.raises(LoadError, match="Loading lora a failed"):
        read_config(asked, {})
    (tmp_path / "adapter_config.json").write_text("{}")
    assert read_config(asked, {}).adapters == {"a": str(tmp_path)}


def test_unknown_options_are_refused() -> None:
    with pytest.raises(UsageError, match="unrecognized arguments: --device ascend"):
        read_config(["m", "--device", "ascend"], {})


def test_a_model_without_template(tmp_path: Path) -> None:
    assert read_config([str(tmp_path)], {}).chat_template
    (tmp_path / "tokenizer_config.json").write_text("{}")
    assert not read_config([str(tmp_path)], {}).chat_template
    assert read_config([str(tmp_path), "--chat-template", "x"], {}).chat_template
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "x"}')
    assert read_config([str(tmp_path)], {}).chat_template
    chosen = {"ASCENDLLM_SIMULATE": '{"chatTemplate": false}'}
    assert not read_config([str(tmp_path)], chosen).chat_template


def test_the_answer_key_is_read_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "simulator.json").write_text('{"answers": "answers.json"}')
    with pytest.raises(SettingsError, match=r"answers\.json"):
        read_config([str(tmp_path)], {})
    (tmp_path / "answers.json").write_text('[{"subject": "s", "question": "q", "answer": "A"}]')
    assert len(read_config([str(tmp_path)], {}).key) == 1


@pytest.mark.parametrize("args", [["--uds", "/x"], ["--grpc"], ["--config", "x.yaml"]])
def test_what_is_not_simulated_is_refused(args: list[str]) -> None:
    with pytest.raises(SettingsError, match=f"{args[0]}: the simulator does not"):
        read_config(["m", *args], {})
