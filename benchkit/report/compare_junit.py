"""The gates of a comparison as JUnit XML, for whoever shows a job's tests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from benchkit.errors import InvalidParameter
from benchkit.report import compare_rows

if TYPE_CHECKING:
    from benchkit.analysis.gates import JudgedGate
    from benchkit.report.compare import Comparison

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(found: Comparison) -> str:
    """A test case a gate: failed, passed, or skipped where it cannot be decided (strict: failed).

    Raises:
        InvalidParameter: there are no gates.
    """
    if not found.gates:
        raise InvalidParameter(
            "'fail_on' is empty, so there is nothing to test: name a gate, as 'p99 ttft +5%'"
        )
    failed = [each for each in found.gates if _fails(each, found)]
    skipped = [each for each in found.gates if each.outcome == "inconclusive" and each not in failed]
    base, new = found.names
    counts = {
        "tests": str(len(found.gates)),
        "failures": str(len(failed)),
        "errors": "0",
        "skipped": str(len(skipped)),
    }
    root = ET.Element("testsuites", {"name": "benchkit compare", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": _legal(f"{new} against {base}"), **counts})
    for each in found.gates:
        case = ET.SubElement(
            suite,
            "testcase",
            {"classname": _legal(each.load or "benchkit.compare"), "name": _legal(each.gate.text)},
        )
        if each in failed:
            told = ET.SubElement(case, "failure", {"message": _legal(each.why), "type": each.outcome})
            told.text = _legal("\n".join(compare_rows.headline(found)))
        elif each in skipped:
            ET.SubElement(case, "skipped", {"message": _legal(each.why)})
    told = ET.SubElement(suite, "system-out")
    told.text = _legal(str(found))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _fails(each: JudgedGate, found: Comparison) -> bool:
    return each.outcome == "fail" or (found.parameters.strict and each.outcome == "inconclusive")


def _legal(text: str) -> str:
    """Text without what XML has no place for."""
    return _NOT_XML.sub(" ", text)
