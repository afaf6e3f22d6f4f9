"""Mathematics and models. Whatever is imported from here finds JAX's and TensorFlow's settings made."""

from sluice.models.arrays.device import set_environment

set_environment()
