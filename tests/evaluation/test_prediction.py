from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import pandas
import pytest
import torch
from rich.console import Console

from gnnkg.data.names import UnknownName
from gnnkg.evaluation import prediction
from gnnkg.evaluation.prediction import predict
from tests.evaluation.toys import given


@pytest.fixture
def labelled(dataset):
    labels = tuple(f"Entity {chr(65 + i)}" for i in range(13))
    return replace(dataset, entity_labels=labels, relation_labels=("likes", "knows", "owns"))


@pytest.fixture
def scores():
    return torch.randn(13, 6, 13)


def test_tails_are_ordered_by_score_and_known_facts_are_marked(labelled, scores):
    for h, r, t in labelled.facts().tolist():
        answers = predict(given(scores), labelled, head=f"e{h}", relation=labelled.relation_labels[r], top=13)
        assert [answer.rank for answer in answers] == list(range(1, 14))
        assert [answer.score for answer in answers] == sorted(scores[h, r].tolist(), reverse=True)
        (found,) = [answer for answer in answers if answer.identifier == f"e{t}"]
        splits = [s for s in ("train", "valid", "test") if [h, r, t] in labelled.facts(s).tolist()]
        assert [found.known] == splits
        assert found.label == labelled.entity_labels[t]
        known = {a.identifier for a in answers if a.known}
        assert known == {f"e{x}" for head, rel, x in labelled.facts().tolist() if (head, rel) == (h, r)}


def test_heads_are_asked_through_the_inverse_relation(labelled, scores):
    h, r, t = labelled.test[0].tolist()
    answers = predict(given(scores), labelled, tail=labelled.entity_labels[t], relation=f"r{r}", top=13)
    assert [answer.score for answer in answers] == sorted(scores[t, r + 3].tolist(), reverse=True)
    assert [answer.known for answer in answers if answer.identifier == f"e{h}"] == ["test"]


def test_novel_answers_leave_out_what_any_split_knows(labelled, scores):
    h, r, _ = labelled.test[0].tolist()
    everything = predict(given(scores), labelled, head=f"e{h}", relation=f"r{r}", top=13)
    novel = predict(given(scores), labelled, head=f"e{h}", relation=f"r{r}", top=13, novel=True)
    assert [a.identifier for a in novel] == [a.identifier for a in everything if a.known is None]
    assert [a.rank for a in novel] == list(range(1, len(novel) + 1))
    assert len(novel) < 13
    few = predict(given(scores), labelled, head=f"e{h}", relation=f"r{r}", top=3, novel=True)
    assert few == novel[:3]


def test_a_fact_of_two_splits_is_marked_with_the_first(labelled, scores):
    h, r, t = labelled.graph.facts[0].tolist()
    leaking = replace(labelled, test=torch.tensor([[h, r, t]]))
    answers = predict(given(scores), leaking, head=f"e{h}", relation=f"r{r}", top=13)
    assert [answer.known for answer in answers if answer.identifier == f"e{t}"] == ["train"]


def test_equal_scores_keep_the_order_of_ids_and_nan_comes_last(labelled):
    scores = torch.zeros(13, 6, 13)
    scores[:, :, 0] = math.nan
    answers = predict(given(scores), labelled, head="e1", relation="r0", top=13)
    assert [answer.identifier for answer in answers] == [f"e{i}" for i in (*range(1, 13), 0)]


def test_unknown_names_are_refused_with_suggestions(labelled, scores):
    with pytest.raises(UnknownName, match="Entity M"):
        predict(given(scores), labelled, head="Entity MM", relation="likes")
    with pytest.raises(UnknownName, match="likes"):
        predict(given(scores), labelled, head="e1", relation="like")


def test_one_end_of_the_fact_must_be_given(labelled, scores):
    for ends in ({}, {"head": "e1", "tail": "e2"}):
        with pytest.raises(ValueError, match="one of the two"):
            predict(given(scores), labelled, relation="likes", **ends)
    with pytest.raises(ValueError, match="at least 1"):
        predict(given(scores), labelled, head="e1", relation="likes", top=0)


def test_answers_are_written_as_csv_json_lines_and_a_table(labelled, scores):
    h, r, _ = labelled.test[0].tolist()
    answers = predict(given(scores), labelled, head=f"e{h}", relation=f"r{r}", top=13)
    columns = ["rank", "label", "identifier", "score", "known"]
    table = pandas.read_csv(io.StringIO(prediction.csv(answers)))
    assert list(table.columns) == list(prediction.frame(answers).columns) == columns
    assert list(table.label) == [answer.label for answer in answers]
    lines = [json.loads(line) for line in prediction.json_lines(answers).splitlines()]
    assert [line["score"] for line in lines] == [answer.score for answer in answers]
    assert {line["known"] for line in lines} >= {None, "test"}
    console = Console(file=io.StringIO(), width=80)
    console.print(prediction.table(answers, "Who?"))
    text = console.file.getvalue()
    assert "Who?" in text
    assert all(answer.label in text for answer in answers)
    assert list(prediction.frame([]).columns) == columns


def test_markup_in_a_label_is_text(labelled, scores):
    odd = replace(labelled, entity_labels=("[red]x[/red]", *labelled.entity_labels[1:]))
    console = Console(file=io.StringIO(), width=80)
    console.print(prediction.table(predict(given(scores), odd, head="e1", relation="r0", top=13)))
    assert "[red]x[/red]" in console.file.getvalue()
