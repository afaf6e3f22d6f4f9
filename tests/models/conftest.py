"""What tests that run models share: programs compiled once, and without the optimisations that only long runs repay."""

import pytest


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    return str(tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="module")
def quick_programs(programs):
    """Compile each JAX program of these tests once in a session, in about half the time.

    Settings of the process, which tests of other modules must not find changed: their vectors would differ in bits.
    """
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    settings = {
        "jax_compilation_cache_dir": programs,
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_disable_most_optimizations": True,
    }
    before = {name: jax.config.values[name] for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture
def one_bucket(monkeypatch):
    """Every text padded to max_tokens: one program instead of several."""
    from sluice.models.embedders import batches

    monkeypatch.setattr(batches, "bucket_lengths", lambda longest: [longest])
