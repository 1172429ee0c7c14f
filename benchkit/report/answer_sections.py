"""The parts of a run's report that are words and tables, under the names by which its notebook calls them."""

from benchkit.report.answer import answer
from benchkit.report.answer_method import method
from benchkit.report.sections import again, headline, manifest, metrics, objectives, preflight
from benchkit.report.slowest_section import slowest

__all__ = [
    "again",
    "answer",
    "headline",
    "manifest",
    "method",
    "metrics",
    "objectives",
    "preflight",
    "slowest",
]
