"""Calls of the flex templates: Beam's flags as gcloud has them, and parameters that the templates take."""

import re
import shlex
from collections.abc import Sequence

from sluice.pipelines.launch.metadata import TEMPLATES, Template
from sluice.pipelines.plan.flags import options_in

# Beam's options as `gcloud dataflow flex-template run` has them.
FLAGS = {
    "region": "--region",
    "project": "--project",
    "staging_location": "--staging-location",
    "temp_location": "--temp-location",
    "service_account_email": "--service-account-email",
    "network": "--network",
    "subnetwork": "--subnetwork",
    "worker_region": "--worker-region",
    "worker_zone": "--worker-zone",
    "dataflow_kms_key": "--dataflow-kms-key",
    "flexrs_goal": "--flexrs-goal",
    "num_workers": "--num-workers",
    "max_num_workers": "--max-workers",
    "machine_type": "--worker-machine-type",
}
PLACEHOLDERS = {"region": "REGION", "staging_location": "gs://BUCKET/staging", "temp_location": "gs://BUCKET/tmp"}
# Beam's options that are parameters of a template.
PARAMETERS = ("sdk_container_image", "embedding_accelerator")
# What may stand between gcloud's parameters (its topic `escaping`).
DELIMITERS = "~|#;@%"


def check_flags(beam_args: Sequence[str]) -> None:
    """Raises ValueError for a flag that gcloud has no way to say."""
    for name, value in options_in(beam_args).items():
        typed = next((arg.split("=")[0] for arg in beam_args if arg.startswith("--") and name in arg), f"--{name}")
        if name == "runner":
            if "dataflow" not in value.lower():
                raise ValueError(f"--runner {value} beside --templates: templates run on Dataflow")
        elif (name != "use_public_ips" or value) and name not in (*FLAGS, "experiments", "sdk_container_image"):
            raise ValueError(f"{typed} beside --templates: gcloud's flex-template run has no such flag")


def call(stage: str, folder: str, flags: Sequence[str], parameters: dict[str, str]) -> str:
    """The call that starts a stage's job and does not wait for it. flags: Beam's, of that stage.

    Raises ValueError for parameters that the template refuses, naming option and value.
    """
    template = next(one for one in TEMPLATES if re.fullmatch(one.stages, stage))
    options = PLACEHOLDERS | options_in(flags)
    values = {"stage": stage} | parameters | {name: options[name] for name in PARAMETERS if name in options}
    _check(template, values)
    words = ["gcloud", "dataflow", "flex-template", "run", f"sluice-{stage.replace('/', '-')}"]
    words.append(f"--template-file-gcs-location={folder.rstrip('/')}/{template.name}.json")
    words += [f"{flag}={options[name]}" for name, flag in FLAGS.items() if name in options]
    if options.get("use_public_ips") is False:
        words.append("--disable-public-ips")
    if experiments := options.get("experiments"):
        words.append(f"--additional-experiments={','.join(experiments)}")
    given = [f"{name}={value}" for name, value in values.items()]
    mark = next(one for one in DELIMITERS + "\x1f" if not any(one in text for text in given))
    words.append(f"--parameters=^{mark}^{mark.join(given)}")
    return shlex.join(words)


def _check(template: Template, values: dict[str, str]) -> None:
    for parameter in template.parameters:
        name, regexes = parameter["name"], parameter.get("regexes", [])
        if name in values and not all(re.fullmatch(regex, values[name]) for regex in regexes):
            flag = name.replace("_", "-")
            raise ValueError(f"--{flag} {values[name]!r} is not what {template.name} takes: {' '.join(regexes)}")
