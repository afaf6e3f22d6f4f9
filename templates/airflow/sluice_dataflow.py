"""sluice_dataflow_RECIPE: a curation on Dataflow, one job from a flex template for each stage, each waited for.

    airflow dags trigger sluice_dataflow_d4 --conf \\
        '{"input": "gs://bucket/corpus/*.jsonl.zst", "run": "gs://bucket/runs/first", "keep_tokens": "10B"}'
"""

from airflow.sdk import DAG
from sluice_common import recipes
from sluice_params import ON_GCS, curation, curation_params, dataflow_params
from sluice_tasks import DEFAULTS, chain_stages, dataflow_stage

for name, recipe in recipes().items():
    with DAG(
        f"sluice_dataflow_{name}",
        description=f"Curation on Dataflow by the recipe {name}",
        schedule=None,
        params={**curation_params(ON_GCS), **dataflow_params()},
        default_args=DEFAULTS,
        doc_md=__doc__,
        tags=["sluice", "dataflow"],
    ) as dag:
        chain_stages(recipe["stages"], dataflow_stage, curation(recipe["recipe"]), dag.dag_id)
    globals()[dag.dag_id] = dag
