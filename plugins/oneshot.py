"""The in-process path's entry: `python3 -I -S oneshot.py [--run-dir D] PLUGIN`.  Compiled at every start, so short."""

import gc
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
gc.disable()  # what one call leaves goes with the process

import pycni_plugins.inprocess  # noqa: E402

os._exit(pycni_plugins.inprocess.main(sys.argv[1:]))
