"""`dhcp daemon` of the plugin's directory: `python3 -I -S program.py [options]`."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from netd.dhcp.main import main

sys.exit(main(sys.argv[1:]))
