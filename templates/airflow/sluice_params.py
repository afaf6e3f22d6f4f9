"""The parameters of Sluice's DAGs, and what a stage is told of them."""

from collections.abc import Callable
from typing import Any

from airflow.sdk import Param
from sluice_common import setting

Arguments = Callable[[Any], dict[str, str]]

# What has a parameter of its own comes first, the rest goes into `options`.
OPTIONS = ("id", "text", "vector", "tokens", "model", "keep", "keep_tokens", "threshold")
MORE_OPTIONS = (
    *("format", "source", "max_document_bytes", "max_reject_share", "unreadable", "unit_bytes"),
    *("max_tokens", "long_documents", "pooling", "dtype", "prompt", "prompt_name", "convention", "dimensions"),
    *("layers", "eps", "clusters", "trainer_bytes", "centroids", "order", "rule", "direction", "scope"),
    *("assignment", "seed"),
)
ANYWHERE = r"(/|[a-z][a-z0-9+.-]*://)[^,]*[^,/]"
ON_GCS = r"gs://[a-z0-9][a-z0-9._-]+/[^,]*[^,/]"


def optional(kind: str, description: str, default: Any = None, **rules: Any) -> Param:
    return Param(default, type=["null", kind], description=description, **rules)


def input_param(place: str) -> Param:
    return Param(
        type="string",
        pattern=f"^{place}(,{place})*$",
        description="files, folders or globs, separated by commas: absolute paths or URLs",
    )


def curation_params(place: str) -> dict[str, Param]:
    """The parameters of a curation whose input and run are at such places."""
    return {
        "input": input_param(place),
        "run": Param(type="string", pattern=f"^{place}$", description="run directory: a new one, or one to go on with"),
        **field_params(),
        "keep": optional("number", "share of the valid documents to keep", exclusiveMinimum=0, maximum=1),
        "keep_tokens": optional(
            "string", "tokens to keep at most, as 10B or 250M", pattern=r"^\d+(\.\d+)?\s*[KMBTkmbt]?$"
        ),
        "threshold": optional("number", "semdedup: more similar documents go", minimum=-1, maximum=1),
    }


def field_params() -> dict[str, Param]:
    """How records are read and embedded."""
    return {
        "id": optional("string", "field of the identity", minLength=1),
        "text": optional("string", "field of the text (default: text)", pattern="^(?!none$).+$"),
        "vector": optional("string", "field of ready-made embeddings; no model is run", minLength=1),
        "tokens": optional("string", "how tokens are counted: model, none, column:NAME or a tokenizer.json"),
        "model": optional("string", "Hugging Face model: a directory, a URL of one, or organisation/name", minLength=1),
        "options": Param(
            {},
            type="object",
            propertyNames={"enum": list(MORE_OPTIONS)},
            additionalProperties={"type": "string"},
            description="further options of `sluice curate`, in snake_case, values as strings",
        ),
    }


def beam_params() -> dict[str, Param]:
    return {
        "runner": Param(
            "FnApiRunner",
            enum=["FnApiRunner", "DirectRunner", "FlinkRunner", "PortableRunner", "PrismRunner"],
            description="Beam's runner; DirectRunner tries to download Prism first, and without it is FnApiRunner",
        ),
        "beam_options": Param(
            {},
            type="object",
            propertyNames={"pattern": "^[a-z][a-z0-9_]*$"},
            additionalProperties={"type": ["string", "number", "boolean"]},
            description='options of the runner, as {"flink_master": "host:8081", "parallelism": 8}',
        ),
    }


def dataflow_params() -> dict[str, Param]:
    machine = r"^[a-z][a-z0-9]*-[a-z0-9-]+$"
    return {
        "project": given("string", "project", "Google Cloud project", pattern="^[a-z][a-z0-9.:-]{4,}[a-z0-9]$"),
        "region": given("string", "region", "of the jobs", pattern=r"^[a-z]+-[a-z]+\d+$"),
        "templates": given("string", "templates", "folder with the templates' files", pattern=f"^{ON_GCS}$"),
        "accelerator_templates": optional(
            "string",
            "the same for embedding_accelerator, from an image with its libraries (default: templates with -gpu)",
            setting("accelerator_templates"),
            pattern=f"^{ON_GCS}$",
        ),
        "temp_location": given("string", "temp_location", "folder for temporary files", pattern=f"^{ON_GCS}$"),
        "service_account": optional("string", "of the workers", setting("service_account"), pattern="^[^@]+@[^@]+$"),
        "subnetwork": optional(
            "string", "regions/REGION/subnetworks/NAME; workers then have no public address", setting("subnetwork")
        ),
        "max_workers": Param(100, type="integer", minimum=1, maximum=4000, description="of documents and corpus"),
        "machine_type": Param("n2-standard-4", type="string", pattern=machine),
        "embeddings_machine_type": Param("c3-standard-8", type="string", pattern=machine),
        "centroids_machine_type": Param("n2-highmem-16", type="string", pattern=machine),
        "clusters_machine_type": Param("c3-standard-8", type="string", pattern=machine),
        "embedding_accelerator": optional(
            "string",
            "as type:nvidia-l4;count:1;install-nvidia-driver, with a machine type that takes it",
            pattern=r"^type:[\w-]+(;[\w-]+(:[\w.-]+)?)*$",
        ),
        "flexrs": Param(False, type="boolean", description="FlexRS for documents and corpus: cheaper, hours later"),
    }


def given(kind: str, name: str, description: str, **rules: Any) -> Param:
    """A parameter whose default is a setting; required where the setting is not there."""
    default = setting(name)
    values = {} if default is None else {"default": default}
    return Param(**values, type=kind, description=description, **rules)


def curation(recipe: str) -> Arguments:
    """What the inventory stage is told: the recipe, and every parameter that was given."""

    def arguments(context: Any) -> dict[str, str]:
        params = context["params"]
        return {"run": params["run"], "recipe": recipe, "input": params["input"], **named_options(params)}

    return arguments


def named_options(params: Any) -> dict[str, str]:
    """The options that were given, as strings."""
    return {name: str(params[name]) for name in OPTIONS if params.get(name) is not None} | params["options"]
