"""The page of a finished run: one HTML file that opens from disk and can be mailed.

sluice report runs/first                  writes runs/first/report.html again
sluice report gs://bucket/runs/first -o first.html
"""

import argparse

from sluice.pipelines.report.html.write import page_url, write_page
from sluice.pipelines.report.report import read_report
from sluice.pipelines.run.finished import read_recipe
from sluice.pipelines.terminal.printing import printable, write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="RUN", help="run directory: a local path or an fsspec URL")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write the page (default: RUN/report.html)")


def run(args: argparse.Namespace) -> int:
    url = args.url.rstrip("/")
    read_recipe(url)
    written = write_page(read_report(url), args.output or page_url(url))
    write(printable(written))
    return 0
