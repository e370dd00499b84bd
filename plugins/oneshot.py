"""The in-process path's entry: `python3 -I -S oneshot.py [--run-dir D] PLUGIN`.  Compiled at every start, so short."""

import gc
import os
import sys

gc.disable()  # what one call leaves goes with the process
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from pycni_plugins.inprocess import main

os._exit(main(sys.argv[1:]))
