"""The language of regions: what it means, and that it refuses everything else where it stands."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiftyone_saliency.core.errors import ArgumentError, SaliencyError, UnknownNameError
from fiftyone_saliency.core.region_spec import (
    Border,
    Combined,
    Complement,
    Grow,
    Instances,
    Labelled,
    Named,
    Part,
    RegionSpec,
    Rest,
    plain_regions,
)
from fiftyone_saliency.core.region_text import MAX_LENGTH, parse_lines, parse_regions

PERSON = Labelled("people", "person")


def read(text, **earlier):
    return parse_regions({**earlier, "it": text}).regions["it"]


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("people", Labelled("people")),
        ("people.person", PERSON),
        ("people['two words']", Labelled("people", "two words")),
        ('people["per.son"]', Labelled("people", "per.son")),
        ("masks[7]", Labelled("masks", "7")),
        (" rest ", Rest()),
        ("border(0.1)", Border(0.1)),
        ("top(people.person, 0.3)", Part(PERSON, "top", 0.3)),
        ("left(bottom(people.person, .5), 1)", Part(Part(PERSON, "bottom", 0.5), "left", 1.0)),
        ("grow(people.person | border(0.1), 0.05)", Grow(Combined("|", PERSON, Border(0.1)), 0.05)),
        ("instances(people.person)", Instances(PERSON)),
        ("~rest", Complement(Rest())),
    ],
)
def test_each_form_has_its_meaning(text, expression):
    assert read(text) == expression


def test_difference_binds_before_intersection_and_that_before_union_as_in_python():
    a, b, c, d = (Labelled(name) for name in "abcd")
    assert read("a | b & c - d") == Combined("|", a, Combined("&", b, Combined("-", c, d)))
    assert read("(a | b) - c - d") == Combined("-", Combined("-", Combined("|", a, b), c), d)
    assert read("~a - b") == Combined("-", Complement(a), b)


def test_a_region_may_be_used_after_it_is_defined_and_stands_before_a_field_of_its_name():
    assert read("people.person - head", head="top(people.person, 0.3)") == Combined("-", PERSON, Named("head"))


def test_a_region_that_only_renames_labels_has_their_boxes():
    assert read("top(person, 0.3)", person="people.person") == Part(PERSON, "top", 0.3)
    assert read("instances(who)", person="people.person", who="person") == Instances(PERSON)
    with pytest.raises(ArgumentError, match=r"Expected top\(...\) to take labels, such as people.person in"):
        read("top(both, 0.3)", both="people | dogs")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("top(people.person", r"an expression in region 'it', but got 'top\(people.person', which cannot be read"),
        ("", "an expression in region 'it', but got '', which cannot be read"),
        ("a\0b", "cannot be read"),
        ("(" * 250 + "a" + ")" * 249, "cannot be read"),
        ("a" * (MAX_LENGTH + 1), f"text of at most {MAX_LENGTH} characters in region 'it'"),
        (3, f"text of at most {MAX_LENGTH} characters in region 'it', but got 3"),
        ("a + b", r"or \| & - ~ of those in region 'it', but got 'a \+ b'"),
        ("a and b", "but got 'a and b'"),
        ("a.b.c", "but got 'a.b.c'"),
        ("'text'", "but got \"'text'\""),
        ("0.3", "but got '0.3'"),
        ("[x for x in y]", "but got"),
        ("lambda: 0", "but got 'lambda: 0'"),
        ("people[name]", r"but got 'people\[name\]'"),
        ("__import__('os').system('true')", "but got"),
        ("top(people.person, share=0.3)", "but got"),
        ("top(*people)", r"Expected top\(region, share\) in region 'it', but got 'top\(\*people\)'"),
        ("top(people.person)", r"Expected top\(region, share\) in region 'it', but got 'top\(people.person\)'"),
        ("border()", r"Expected border\(share\) in region 'it'"),
        ("top(people.person, 30)", r"the share of top\(region, share\) above 0 and up to 1 in region 'it', but got 30"),
        ("top(people.person, 0)", "above 0 and up to 1 in region 'it', but got 0"),
        ("top(people.person, -0.3)", "but got -0.3"),
        ("top(people.person, True)", "but got True"),
        ("top(people.person, 1e999)", "above 0 and up to 1"),
        ("grow(people, 'much')", "but got 'much'"),
        ("border(0.6)", "above 0 and up to 0.5 in region 'it', but got 0.6"),
        ("top(border(0.1), 0.3)", "to take labels, such as people.person"),
        ("instances(top(people, 1))", r"Expected instances\(...\) to take labels"),
        ("it", "only regions that stand before it in region 'it', but got 'it'. Change the order."),
    ],
)
def test_what_is_no_region_is_refused_and_never_executed(text, message):
    with pytest.raises(ArgumentError, match=message):
        read(text)


def test_a_region_that_comes_later_is_named():
    with pytest.raises(ArgumentError, match=r"before it in region 'body', but got 'head'. Change the order"):
        parse_regions({"body": "people.person - head", "head": "top(people.person, 0.3)"})


def test_an_unknown_function_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"known function, but got 'botom'. Did you mean `bottom`.*region 'it'"):
        read("botom(people.person, 0.3)")


@pytest.mark.parametrize("name", ["", " head", "a.b", "$a", "a=b", "a\nb", "rest", "top", None, 3])
def test_a_name_that_the_database_or_the_language_cannot_take_is_refused(name):
    with pytest.raises(ArgumentError, match="Expected the name of a region, but got"):
        parse_regions({name: "people"})


@pytest.mark.parametrize("regions", [{}, None, "head", ["head"]])
def test_regions_are_a_mapping_with_something_in_it(regions):
    with pytest.raises(ArgumentError, match="Expected `regions` to name at least one region"):
        parse_regions(regions)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_one_voice(text):
    refusal = "Expected "
    try:
        read(text)
    except SaliencyError as error:
        refusal = str(error)
    assert refusal.startswith("Expected ")


def test_a_specification_tells_what_it_needs():
    spec = parse_regions(
        {
            "head": "top(people.person, 0.3)",
            "masked": "instances(dogs.dog)",
            "ground": "rest",
            "near": "grow(ground, 0.1)",
        }
    )
    assert spec.labels == {PERSON, Labelled("dogs", "dog")}
    assert spec.leaves == {Part(PERSON, "top", 0.3), Instances(Labelled("dogs", "dog"))}
    assert spec.late == {"ground", "near"}, "what uses the rest through another region is left out of the rest too"
    assert spec.grows
    assert not parse_regions({"head": "people"}).grows


def test_the_regions_of_a_field_are_its_labels_and_the_background():
    assert plain_regions("f", ["b", "a"]) == RegionSpec(
        {"a": Labelled("f", "a"), "b": Labelled("f", "b"), "background": Rest()}
    )
    assert plain_regions("f", ["background"]).regions == {
        "background": Combined("|", Labelled("f", "background"), Rest())
    }


def test_lines_are_names_and_expressions():
    text = "\n head = top(people.person, 0.3)\n\nground=rest  \n"
    assert parse_lines(text) == {"head": "top(people.person, 0.3)", "ground": "rest"}
    assert list(parse_regions(json.loads(json.dumps(parse_lines(text)))).regions) == ["head", "ground"]


@pytest.mark.parametrize("line", ["head", "= rest", "head ="])
def test_a_line_without_name_or_expression_is_refused(line):
    with pytest.raises(ArgumentError, match="Expected a line like"):
        parse_lines(f"ground = rest\n{line}")


def test_a_region_that_stands_twice_is_refused():
    with pytest.raises(ArgumentError, match="Expected each region once, but got 'head' twice"):
        parse_lines("head = a\nhead = b")
