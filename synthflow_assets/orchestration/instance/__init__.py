"""Extensions of a Dagster instance. They run only if `dagster.yaml` names them."""
