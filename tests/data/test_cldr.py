from __future__ import annotations

import json
import os
import subprocess
import sys

import babel.core
import pytest
import torch

from gnnkg.data.cldr import facts as cldr_facts
from gnnkg.data.cldr import load_cldr, questions
from gnnkg.data.cldr.features import COLUMNS
from gnnkg.data.dataset import Dataset


@pytest.fixture(scope="module")
def cldr() -> Dataset:
    return load_cldr()


def stated(dataset: Dataset, *splits: str) -> set[tuple[str, str, str]]:
    entities, relations = dataset.entities, dataset.relations
    return {(entities[h], relations[r], entities[t]) for h, r, t in dataset.facts(*splits).tolist()}


def test_size(cldr):
    assert 6_000 < len(cldr.facts("train", "valid", "test")) < 8_000
    assert 1_500 < len(cldr.entities) < 2_000
    assert len(cldr.relations) == len(cldr_facts.RELATIONS)
    assert {entity.split(":")[0] for entity in cldr.entities} >= {"territory", "language", "currency", "script", "zone"}
    for split in (cldr.valid, cldr.test):
        assert len(split) == pytest.approx(0.08 * len(cldr.facts("train", "valid", "test")), abs=1)


def test_more_or_fewer_languages():
    sizes = [len(stated(load_cldr(languages))) for languages in (100, "named", "spoken", "all")]
    assert sizes == sorted(sizes)
    assert 4_500 < sizes[0] < 5_500
    assert 18_000 < sizes[3] < 22_000
    assert sum(entity.startswith("language:") for entity in load_cldr(20).entities) == 20


@pytest.mark.parametrize("languages", ["german", -1, True])
def test_languages_that_cannot_be(languages):
    with pytest.raises(ValueError, match="'named', 'spoken', 'all' or a number"):
        load_cldr(languages)


def test_facts_that_people_know(cldr):
    assert stated(cldr, "train", "valid", "test") >= {
        ("territory:CH", "uses_currency", "currency:CHF"),
        ("territory:CH", "official_language", "language:fr"),
        ("territory:CH", "regional_language", "language:rm"),
        ("territory:CH", "has_time_zone", "zone:Europe/Zurich"),
        ("territory:CH", "has_unit_of_account", "currency:CHW"),
        ("territory:CH", "week_begins_on", "weekday:0"),
        ("territory:US", "week_begins_on", "weekday:6"),
        ("territory:US", "writes_dates", "dates:mdy"),
        ("territory:US", "reads_clock", "clock:12"),
        ("territory:AO", "week_begins_on", "weekday:0"),
        ("territory:DE", "used_currency", "currency:DEM"),
        ("currency:DEM", "replaced_by", "currency:EUR"),
        ("currency:TRL", "replaced_by", "currency:TRY"),
        ("language:el", "main_script", "script:Grek"),
        ("language:sr", "also_written_in", "script:Latn"),
        ("language:ja", "main_territory", "territory:JP"),
        ("language:ar", "text_direction", "direction:right-to-left"),
        ("language:hi", "native_digits", "digits:deva"),
        ("zone:Europe/Zurich", "zone_area", "area:Europe"),
        ("zone:Europe/Zurich", "zone_time", "time:Europe_Central"),
    }


def test_a_language_has_one_status_in_a_territory(cldr):
    statuses = set(cldr_facts.STATUS.values())
    pairs = [(head, tail) for head, relation, tail in stated(cldr) if relation in statuses]
    assert len(pairs) == len(set(pairs))
    # Hindi is official in India; CLDR lists it in Latin script too, without a status
    assert ("territory:IN", "official_language", "language:hi") in stated(cldr)


def test_no_week_is_taken_from_another_territory(cldr):
    # babel lets pt_ST, the only locale of this territory, inherit Portugal's week
    assert ("territory:ST", "reads_clock", "clock:24") in stated(cldr)
    assert not [fact for fact in stated(cldr) if fact[:2] == ("territory:ST", "week_begins_on")]


def test_nothing_unknown_is_an_entity(cldr):
    codes = {entity.split(":", 1)[1] for entity in cldr.entities} | {
        entity.split(":", 1)[1] for entity in load_cldr("all").entities
    }
    assert not codes & {"ZZ", "XA", "XB", "XXX", "und", "Zzzz", ""}


def test_no_split_leaks(cldr):
    pairs = []
    for split in ("train", "valid", "test"):
        facts = cldr.facts(split)
        assert len(facts) == len(torch.unique(facts, dim=0))
        pairs.append({frozenset((h, t)) for h, _, t in facts.tolist()})
    assert sum(map(len, pairs)) == len(set().union(*pairs))


def test_all_that_is_held_out_occurs_in_train(cldr):
    held_out = cldr.facts("valid", "test")
    assert cldr.graph.seen.all()
    assert set(held_out[:, 1].tolist()) <= set(cldr.graph.facts[:, 1].tolist())


def test_no_relation_is_the_inverse_or_the_copy_of_another(cldr):
    pairs: dict[str, set[tuple[str, str]]] = {}
    for head, relation, tail in stated(cldr):
        pairs.setdefault(relation, set()).add((head, tail))
    for one, of_one in pairs.items():
        backwards = {(tail, head) for head, tail in of_one}
        for other, of_other in pairs.items():
            smaller = min(len(of_one), len(of_other))
            assert len(backwards & of_other) < 0.8 * smaller, (one, other)
            assert one == other or len(of_one & of_other) < 0.8 * smaller, (one, other)


@pytest.mark.parametrize(
    ("locale", "switzerland", "german", "zone", "monday"),
    [
        ("en", "Switzerland", "German", "Zurich", "Monday"),
        ("de", "Schweiz", "Deutsch", "Zürich", "Montag"),
        ("pt-BR", "Suíça", "alemão", "Zurique", "segunda-feira"),
        ("ja", "スイス", "ドイツ語", "チューリッヒ", "月曜日"),
        ("ar", "سويسرا", "الألمانية", "زيورخ", "الاثنين"),
    ],
)
def test_labels(cldr, locale, switzerland, german, zone, monday):
    labelled = load_cldr(locale=locale)
    assert (labelled.entities, labelled.data_hash) == (cldr.entities, cldr.data_hash)
    labels = dict(zip(labelled.entities, labelled.entity_labels, strict=True))
    found = [labels[name] for name in ("territory:CH", "language:de", "zone:Europe/Zurich", "weekday:0")]
    assert found == [switzerland, german, zone, monday]
    assert len(set(labelled.entity_labels)) == len(labelled.entities)


def test_labels_fall_back_on_english_and_then_on_the_code():
    labels = dict(zip((sparse := load_cldr("spoken", locale="rw")).entities, sparse.entity_labels, strict=True))
    assert labels["language:gsw"] == "Swiss German"
    assert labels["language:abr"] == "abr"


def test_equal_names_are_told_apart(cldr):
    assert cldr.entities[cldr.entity_id("Arabic")] == "language:ar"
    assert cldr.entities[cldr.entity_id("Arabic (script)")] == "script:Arab"
    assert cldr.entities[cldr.entity_id("Luxembourg")] == "territory:LU"
    assert cldr.entities[cldr.entity_id("Luxembourg (time zone)")] == "zone:Europe/Luxembourg"


def test_an_unknown_locale_is_refused():
    with pytest.raises(ValueError, match="CLDR has no locale 'tlh'"):
        load_cldr(locale="tlh")


def test_relations_are_labelled_in_words(cldr):
    assert cldr.relation_labels[cldr.relations.index("uses_currency")] == "uses currency"
    assert len(set(cldr.relation_labels)) == len(cldr.relations)


def test_numbers_and_their_mask(cldr):
    feature = cldr.features["numeric"]
    assert feature.names == COLUMNS
    assert not feature.values[~feature.present].any()
    kinds = [entity.split(":")[0] for entity in cldr.entities]
    for column, name in enumerate(COLUMNS):
        assert {kinds[row] for row in feature.present[:, column].nonzero().flatten()} == {name.split(".")[0]}

    def number(entity: str, column: str) -> float | None:
        row = cldr.entities.index(entity)
        at = COLUMNS.index(column)
        return feature.values[row, at].item() if feature.present[row, at] else None

    assert number("currency:JPY", "currency.digits") == 0.0
    assert number("currency:CHF", "currency.cash_rounding") == 5.0
    assert number("currency:DEM", "currency.last_year") == 2002.0
    assert number("currency:CHF", "currency.last_year") is None
    assert number("territory:CH", "territory.days_in_first_week") == 4.0
    assert 0.5 < (number("territory:CH", "territory.largest_language_share") or 0) < 1
    assert (number("language:en", "language.sum_of_shares") or 0) > 20


def test_questions_are_held_out_facts_of_different_relations(cldr):
    held_out = {(head, relation) for head, relation, _ in stated(cldr, "test")}
    for seed in range(5):
        asked = questions(cldr, 5, seed)
        assert asked == questions(cldr, 5, seed)
        assert asked[0][0] == "territory:CH"
        assert len({head for head, _ in asked}) == len({relation for _, relation in asked}) == 5
        assert set(asked[1:]) <= held_out
        assert asked[0] in held_out | {("territory:CH", "uses_currency")}
    assert len({tuple(questions(cldr, 5, seed)) for seed in range(5)}) > 1


def test_questions_where_little_is_held_out():
    nothing = load_cldr(20, shares=(1.0, 0.0, 0.0))
    assert questions(nothing) == [("territory:CH", "uses_currency")]
    assert questions(nothing, 0) == []
    assert len(questions(load_cldr(20), 60)) == 60


PRINT = """
import json
from gnnkg.data.cldr import load_cldr, questions
dataset = load_cldr()
values = dataset.features["numeric"].values.tolist()
print(json.dumps([dataset.facts().tolist(), dataset.entities, dataset.entity_labels, values, questions(dataset)]))
"""


def test_the_same_in_a_process_with_other_hashes(cldr):
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    done = subprocess.run([sys.executable, "-c", PRINT], env=environment, capture_output=True, text=True, check=True)
    values = cldr.features["numeric"].values.tolist()
    here = [cldr.facts().tolist(), cldr.entities, cldr.entity_labels, values, questions(cldr)]
    assert json.loads(done.stdout) == json.loads(json.dumps(here))


def test_the_order_of_babels_tables_does_not_matter(cldr, monkeypatch):
    def backwards(value):
        return {key: backwards(value[key]) for key in reversed(value)} if isinstance(value, dict) else value

    names = cldr_facts.locale_identifiers()
    monkeypatch.setattr(cldr_facts, "get_global", lambda key: backwards(babel.core.get_global(key)))
    monkeypatch.setattr(cldr_facts, "locale_identifiers", lambda: names[::-1])
    assert torch.equal(load_cldr().facts("train", "valid", "test"), cldr.facts("train", "valid", "test"))


def test_seeds_differ(cldr):
    other = load_cldr(seed=1)
    assert other.data_hash != cldr.data_hash
    assert stated(other) == stated(cldr)
