from __future__ import annotations

import pytest

from gnnkg.evaluation.protocol import Protocol


def test_the_order_of_the_filter_is_no_difference():
    assert Protocol(filter=("test", "valid", "train")) == Protocol()
    assert Protocol().differences(Protocol(filter=("valid", "test", "train"))) == []


def test_differences_are_told_in_words():
    found = Protocol(ties="pessimistic", filter=("train", "valid")).differences(Protocol())
    assert len(found) == 2
    assert "pessimistic against realistic" in found[0]
    assert "train + valid against train + valid + test" in found[1]
    assert "none against train + valid + test" in Protocol(filter=()).differences(Protocol())[0]


@pytest.mark.parametrize(
    "change", [{"ties": "optimistic"}, {"unseen": "dropped"}, {"candidates": "50 drawn"}, {"directions": ("tail",)}]
)
def test_every_choice_counts(change):
    assert Protocol(**change) != Protocol()
    assert len(Protocol(**change).differences(Protocol())) == 1


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="not 'dev'"):
        Protocol(filter=("train", "dev"))


def test_it_is_written_and_read_back():
    protocol = Protocol(ties="optimistic", filter=("train",))
    assert Protocol.from_dict(protocol.to_dict()) == protocol
    with pytest.raises(ValueError, match="exactly the fields"):
        Protocol.from_dict({"ties": "realistic"})
    with pytest.raises(ValueError, match="list of words"):
        Protocol.from_dict(Protocol().to_dict() | {"filter": "train"})


def test_it_reads_as_a_sentence():
    assert str(Protocol()).startswith("filtered by train + valid + test, tail and head asked, among all entities")
    assert str(Protocol(filter=())).startswith("raw")


def test_how_candidates_were_sampled_is_said_where_they_were():
    sampled = Protocol(sampled="50 drawn")
    assert "sampled" not in Protocol().to_dict()
    assert Protocol.from_dict(Protocol().to_dict()) == Protocol()
    assert Protocol.from_dict(sampled.to_dict()) == sampled
    assert str(sampled).endswith("; Hits@10 of 50: 50 drawn")
    assert sampled.differences(Protocol()) == []  # what both have measured can be compared
    assert "50 drawn against 50 others" in sampled.differences(Protocol(sampled="50 others"))[0]
    with pytest.raises(ValueError, match="sampled is a text, not 50"):
        Protocol.from_dict(Protocol().to_dict() | {"sampled": 50})
