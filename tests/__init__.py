"""A package, so that `tests.tiny_models` is ours: some libraries install a package named tests."""
