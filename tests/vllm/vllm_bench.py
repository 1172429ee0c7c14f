"""Runs ``vllm bench serve`` in vLLM's own interpreter, once for each line of arguments that it reads.

The command of builds for CPUs is broken, its function is not. One process makes all runs: importing vLLM
takes longer than a run, and would load the machine on which the other side of the comparison is measured.
"""

import json
import sys
import time
from pathlib import Path

from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser

# The answers have stdout for themselves: what a benchmark prints is for people.
answers, sys.stdout = sys.stdout, sys.stderr
print(json.dumps({"ready": True}), file=answers, flush=True)
for line in sys.stdin:
    parser = FlexibleArgumentParser()
    add_cli_args(parser)
    arguments = parser.parse_args(json.loads(line))
    began = time.monotonic()
    main(arguments)
    result = Path(arguments.result_dir, arguments.result_filename)
    print(json.dumps({"file": str(result), "took_s": time.monotonic() - began}), file=answers, flush=True)
