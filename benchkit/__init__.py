"""benchkit: a Jupyter-first, reproducible benchmark kit for LLM serving."""

__version__ = "0.1.0"
