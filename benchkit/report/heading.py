"""What a report of a run is called, and the line of facts below its title."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def title_of(manifest: Mapping[str, Any]) -> str:
    """The model and the load that it was put under; not escaped."""
    return f"{model_of(manifest) or 'a server'} under {load_of(manifest)}"


def model_of(manifest: Mapping[str, Any]) -> str:
    """The model that answered, else the one that was asked for; empty where neither is known."""
    found = manifest.get("preflight") or {}
    return str(found.get("model") or manifest["parameters"].get("model") or "")


def load_of(manifest: Mapping[str, Any]) -> str:
    """The load in words, as ``8 concurrent streams``."""
    asked = manifest["parameters"]
    load = str(asked.get("load", ""))
    return {
        "concurrent": f"{asked.get('concurrency')} concurrent streams",
        "synchronous": "one request at a time",
        "throughput": "full throughput",
        "": "a load that its file does not name",
    }.get(load, f"{asked.get('rate', 0):g} requests/s ({load})")


def facts_of(manifest: Mapping[str, Any]) -> str:
    """When, its name, the server, the window, the lengths and the status, in one line; not escaped."""
    asked = manifest["parameters"]
    told = [
        str(manifest["created"])[:16].replace("T", " ") + " UTC",
        str(manifest["name"]),
        str((manifest.get("server") or {}).get("url") or asked.get("url") or ""),
        f"window {asked['duration_s']:.4g} s" if "duration_s" in asked else "",
        f"{asked['input_tokens']} tokens in, {asked['output_tokens']} out" if "input_tokens" in asked else "",
        str(manifest["status"]),
    ]
    return " · ".join(word for word in told if word)
