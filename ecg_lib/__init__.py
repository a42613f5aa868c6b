"""A companion to "De-biased Multimodal Electrocardiogram Analysis": the notebooks' library."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("debiased-ecg")
except PackageNotFoundError:  # imported from a folder that was never installed
    __version__ = "unknown"
