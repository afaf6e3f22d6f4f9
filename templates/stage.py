"""What a flex template's launcher and Airflow's Beam operator start; everything is in sluice.pipelines.launch.stage."""

import sys

from sluice.pipelines.launch.stage import main

if __name__ == "__main__":
    sys.exit(main())
