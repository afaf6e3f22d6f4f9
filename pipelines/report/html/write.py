"""report.html: a report as one file that opens from disk, asks nobody for anything and runs only its own script.

Texts of a corpus are hostile. They reach the page escaped by the template; the page's policy allows no script and no
style but those whose hashes it names, no picture, no connection and no form.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from sluice.pipelines.report.html.view import view
from sluice.transforms import storage
from sluice.transforms.storage import committing

REPORT_PAGE = "report.html"
_ASSETS = resources.files(__package__) / "assets"


def write_page(report: Mapping[str, Any], url: str) -> str:
    """Write the page of a report to a path or URL, whole or not at all; returns the URL. Raises OSError."""
    committing.replace_bytes(url, render_page(report).encode())
    return url


def page_url(run: str) -> str:
    """Where a run's own page is."""
    return storage.join(run, REPORT_PAGE)


def render_page(report: Mapping[str, Any]) -> str:
    """The page of a report, as make_report returns it and report.json holds it."""
    style, script = _asset("page.css"), _asset("page.js")
    shown = view(dict(report))
    curves = [{"step": step["name"], **step["histogram"]} for step in shown["steps"] if step["histogram"]]
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_asset("page.html.j2"))
    return template.render(
        shown,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
        data=Markup(_embedded(curves)),
    )


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """The Content-Security-Policy under which nothing but this style and this script counts."""
    return (
        f"default-src 'none'; script-src 'sha256-{_digest(script)}'; style-src 'sha256-{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _embedded(value: Any) -> str:
    r"""JSON that a page may hold within a script element: no < ends that, and it is ASCII.

    >>> _embedded(["</script>", "\u2028"])
    '["\\u003c/script\\u003e", "\\u2028"]'
    """
    text = json.dumps(value, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
