"""Whether a page was built to keep the extractor busy, by counting before it is parsed.

The extractor takes time for every element by the elements around it, and for every tag by the square of its
attributes: 10,000 paragraphs in 1,000 nested blocks took 0.56 s, ten tags of 4,000 attributes 0.33 s, 400,000 line
breaks 0.97 s. The parser makes formatting elements that were never ended again in every block: 17 KB took 3.2 s.
The bounds let through what takes about a second. Pages of a crawl stay far below, and most need the first counts only.
"""

import re

_ELEMENTS = 300_000  # that the parser makes: 2.5 us each
_FEW = 4000  # elements: nested in any way they take less than a second
_TAGS = 2 * _FEW + 1000
_AROUND = 10_000_000  # elements around an element, summed over all: 0.1 us each
_EACH = 30  # what an element takes besides
_DEEPEST = 2000

# Below 70,000 characters a tag has too few attributes to matter: 20,000 of them take 0.8 s.
_SMALL = 70_000
_SQUARES = 400_000_000  # of attributes in a tag, summed: 2 ns each
_LONG = re.compile(r"<[a-zA-Z][^>]{1700,}")
_QUOTED_END = re.compile(r"=\s*+(?:\"[^\">]*+>|'[^'>]*+>)")
_ENDS = 30
_WHOLE_TAG = re.compile(r"<([a-zA-Z][^\s/>]*+)(?:=\s*+\"[^\"]*+\"|=\s*+'[^']*+'|[^>])*+>?+")
_VALUE = re.compile(r"=\s*+(?:\"[^\"]*+\"|'[^']*+')")
_SEPARATOR = re.compile(r"[\s/]++(?!=)")

# A tag, or a comment (what is no letter begins one, too): its content is no tags.
_TAG = re.compile(r"<(?:(/?)([a-zA-Z][^\s/>]*)([^>]*)|!--(?:-?>|.*?(?:--!?>|\Z))|[!?/])", re.DOTALL)
# What is in these is text, until their own end tag.
_RAW = {
    name: re.compile(rf"</{name}", re.IGNORECASE)
    for name in ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
}
# Elements that hold none, and those that the next of their kind ends.
_FLAT = frozenset(
    [
        *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track"),
        *("wbr", "p", "li", "dt", "dd", "tr", "tbody", "thead", "tfoot", "colgroup"),
    ]
)
_ROWS = frozenset(("tr", "tbody", "thead", "tfoot"))
_CELLS = frozenset(("td", "th", "caption"))
# An end tag inside of these ends nothing outside: https://html.spec.whatwg.org/#has-an-element-in-scope
_SCOPES = frozenset(
    [
        *("table", "object", "applet", "marquee", "template", "svg", "math"),
        *("foreignobject", "desc", "title", "mi", "mo", "mn", "ms", "mtext", "annotation-xml"),
    ]
)
# Drawings end their elements with a slash; elsewhere in HTML a slash ends nothing.
_DRAWING = frozenset(("svg", "math"))
_DRAWINGS = re.compile(r"<(?:svg|math)", re.IGNORECASE)
_DRAWN = frozenset(
    [
        *("path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "use", "stop", "g", "image", "animate"),
        *("mspace", "fegaussianblur", "feoffset", "feblend", "feflood", "fecolormatrix", "fecomposite", "femergenode"),
    ]
)
# HTML that ends a drawing around it.
_BREAKS_OUT = frozenset(
    [
        *("blockquote", "body", "center", "dd", "div", "dl", "dt", "h1", "h2", "h3", "h4", "h5", "h6", "head", "hr"),
        *("img", "br", "embed", "li", "meta", "menu", "ol", "p", "pre", "ruby", "span", "sub", "sup", "table", "ul"),
        *("var", "b", "big", "code", "em", "i", "nobr", "s", "small", "strike", "strong", "tt", "u", "font"),
    ]
)
# Ended by their own end tags alone, and by no block's.
_FORMATTING = frozenset(
    ["b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u", "a"]
)
# Formatting that has attributes, and end tags that make an element (of a paragraph, of a line break), with their slash.
# Classes of both cases instead of a flag: with one, `<` is not searched for first, and it takes three times as long.
_MAKING = re.compile(
    r"<(?:(/)(?:[pP]|[bB][rR])[\s/>]|(?:[bB](?:[iI][gG])?|[cC][oO][dD][eE]|[eE][mM]|[fF][oO][nN][tT]|[iI]"
    r"|[nN][oO][bB][rR]|[tT][tT]|[uU]|[sS](?:[mM][aA][lL][lL]|[tT][rR][iI][kK][eE]|[tT][rR][oO][nN][gG])?)[\s/])"
)
_ALIKE = 3  # the parser makes no more of them again where name and attributes are the same
_PLAIN = _ALIKE * len(_FORMATTING)


def is_intricate(html: str) -> bool:
    """Whether a page would take the extractor longer than about a second. Linear in its length."""
    tags = html.count("<")
    if tags > 2 * _ELEMENTS:
        return True
    if _has_many_attributes(html):
        return True
    if tags * (tags + _PLAIN) <= _ELEMENTS:
        return False
    making = _MAKING.findall(html)
    ends = making.count("/")
    elements = tags - html.count("</") + ends
    if elements > _ELEMENTS:
        return True
    if elements <= _FEW and tags <= _TAGS and elements * (len(making) - ends + _PLAIN) <= _ELEMENTS:
        return False
    return _Shape(elements).is_intricate(html)


def _has_many_attributes(html: str) -> bool:
    if len(html) < _SMALL:
        return False
    # What reaches from a tag's start to the next tag end bounds its attributes, but where many ends are in quotes.
    if sum(_separators(piece.group()) ** 2 for piece in _LONG.finditer(html)) <= _SQUARES // 4:
        if len(html) < 2 * _SMALL:
            return False
        ends = 0
        for _ in _QUOTED_END.finditer(html):
            if (ends := ends + 1) > _ENDS:
                break
        else:
            return False
    # Inside a drawing a script is no script, and who hides tags there draws.
    raw = {} if _DRAWINGS.search(html) else _RAW
    squares = at = 0
    while (tag := _WHOLE_TAG.search(html, at)) is not None:
        at = tag.end()
        if at - tag.start() > _ENDS:
            squares += len(_SEPARATOR.findall(_VALUE.sub(" ", tag.group()))) ** 2
            if squares > _SQUARES:
                return True
        if (name := tag[1].lower()) in raw:
            end = raw[name].search(html, at)
            at = end.end() if end else len(html)
    return False


def _separators(html: str) -> int:
    return sum(map(html.count, " \n\t\r\f/\"'"))


class _Scope:
    """The elements that are open inside one in which end tags reach no further."""

    def __init__(self, name: str):
        self.name = name
        self.blocks: list[str] = []
        self.counts: dict[str, int] = {}
        self.formatting: dict[str, list[str]] = {}


class _Shape:
    """How elements nest, about as the standard's parser has it: in doubt deeper."""

    def __init__(self, elements: int):
        self._elements = elements
        self._scopes = [_Scope("")]
        self._depth = 0
        self._formatting = 0
        self._alike: dict[str, int] = {}

    def is_intricate(self, html: str) -> bool:
        around = at = 0
        while (tag := _TAG.search(html, at)) is not None:
            at = tag.end()
            name = (tag[2] or "").lower()
            if name in _BREAKS_OUT:
                while self._scopes[-1].name in _DRAWING:
                    self._leave()
            if name in _FLAT or not name:
                if name in _ROWS and self._scopes[-1].name in _CELLS:
                    self._leave()
            elif tag[1]:
                self._end(name)
            elif name in _RAW and self._scopes[-1].name not in _DRAWING:
                end = _RAW[name].search(html, at)
                at = end.end() if end else len(html)
            else:
                self._start(name, tag[3])
            around += self._depth + _EACH
            if around > _AROUND or self._depth > _DEEPEST or self._elements * self._formatting > _ELEMENTS:
                return True
        return False

    def _start(self, name: str, attributes: str) -> None:
        top = self._scopes[-1]
        if name in _FORMATTING:
            self._start_formatting(top, name, attributes)
        elif name in _CELLS:
            if top.name in _CELLS:
                self._leave()
            if self._scopes[-1].name == "table":
                self._enter(name)
        elif name in _SCOPES:
            self._enter(name)
        elif top.name in _DRAWING and name in _DRAWN and attributes.endswith("/"):
            return
        else:
            top.blocks.append(name)
            top.counts[name] = top.counts.get(name, 0) + 1
            self._depth += 1

    def _start_formatting(self, top: _Scope, name: str, attributes: str) -> None:
        if name == "a" and top.formatting.get(name):
            return
        alike = name + attributes
        if self._alike.get(alike, 0) >= _ALIKE:
            return
        self._alike[alike] = self._alike.get(alike, 0) + 1
        top.formatting.setdefault(name, []).append(alike)
        self._formatting += 1
        self._depth += 1

    def _end(self, name: str) -> None:
        top = self._scopes[-1]
        if name in _FORMATTING:
            if top.formatting.get(name):
                self._alike[top.formatting[name].pop()] -= 1
                self._formatting -= 1
                self._depth -= 1
        elif name == "table":
            while len(self._scopes) > 2 and self._scopes[-1].name in _CELLS:
                self._leave()
            if self._scopes[-1].name == name:
                self._leave()
        elif name in _SCOPES or name in _CELLS:
            if top.name == name:
                self._leave()
        elif top.counts.get(name):
            while (ended := top.blocks.pop()) != name:
                top.counts[ended] -= 1
                self._depth -= 1
            top.counts[name] -= 1
            self._depth -= 1

    def _enter(self, name: str) -> None:
        self._scopes.append(_Scope(name))
        self._depth += 1

    def _leave(self) -> None:
        """Ends a scope; formatting that was not ended in it goes on around it."""
        left, top = self._scopes.pop(), self._scopes[-1]
        self._depth -= len(left.blocks) + 1
        for name, alike in left.formatting.items():
            top.formatting.setdefault(name, []).extend(alike)
