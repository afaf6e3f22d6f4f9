"""sluice_beam_RECIPE: a curation where Airflow's workers run, or on a Flink cluster, one process for each stage.

airflow dags trigger sluice_beam_d4 --conf '{"input": "/data/corpus", "run": "/data/runs/first", "keep": 0.5}'
airflow dags trigger sluice_beam_d4 --conf '{"input": "s3://bucket/corpus", "run": "s3://bucket/runs/first",
    "keep": 0.5, "runner": "FlinkRunner", "beam_options": {"flink_master": "host:8081", "parallelism": 8}}'
"""

from airflow.sdk import DAG
from sluice_common import recipes
from sluice_params import ANYWHERE, beam_params, curation, curation_params
from sluice_tasks import DEFAULTS, beam_stage, chain_stages

for name, recipe in recipes().items():
    with DAG(
        f"sluice_beam_{name}",
        description=f"Curation through Beam by the recipe {name}",
        schedule=None,
        params={**curation_params(ANYWHERE), **beam_params()},
        default_args=DEFAULTS,
        doc_md=__doc__,
        tags=["sluice", "beam"],
    ) as dag:
        chain_stages(recipe["stages"], beam_stage, curation(recipe["recipe"]), dag.dag_id)
    globals()[dag.dag_id] = dag
