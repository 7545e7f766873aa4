"""The version of this package, which follows the service's: a minor version goes with its minor."""

__version__ = "0.1.0"
