"""Stands for gcloud: `dataflow flex-template run` runs the job here, to its end, by the template that it is given.

    python gcloud.py dataflow flex-template run NAME --template-file-gcs-location URL --parameters A=B,C=D ...
    python gcloud.py dataflow jobs describe JOB ...
    python gcloud.py storage cp FILE... gs://BUCKET/FOLDER/

What Dataflow would refuse ends with an error. A job that failed is not an error of the launch, but a state of the job.
"""

import argparse
import contextlib
import json
import re
import sys
from pathlib import Path

import fsspec

from sluice.pipelines.launch.stage import main as entry
from tests.templates.parameters import faults

JOBS = Path("jobs")
MODEL = str(Path(__file__).parents[1] / "data" / "bert")


def launch(name: str, template: str, given: list[str]) -> str:
    """The id of a job. Raises ValueError for what the service refuses."""
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,1022}[a-z0-9])?", name):
        raise ValueError(f"no name of a job: {name}")
    with fsspec.open(template) as file:
        spec = json.load(file)
    values = dict(pair.split("=", 1) for text in given for pair in text.split(","))
    if values.pop("sdk_container_image") != spec["image"]:
        raise ValueError("workers have another image than the launcher")
    if wrong := faults(spec["metadata"]["parameters"], values):
        raise ValueError(f"{template} does not take {', '.join(wrong)}")
    if values["stage"] == "inventory":
        values["model"] = MODEL
    with contextlib.redirect_stdout(sys.stderr):
        code = entry([f"--{key}={value}" for key, value in values.items()])
    JOBS.mkdir(exist_ok=True)
    job = f"job-{len(list(JOBS.iterdir()))}"
    (JOBS / job).write_text("JOB_STATE_FAILED" if code else "JOB_STATE_DONE")
    return job


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="+")
    flags = ("project", "region", "format", "template-file-gcs-location", "staging-location", "temp-location")
    for flag in (*flags, "max-workers"):
        parser.add_argument(f"--{flag}")
    parser.add_argument("--parameters", action="append", default=[])
    args = parser.parse_args()
    if args.words[:3] == ["dataflow", "flex-template", "run"]:
        assert args.project and args.region and args.format == "value(job.id)"
        print(launch(args.words[3], args.template_file_gcs_location, args.parameters))
    elif args.words[:3] == ["dataflow", "jobs", "describe"]:
        assert args.project and args.region and args.format == "value(currentState)"
        print((JOBS / args.words[3]).read_text())
    else:
        assert args.words[:2] == ["storage", "cp"] and args.words[-1].endswith("/"), args.words
        for path in args.words[2:-1]:
            fsspec.filesystem("gs").put_file(path, args.words[-1] + Path(path).name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
