"""The training loop, its optimisers and callbacks, and the cache of trained models."""
