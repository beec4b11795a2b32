"""What Dagster's Helm chart creates from `deploy/kubernetes/values.yaml`: Services, and the variables of each pod.

Helm cannot run in the tests, so this follows the chart's templates (1.13), for a release called `dagster`:

* service-user.yaml, _service-webserver.tpl: a Service for each code server, with its name, and one for the webserver.
* configmap-env-*.yaml, "shared_env" in _helpers.tpl: the ConfigMaps with the variables of each kind of pod.
* deployment-user.yaml, _deployment-webserver.tpl, deployment-daemon.yaml: the pods, and which variables they have.
* _run-launcher.tpl, _helpers.tpl ("k8sContainerContext"): what a run's pod gets from the launcher and the code server.

No template sets `enableServiceLinks`, so Kubernetes adds the variables of all Services to each pod of the chart.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

RELEASE = "dagster"
DAGSTER_HOME = "/opt/dagster/dagster_home"
_PASSWORD = {"DAGSTER_PG_PASSWORD": "p"}


@dataclass(frozen=True)
class Chart:
    """The values, and the Secrets that they name: the data of each by its name."""

    values: dict[str, Any]
    secrets: dict[str, dict[str, str]]

    @property
    def code_server(self) -> dict[str, Any]:
        [deployment] = self.values["dagster-user-deployments"]["deployments"]
        return dict(deployment)

    @property
    def image(self) -> str:
        return "{repository}:{tag}".format(**self.code_server["image"])

    def services(self) -> dict[str, tuple[int, str]]:
        """Return the port of each Service of the namespace and the port's name."""
        return {
            self.code_server["name"]: (self.code_server["port"], "grpc"),
            f"{RELEASE}-dagster-webserver": (80, "http"),
            "kubernetes": (443, "https"),  # of each namespace
        }

    def config_maps(self) -> dict[str, dict[str, str]]:
        """Return the data of each ConfigMap with variables."""
        user = {
            "DAGSTER_HOME": DAGSTER_HOME,
            "DAGSTER_K8S_PIPELINE_RUN_NAMESPACE": "synthflow",
            "DAGSTER_K8S_PIPELINE_RUN_ENV_CONFIGMAP": f"{RELEASE}-pipeline-env",
        }
        shared = user | {
            "DAGSTER_K8S_PG_PASSWORD_SECRET": self.values["global"]["postgresqlSecretName"],
            "DAGSTER_K8S_INSTANCE_CONFIG_MAP": f"{RELEASE}-instance",
            "DAGSTER_K8S_PIPELINE_RUN_IMAGE": "docker.io/dagster/user-code-example:1.13.27",
            "DAGSTER_K8S_PIPELINE_RUN_IMAGE_PULL_POLICY": "Always",
        }
        return {
            f"{RELEASE}-dagster-user-deployments-user-deployments-shared-env": user,
            f"{RELEASE}-dagster-user-deployments-{self.code_server['name']}-user-env": self.code_server["env"],
            f"{RELEASE}-pipeline-env": shared | self.values.get("pipelineRun", {}).get("env", {}),
            f"{RELEASE}-webserver-env": shared | self.values["dagsterWebserver"].get("env", {}),
            f"{RELEASE}-daemon-env": shared | self.values["dagsterDaemon"].get("env", {}),
        }

    def container_context(self) -> dict[str, Any]:
        """Return what the code server tells Dagster about the pods of its runs."""
        server = self.code_server
        if not server.get("includeConfigInLaunchedRuns", {"enabled": True})["enabled"]:
            return {}
        return {
            "k8s": {
                "image_pull_policy": server["image"]["pullPolicy"],
                "env_config_maps": [f"{RELEASE}-dagster-user-deployments-{server['name']}-user-env"],
                "env_secrets": [secret["name"] for secret in server["envSecrets"]],
                "resources": server["resources"],
                "namespace": "synthflow",
                "service_account_name": self.values["serviceAccount"]["name"],
                "run_k8s_config": {"pod_spec_config": {"automount_service_account_token": True}},
            }
        }

    def launcher_config(self) -> dict[str, Any]:
        """Return the configuration of the run launcher in `dagster.yaml`."""
        launcher = self.values["runLauncher"]["config"]["k8sRunLauncher"]
        return {
            "load_incluster_config": True,
            "job_namespace": "synthflow",
            "image_pull_policy": launcher["imagePullPolicy"],
            "service_account_name": self.values["serviceAccount"]["name"],
            "dagster_home": DAGSTER_HOME,
            "instance_config_map": f"{RELEASE}-instance",
            "postgres_password_secret": self.values["global"]["postgresqlSecretName"],
            "env_config_maps": [
                f"{RELEASE}-pipeline-env",
                *(each["name"] for each in launcher.get("envConfigMaps", [])),
            ],
            "env_secrets": [secret["name"] for secret in launcher.get("envSecrets", [])],
            "run_k8s_config": {
                re.sub("([A-Z])", r"_\1", key).lower(): value for key, value in launcher["runK8sConfig"].items()
            },
        }

    def job(self) -> dict[str, Any]:
        """Return the Job of a run, as Dagster's launcher creates it from both configurations."""
        from dagster_k8s.container_context import K8sContainerContext
        from dagster_k8s.job import DagsterK8sJobConfig, UserDefinedDagsterK8sConfig, construct_dagster_k8s_job
        from kubernetes.client import ApiClient

        config = self.launcher_config()
        context = K8sContainerContext(
            image_pull_policy=config["image_pull_policy"],
            service_account_name=config["service_account_name"],
            env_config_maps=config["env_config_maps"],
            env_secrets=config["env_secrets"],
            namespace=config["job_namespace"],
            run_k8s_config=UserDefinedDagsterK8sConfig.from_dict(config["run_k8s_config"]),
        ).merge(K8sContainerContext.create_from_config(self.container_context()))
        names = ("dagster_home", "instance_config_map", "postgres_password_secret")
        job = construct_dagster_k8s_job(
            DagsterK8sJobConfig(job_image=self.image, **{name: config[name] for name in names}),
            ["dagster", "api", "execute_run"],
            "dagster-run-0",
            user_defined_k8s_config=context.run_k8s_config,
            env_vars=[{"name": "DAGSTER_RUN_JOB_NAME", "value": "synthflow_daily"}],
        )
        return dict(ApiClient().sanitize_for_serialization(job))

    def variables(self) -> dict[str, dict[str, str]]:
        """Return the variables that each kind of pod is given, without those of service links."""
        maps, server = self.config_maps(), self.code_server
        context = {"DAGSTER_CLI_API_GRPC_CONTAINER_CONTEXT": json.dumps(self.container_context())}
        secrets = [self.secrets[secret["name"]] for secret in server["envSecrets"]]
        [container] = self.job()["spec"]["template"]["spec"]["containers"]
        run = {variable["name"]: variable.get("value", "p") for variable in container["env"]}
        for source in container["envFrom"]:
            [(kind, reference)] = source.items()
            run |= (maps if kind == "configMapRef" else self.secrets)[reference["name"]]
        return {
            "code server": _PASSWORD
            | {"DAGSTER_CURRENT_IMAGE": self.image}
            | (context if self.container_context() else {})
            | maps[f"{RELEASE}-dagster-user-deployments-user-deployments-shared-env"]
            | maps[f"{RELEASE}-dagster-user-deployments-{server['name']}-user-env"]
            | {name: value for secret in secrets for name, value in secret.items()},
            "webserver": _PASSWORD | maps[f"{RELEASE}-webserver-env"],
            "daemon": _PASSWORD | maps[f"{RELEASE}-daemon-env"],
            "run": run,
        }

    def service_links(self) -> dict[str, str]:
        """Return the variables that Kubernetes adds for each Service of the namespace."""
        links = {}
        for service, (port, port_name) in self.services().items():
            name = service.upper().replace("-", "_")
            address = f"tcp://10.0.0.1:{port}"
            links |= {
                f"{name}_SERVICE_HOST": "10.0.0.1",
                f"{name}_SERVICE_PORT": str(port),
                f"{name}_SERVICE_PORT_{port_name.upper()}": str(port),
                f"{name}_PORT": address,
                f"{name}_PORT_{port}_TCP": address,
                f"{name}_PORT_{port}_TCP_PROTO": "tcp",
                f"{name}_PORT_{port}_TCP_PORT": str(port),
                f"{name}_PORT_{port}_TCP_ADDR": "10.0.0.1",
            }
        return links
