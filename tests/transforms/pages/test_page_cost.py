"""Pages that were built to keep the extractor busy are known by counting; ordinary ones of any size are not."""

import pytest

from sluice.transforms.pages.cost import is_intricate


def attributes(count: int, value: str = "") -> str:
    return " ".join(f"a{number:x}{value}" for number in range(count))


def each(piece: str, count: int) -> str:
    return "".join(piece.format(number) for number in range(count))


@pytest.mark.parametrize(
    "html",
    [
        ("<div>" * 1900 + "words" + "</div>" * 1900) * 10,
        "<div>" * 1900 + "<p>x</p>" * 10_000,
        "<div>" * 1900 + "</p>" * 10_000,
        "<div>" * 1900 + "<!---->" * 20_000,
        "<div>" * 1900 + "x</z>" * 100_000,
        "<div></span>" * 5000,
        "<div><table><tr><td></div>" * 1500,
        "<div><!-- </div> -->" * 5000,
        "<div><script></div></script>" * 5000,
        "<svg><p>" + "<div><script></div></script>" * 5000,
        "<svg><div/>" + "<div/>" * 5000,
        "<b><div></b>" * 3000,
        "<select>" + "<option>x" * 5000,
        "x<br>" * 310_000,
        "<p>" + each("<b a={}>", 1000) + "</p>" + "<p>x</p>" * 1000,
        each("<b a={}><table></b></table>", 900) + "<p>x</p>" * 1000,
        f"<div {attributes(4000)}>t</div>" * 50,
        f"<div {attributes(30_000)}>",
        "<div " + attributes(30_000, '=">"') + ">",
        "<div " + attributes(30_000, "='<'") + ">",
        "<" * 1_000_000,
    ],
    ids=lambda html: html[:40],
)
def test_costly_pages_are_known(html):
    assert is_intricate(html)


@pytest.mark.parametrize(
    "html",
    [
        "",
        "words " * 1_000_000,
        "<p>words</p>" * 100_000,
        "<ul>" + "<li>words" * 100_000 + "</ul>",
        "<div><span>x</span><img src=x><br></div>" * 30_000,
        "<table>" + "<tr><td><font color=red>x" * 20_000 + "</table>",
        "<table>" + "<tr><td><b>x</b></td></tr>" * 20_000 + "</table>",
        "<svg>" + "<path d='M0 0'/>" * 50_000 + "</svg>",
        each("<i class='icon-{}'></i> ", 50_000),
        each("<a href='{}'>link</a> ", 50_000),
        "<p><b>x" * 5000,
        "<script>" + "if (a<b) x = '<div>';" * 50_000 + "</script>",
        "<!--" + "<div>" * 50_000 + "-->",
        "<textarea>" + "<div>" * 50_000,
        f"<div {attributes(300)}>t</div>" * 300,
        "<img src='data:" + "A" * 500_000 + "'>",
    ],
    ids=lambda html: html[:40],
)
def test_large_pages_are_no_costly_ones(html):
    assert not is_intricate(html)
