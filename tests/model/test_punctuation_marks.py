from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consumer.engine.load import Models, load_models
from consumer.engine.punctuation import Punctuator, apply_marks
from consumer.engine.quiet import quiet_libraries
from consumer.settings import EngineSettings

ENGLISH = ["hello", "world", "nba", "a", "ok", "it's"]


def characters(folder: Path) -> list[str]:
    return [token for token in json.loads((folder / "tokens.json").read_text()) if len(token) == 1]


def texts(vocabulary: list[str], count: int, english: float) -> list[list[str]]:
    chance = random.Random(0)
    return [
        [chance.choice(ENGLISH if chance.random() < english else vocabulary) for _ in range(length)]
        for length in (chance.choice([1, 2, 5, 19, 20, 21, 40, 41, 90, 250]) for _ in range(count))
    ]


def written(punctuator: Punctuator, words: list[str]) -> str:
    return "".join(word.text + word.mark for word in punctuator.punctuate(words))


@pytest.mark.parametrize("english", [0.0, 0.1, 0.6])
def test_text_equals_auto_models(
    models: Models, auto_model: Callable[[Path], Any], demo_models: Path, english: float
) -> None:
    assert models.punctuator is not None
    folder = demo_models / "ct-transformer"
    model = auto_model(folder)
    marked = 0
    for words in texts(characters(folder), 130, english):
        expected = model.generate(" ".join(words))[0]["text"].replace(" ", "")
        assert written(models.punctuator, words) == expected
        marked += sum(char in "，。？、,.?" for char in expected)
    assert marked > 200


def test_many_texts_in_lockstep_get_the_marks_they_get_alone(models: Models, demo_models: Path) -> None:
    assert models.punctuator is not None
    several = texts(characters(demo_models / "ct-transformer"), 60, 0.1)
    begun = [models.punctuator.begin(words) for words in several]
    while waiting := [text for _, text in begun if not text.done]:
        models.punctuator.advance(waiting)
    for words, (tokens, text) in zip(several, begun, strict=True):
        assert apply_marks(words, tokens, text.marks) == models.punctuator.punctuate(words)


def test_capitals_in_abbreviations_are_kept(models: Models) -> None:
    assert models.punctuator is not None
    assert written(models.punctuator, ["NBA"]) == "NBA."


def test_no_text_no_marks(models: Models) -> None:
    assert models.punctuator is not None
    assert models.punctuator.punctuate([]) == []


@pytest.fixture(scope="module")
def jieba_folder(demo_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the large model's, which reads words of a dictionary instead of characters; random weights."""
    folder = tmp_path_factory.mktemp("models") / "jieba"
    shutil.copytree(demo_models / "ct-transformer", folder)
    vocabulary = characters(folder)
    pairs = [vocabulary[i] + vocabulary[i + 1] for i in range(5, 200, 2)]
    tokens = [*json.loads((folder / "tokens.json").read_text()), *pairs]
    (folder / "tokens.json").write_text(json.dumps(tokens, ensure_ascii=False))
    (folder / "jieba_usr_dict").write_text("".join(f"{pair} 100000\n" for pair in pairs))
    configuration = json.loads((folder / "configuration.json").read_text())
    configuration["file_path_metas"]["jieba_usr_dict"] = "jieba_usr_dict"
    (folder / "configuration.json").write_text(json.dumps(configuration))
    (folder / "model.pt").unlink()
    with quiet_libraries():
        import torch  # noqa: PLC0415 - slow import
        from funasr import AutoModel  # noqa: PLC0415 - slow import

        model, _ = AutoModel.build_model(model=str(folder), device="cpu", ncpu=torch.get_num_threads(), seed=3)
    model.decoder.bias.data[0] = -1e4  # of <unk>, which FunASR would write out
    torch.save(model.state_dict(), folder / "model.pt")
    return folder


def test_a_model_that_reads_dictionary_words_gives_auto_models_text(
    auto_model: Callable[[Path], Any], jieba_folder: Path, engine_settings: EngineSettings
) -> None:
    punctuator = load_models(engine_settings.model_copy(update={"punctuation": str(jieba_folder)})).punctuator
    assert punctuator is not None
    model = auto_model(jieba_folder)
    vocabulary = characters(jieba_folder)
    pairs = [vocabulary[i : i + 2] for i in range(5, 200, 2)]
    tokens, _ = punctuator.begin([*pairs[0], *pairs[1], "hello"])
    assert tokens == ["".join(pairs[0]), "".join(pairs[1]), "hello"]
    chance = random.Random(0)
    for _ in range(60):
        words = [char for _ in range(chance.randint(1, 60)) for char in chance.choice([*pairs, ["hello"]])]
        expected = model.generate(" ".join(words))[0]["text"].replace(" ", "")
        assert written(punctuator, words) == expected
