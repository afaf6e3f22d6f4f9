"""The experiment behind the step `scip`: does a model put corrupted code into small clusters and far from centroids?

    python -m benchmarks.scip                                  # 300 files of the installed packages, two minutes
    python -m benchmarks.scip --input src --model MODEL --files 500
    python -m benchmarks.scip --files 40                       # a check that everything runs

Python files are read and parsed, never run. Half of them make the clusters; the other half is corrupted in several
ways and placed among those clusters, clean and corrupted, so that neither had a part in making them. Then a fifth of
all files is replaced by corrupted versions, and what SCIP prunes is compared with chance.
"""

import argparse
import json
from typing import Any

from benchmarks.scip.experiment import experiment
from benchmarks.scip.page import page

# Characters that a token of code stands for, at the least: corruptions lie in what the model sees.
CHARACTERS_PER_TOKEN = 3


def embedder(model: str | None, max_tokens: int) -> Any:
    from sluice.models.checkpoints.default import default_model_dir
    from sluice.models.embedders.describe import default_cache
    from sluice.models.embedders.load import EmbedderConfig, load

    return load(EmbedderConfig(model or default_model_dir(), max_tokens, cache=default_cache())).embed


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", metavar="DIR", help="a folder of Python files (default: the installed packages)")
    parser.add_argument("--files", type=int, default=300, metavar="N", help="take N files (default: 300)")
    parser.add_argument("--model", metavar="DIR", help="a model directory (default: the installed all-MiniLM-L6-v2)")
    parser.add_argument("--max-tokens", type=int, default=256, help="that the model sees of a file (default: 256)")
    parser.add_argument("--clusters", type=int, metavar="K", help="default: the square root of the files, at most 100")
    parser.add_argument(
        "--share", type=float, default=0.3, help="of the places of one kind in what is seen: so many change (0.3)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of which places and files (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if options.files < 20:
        parser.error(f"--files must be at least 20, not {options.files}")
    if not 0 < options.share <= 1:
        parser.error(f"--share is above 0 and at most 1, not {options.share}")
    result = experiment(
        files=options.files,
        folder=options.input,
        embed=embedder(options.model, options.max_tokens),
        window=CHARACTERS_PER_TOKEN * options.max_tokens,
        clusters=options.clusters,
        share=options.share,
        seed=options.seed,
    )
    print(json.dumps(result) if options.json else page(result))


if __name__ == "__main__":
    main()
