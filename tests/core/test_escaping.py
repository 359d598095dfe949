"""Other people's words: Markdown and Plotly must show them, and do nothing with them."""

from __future__ import annotations

import pytest

from fiftyone_saliency.core.escaping import code, code_block, markdown, plotly


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("![t](x)", r"\!\[t\]\(x\)"),
        ("<b>", r"\<b\>"),
        ("a_b *c* `d` | ~e~ #f", r"a\_b \*c\* \`d\` \| \~e\~ \#f"),
        ("1. one\n\n- two\n    three", r"1\. one \- two three"),
        ("&lt; \\n", r"\&lt\; \\n"),
        ("cake", "cake"),
        (7, "7"),
    ],
)
def test_markdown_shows_every_sign(text, escaped):
    assert markdown(text) == escaped


def test_bare_addresses_stay_text():
    joiner = "\u2060"
    assert markdown("HTTP://x www.x a@b") == rf"HTTP\:{joiner}\/\/x www{joiner}\.x a\@{joiner}b"


def test_code_holds_backticks_and_stays_in_its_cell():
    assert code("a`b``c") == "``` a`b``c ```"
    assert code("a|b") == r"`a\|b`"
    assert code("") == ""


def test_code_block_keeps_its_columns():
    assert code_block("a  b\n```\nc") == "    a  b\n    ```\n    c"


def test_plotly_shows_tags_and_entities():
    assert plotly('<a href="x">&lt;</a>') == '&lt;a href="x"&gt;&amp;lt;&lt;/a&gt;'
