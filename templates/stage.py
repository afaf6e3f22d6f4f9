"""What a flex template's launcher and Airflow's Beam operator start; everything is in sluice.pipelines.template."""

import sys

from sluice.pipelines.template import main

if __name__ == "__main__":
    sys.exit(main())
