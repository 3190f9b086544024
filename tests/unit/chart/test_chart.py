"""What the chart makes of values, what it refuses, and that the committed manifest is the chart's."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts import manifest, recipes
from dev.cluster.tools import tool
from ksnap.agent.node_setup.api import RUNTIME
from ksnap.agent.node_setup.containerd_config import HANDLER
from ksnap.agent.settings import AgentSettings
from ksnap.model.checkpoint_key import RESTORE_LABEL, RUNTIME_CLASS
from ksnap.node.protocol import AGENT_PORT, AGENT_SELECTOR, SERVER_SERVICE_ACCOUNT

HELM = str(tool("helm"))
KEY = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----"


def objects(*options: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(manifest.render(HELM, *options)) if each]


def daemonset(*options: str) -> dict[str, Any]:
    return next(each for each in objects(*options) if each["kind"] == "DaemonSet")


def agent(*options: str) -> dict[str, Any]:
    containers: list[dict[str, Any]] = daemonset(*options)["spec"]["template"]["spec"]["containers"]
    return next(each for each in containers if each["name"] == "agent")


def mounts(*options: str) -> dict[str, dict[str, Any]]:
    return {each["mountPath"]: each for each in agent(*options)["volumeMounts"]}


def test_chart_passes_helms_lint() -> None:
    subprocess.run([HELM, "lint", "--strict", str(manifest.CHART)], check=True, capture_output=True, timeout=60)


def test_committed_manifest_is_the_charts() -> None:
    assert manifest.MANIFEST.read_text() == manifest.manifest(HELM), "run `uv run python charts/manifest.py`"


def test_pods_have_the_labels_that_the_server_looks_for() -> None:
    labels = daemonset()["spec"]["template"]["metadata"]["labels"]

    for wanted in AGENT_SELECTOR.split(","):
        name, _, value = wanted.partition("=")
        assert labels[name] == value


def test_no_container_has_any_privilege() -> None:
    spec = daemonset()["spec"]["template"]["spec"]

    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in security
        assert "memory" in container["resources"]["limits"]


def test_agent_alone_has_the_service_accounts_token() -> None:
    spec = daemonset()["spec"]["template"]["spec"]
    (token,) = [each for each in spec["volumes"] if each["name"] == "token"]
    having = [each["name"] for each in spec["containers"] if "token" in str(each.get("volumeMounts"))]

    assert spec["automountServiceAccountToken"] is False
    assert having == ["agent"]
    assert mounts()[str(AgentSettings.model_fields["service_account_dir"].default)]["name"] == "token"
    files = {
        item["path"]
        for source in token["projected"]["sources"]
        for item in [source.get("serviceAccountToken"), *next(iter(source.values())).get("items", [])]
        if item
    }
    assert files == {"token", "ca.crt", "namespace"}


def test_two_folders_of_the_node_are_writable_and_no_other() -> None:
    writable = {path for path, mount in mounts().items() if not mount.get("readOnly")}

    assert writable == {"/var/lib/kubelet/checkpoints", "/var/lib/ksnap", "/tmp"}  # noqa: S108 # memory, not the node's


def test_what_is_mounted_on_the_nodes_folders_is_read_only_too() -> None:
    for path, mount in {**mounts(), **mounts("--set=crio=true")}.items():
        assert not path.startswith("/host/") or mount["recursiveReadOnly"] == "IfPossible"


@pytest.mark.parametrize("option", ["criu.tcpClose", "criu.skipInFlight"])
def test_crius_configuration_is_mounted_only_if_an_option_is_on(option: str) -> None:
    assert "/host/etc-criu" not in mounts()
    assert not mounts(f"--set={option}=true")["/host/etc-criu"].get("readOnly")


def test_rights_are_the_fewest() -> None:
    roles = {each["metadata"]["name"]: each["rules"] for each in objects() if each["kind"] == "ClusterRole"}

    assert {(*rule["resources"], *rule["verbs"]) for rule in roles["ksnap-agent"]} == {
        ("nodes/checkpoint", "create"),
        ("nodes", "get"),
        ("tokenreviews", "create"),
        ("subjectaccessreviews", "create"),
    }
    assert roles["ksnap-server"] == [
        {"apiGroups": ["ksnap.dev"], "resources": ["nodeagents"], "verbs": ["get", "create", "delete"]}
    ]


def test_servers_account_has_the_name_that_it_looks_for() -> None:
    accounts = {
        each["metadata"]["name"] for each in objects("--set=nameOverride=x") if each["kind"] == "ServiceAccount"
    }

    assert SERVER_SERVICE_ACCOUNT in accounts


def test_server_gets_no_more_than_asked() -> None:
    assert [each for each in objects("--set=server.proxyRights=false") if each["kind"] in {"Role", "RoleBinding"}] == []


def test_server_may_run_commands_only_where_hooks_are_wanted() -> None:
    def granted(*options: str) -> list[tuple[str, list[str]]]:
        roles = [each for each in objects(*options) if each["kind"] in {"Role", "ClusterRole"}]
        rules = [(role["metadata"]["name"], rule) for role in roles for rule in role["rules"]]
        return [(name, rule["verbs"]) for name, rule in rules if "pods/exec" in rule["resources"]]

    assert granted() == []
    assert granted("--set=hooks.enabled=true") == [("ksnap-server", ["get", "create"])]


def test_server_may_install_webhooks_only_where_admission_hooks_are_wanted() -> None:
    def granted(*options: str) -> list[list[str]]:
        roles = [each for each in objects(*options) if each["kind"] in {"Role", "ClusterRole"}]
        rules = [rule for role in roles for rule in role["rules"]]
        return [rule["verbs"] for rule in rules if "mutatingwebhookconfigurations" in rule["resources"]]

    assert granted() == []
    assert granted("--set=snaphook.enabled=true") == [["get", "create", "patch", "delete"]]


def test_every_variable_is_a_setting_of_the_agent() -> None:
    everything = [
        "--set=criu.tcpClose=true,criu.skipInFlight=true,kubelet.insecure=true,kubelet.caConfigMap=a",
        "--set=report.serverUrl=https://ksnap,report.clusterName=c,report.caConfigMap=b",
        "--set=nodeSetup.enabled=true,prefetch.pullSecrets=true,prefetch.caConfigMap=d",
        f"--set=trust.publicKeys.a={KEY}",
    ]
    known = {f"KSNAP_AGENT_{name.upper()}" for name in AgentSettings.model_fields}

    assert {each["name"] for each in agent(*everything)["env"]} <= known
    assert {each["name"] for each in agent("--set=probe.enabled=false")["env"]} <= known
    assert agent()["ports"][0]["containerPort"] == AGENT_PORT


SET_UP = "--set=nodeSetup.enabled=true"


def named(kind: str, name: str, *options: str) -> dict[str, Any]:
    found = (each for each in objects(*options) if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return next(found)


def test_nodes_are_left_alone_unless_asked() -> None:
    kinds = {each["kind"] for each in objects()}

    assert not kinds & {"RuntimeClass", "ValidatingAdmissionPolicy", "Job"}
    assert "/run/ksnap" not in mounts()


def test_set_up_is_privileged_only_while_it_works() -> None:
    pod = named("DaemonSet", "ksnap-node-setup", SET_UP)["spec"]["template"]["spec"]
    [setup], [stays] = pod["initContainers"], pod["containers"]

    assert setup["securityContext"]["privileged"]
    assert stays["securityContext"]["runAsNonRoot"]
    assert "volumeMounts" not in stays
    assert pod["automountServiceAccountToken"] is False


def test_agent_stays_as_it_is_beside_the_set_up() -> None:
    spec = named("DaemonSet", "ksnap-agent", SET_UP)["spec"]["template"]["spec"]

    assert "hostPID" not in spec
    assert "initContainers" not in spec
    [container] = [each for each in spec["containers"] if each["name"] == "agent"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    written = {each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")}
    assert written == {"/var/lib/kubelet/checkpoints", "/var/lib/ksnap", "/tmp", "/run/ksnap"}  # noqa: S108


def test_class_and_handler_have_the_name_that_the_server_uses() -> None:
    runtime_class = named("RuntimeClass", RUNTIME_CLASS, SET_UP)

    assert runtime_class["handler"] == HANDLER
    assert runtime_class["scheduling"]["nodeSelector"] == {RESTORE_LABEL: RUNTIME}


BY_HAND = "--set=nodeSetup.byHand=true"


def test_nodes_that_are_set_up_by_hand_need_the_rest_of_it() -> None:
    made = {(each["kind"], each["metadata"]["name"]) for each in objects(BY_HAND)}

    assert ("RuntimeClass", RUNTIME_CLASS) in made
    assert {name for kind, name in made if kind == "DaemonSet"} == {"ksnap-agent"}
    assert agent(BY_HAND) == next(
        each
        for each in named("DaemonSet", "ksnap-agent", SET_UP)["spec"]["template"]["spec"]["containers"]
        if each["name"] == "agent"
    )
    assert named("ClusterRole", "ksnap-agent", BY_HAND) == named("ClusterRole", "ksnap-agent", SET_UP)


def test_recipes_are_what_the_set_up_would_write() -> None:
    for name, text in recipes.recipes().items():
        assert (recipes.FOLDER / name).read_text() == text, "run `make docs`"


@pytest.mark.parametrize(("name", "options"), [("containerd.toml", []), ("crio.conf", ["--set=crio=true"])])
def test_notes_print_the_recipe_that_is_asked_for(tmp_path: Path, name: str, options: list[str]) -> None:
    notes = notes_of(tmp_path, BY_HAND, *options)

    for file, text in recipes.recipes().items():
        printed = "".join(f"  {line}" if line.strip() else line for line in text.splitlines(keepends=True)).rstrip()
        assert ("".join(each.rstrip() + "\n" for each in notes.splitlines()).find(printed) >= 0) == (file == name)


def test_guide_has_the_recipes() -> None:
    guide = (manifest.ROOT / "docs/guides/runtime-class.md").read_text()
    unindented = "".join(line.removeprefix("   ") for line in guide.splitlines(keepends=True))

    for text in recipes.recipes().values():
        assert f"```toml\n{text}```" in unindented


def notes_of(folder: Path, *options: str) -> str:
    """Helm shows notes only to who installs, for which it wants a cluster: a template of the test's own has them."""
    chart = folder / "ksnap"
    shutil.copytree(manifest.CHART, chart)
    (chart / "templates" / "notes.yaml").write_text(
        'notes: {{ include (print .Template.BasePath "/NOTES.txt") . | toJson }}'
    )
    version = f"--kube-version={manifest.KUBE_VERSION}"
    command = [HELM, "template", "ksnap", str(chart), "--show-only=templates/notes.yaml", version, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    notes: str = yaml.safe_load(done.stdout)["notes"]
    return notes


def test_uninstall_may_change_the_set_ups_daemonset_and_nothing_else() -> None:
    [rule] = named("Role", "ksnap-uninstall", SET_UP)["rules"]
    job = named("Job", "ksnap-uninstall", SET_UP)

    assert (rule["resources"], rule["resourceNames"]) == (["daemonsets"], ["ksnap-node-setup"])
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"


def test_digest_wins_over_tag() -> None:
    digest = "sha256:" + "a" * 64

    assert agent(f"--set=image.digest={digest}", "--set=image.tag=x")["image"] == f"ksnap-agent@{digest}"


def agent_rights(*options: str) -> set[tuple[str, ...]]:
    rules = named("ClusterRole", "ksnap-agent", *options)["rules"]
    return {(*rule["resources"], *rule["verbs"]) for rule in rules}


def test_pods_are_watched_where_they_can_be_restored_and_secrets_read_only_if_asked() -> None:
    pods, secrets = ("pods", "get", "list", "watch"), ("secrets", "get")
    may_read_secrets = agent_rights(SET_UP, "--set=prefetch.pullSecrets=true")

    assert {pods, secrets}.isdisjoint(agent_rights("--set=prefetch.pullSecrets=true"))
    assert pods in agent_rights(SET_UP)
    assert secrets not in agent_rights(SET_UP)
    assert {pods, secrets} <= may_read_secrets
    assert {pods, secrets}.isdisjoint(agent_rights(SET_UP, "--set=prefetch.enabled=false,prefetch.pullSecrets=true"))


def test_trusted_keys_are_mounted_as_files_and_change_without_a_restart() -> None:
    options = [f"--set=trust.publicKeys.team\\.pem={KEY}", "--set=report.clusterName=prod"]
    variables = {each["name"]: each.get("value") for each in agent(*options)["env"]}

    assert named("ConfigMap", "ksnap-trusted-keys", *options)["data"] == {"team.pem": KEY}
    assert mounts(*options)[variables["KSNAP_AGENT_TRUSTED_KEYS_DIR"]]["readOnly"]
    assert "subPath" not in mounts(*options)["/etc/ksnap/trusted-keys"], "such a file never changes"
    assert variables["KSNAP_AGENT_CLUSTER_NAME"] == "prod"
    assert not [each for each in objects() if each["kind"] == "ConfigMap"]


def test_network_policy_is_made_when_asked_for() -> None:
    options = ["--set=networkPolicy.enabled=true", "--set=networkPolicy.from[0].ipBlock.cidr=10.0.0.1/32"]

    assert [each["kind"] for each in objects(*options)].count("NetworkPolicy") == 1


@pytest.mark.parametrize(
    "refused",
    [
        "image.digest=latest",
        "image.repository=",
        "image.pullPolicy=Sometimes",
        "kubelet.port=0",
        "kubelet.rootDir=var/lib/kubelet",
        "capture.maxDumps=0",
        "capture.stateDir=/var/lib/ksnap:rw",
        "capture.minFreeBytes=-1",
        "report.serverUrl=ftp://x",
        "report.serverUrl=https://ksnap",
        "logLevel=loud",
        "criu.tcpclose=true",
        "unknown=1",
        "terminationGracePeriodSeconds=1",
        "networkPolicy.enabled=true",
        "trust.publicKeys.a=x",
        "trust.publicKeys.a=-----BEGIN PRIVATE KEY-----A-----END PRIVATE KEY-----",
        "prefetch.enabled=maybe",
        "nodeSetup.byHand=true,nodeSetup.enabled=true",
    ],
)
def test_bad_values_are_refused(refused: str) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        manifest.render(HELM, f"--set={refused}")


def test_manifest_path_is_the_references() -> None:
    assert manifest.MANIFEST.relative_to(manifest.ROOT).as_posix() == "SnapApi/snap-cluster-monitor-daemonset.yaml"


def test_kubelets_are_read_only_if_asked_for() -> None:
    def rights(*values: str) -> list[str]:
        settings = [word for value in ("dashboard.enabled=true", *values) for word in ("--set", value)]
        found = [each for each in objects(*settings) if each["metadata"]["name"] == "ksnap-dashboard"]
        return [resource for each in found for rule in each.get("rules", ()) for resource in rule["resources"]]

    assert "nodes/proxy" not in rights()
    assert "nodes/proxy" in rights("dashboard.kubeletMetrics=true")


def test_the_dashboard_has_rights_only_if_asked_for() -> None:
    assert not [each for each in objects() if "dashboard" in each["metadata"]["name"]]
    found = objects("--set", "dashboard.enabled=true", "--set", "dashboard.roles.viewer={view,metrics-reader}")
    bindings = [
        each for each in found if each["kind"] == "ClusterRoleBinding" and each["subjects"][0]["kind"] == "Group"
    ]
    granted = {(each["subjects"][0]["name"], each["roleRef"]["name"]) for each in bindings}
    assert {("ksnap:administrator", "cluster-admin"), ("ksnap:operator", "edit")} <= granted
    assert {("ksnap:viewer", "view"), ("ksnap:viewer", "metrics-reader")} <= granted
    role = next(
        each for each in found if each["kind"] == "ClusterRole" and each["metadata"]["name"] == "ksnap-dashboard"
    )
    groups = next(each for each in role["rules"] if each["resources"] == ["groups"])
    assert groups["resourceNames"] == ["ksnap:administrator", "ksnap:operator", "ksnap:viewer"]
