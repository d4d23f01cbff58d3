from dataclasses import replace

import pytest

from detectors.taxonomies.catalog import TAXONOMIES
from detectors.taxonomies.openai import OPENAI
from detectors.taxonomies.taxonomy_map import TaxonomyMap
from detectors.taxonomy import CATEGORIES

SIZES = {"openai": 13, "llama_guard": 14, "ailuminate": 16, "azure": 4}

each = pytest.mark.parametrize("taxonomy", TAXONOMIES, ids=lambda t: t.name)


def test_every_taxonomy_of_the_project_is_mapped_whole() -> None:
    assert {t.name: len(t.categories) for t in TAXONOMIES} == SIZES


@each
def test_every_foreign_category_has_a_home_or_a_reason(taxonomy: TaxonomyMap) -> None:
    for name, home in taxonomy.to_policy.items():
        assert home in CATEGORIES if home else taxonomy.notes[name], name


@each
def test_every_policy_category_maps_out_or_says_why_not(taxonomy: TaxonomyMap) -> None:
    for name, theirs in taxonomy.from_policy.items():
        assert set(theirs) <= set(taxonomy.categories)
        assert theirs or taxonomy.notes[name], name


@each
def test_what_is_mapped_in_can_be_mapped_back_out(taxonomy: TaxonomyMap) -> None:
    for name, home in taxonomy.to_policy.items():
        assert home is None or name in taxonomy.from_policy[home], name


@each
def test_a_home_shared_with_a_farther_category_says_what_is_lost(
    taxonomy: TaxonomyMap,
) -> None:
    for ours, theirs in taxonomy.from_policy.items():
        for name in theirs:
            if taxonomy.to_policy[name] != ours:
                assert name in taxonomy.notes, (ours, name)


@each
def test_notes_are_about_categories_that_exist(taxonomy: TaxonomyMap) -> None:
    assert set(taxonomy.notes) <= {*CATEGORIES, *taxonomy.categories}
    assert all(taxonomy.notes.values())


def test_child_abuse_outranks_every_other_category() -> None:
    assert OPENAI.policy_category(["sexual", "sexual/minors"]) == "child_abuse"
    assert OPENAI.policy_category(["violence", "sexual"]) == "hate_harass_violence"
    assert OPENAI.policy_category(["made up"]) == ""


def test_a_map_that_is_not_total_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="to_policy is not total"):
        replace(OPENAI, to_policy={})
    with pytest.raises(ValueError, match="from_policy is not total"):
        replace(OPENAI, from_policy={})
