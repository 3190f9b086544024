"""Kinds that every cluster has, for calls that need no discovery."""

from ksnap.dashboard.discovery import Kind

DEPLOYMENT = Kind("apps", ("v1",), "Deployment", "deployments", namespaced=True)
DAEMON_SET = Kind("apps", ("v1",), "DaemonSet", "daemonsets", namespaced=True)
STATEFUL_SET = Kind("apps", ("v1",), "StatefulSet", "statefulsets", namespaced=True)
REPLICA_SET = Kind("apps", ("v1",), "ReplicaSet", "replicasets", namespaced=True)
REPLICATION_CONTROLLER = Kind("", ("v1",), "ReplicationController", "replicationcontrollers", namespaced=True)
CRON_JOB = Kind("batch", ("v1",), "CronJob", "cronjobs", namespaced=True)
JOB = Kind("batch", ("v1",), "Job", "jobs", namespaced=True)
SERVICE = Kind("", ("v1",), "Service", "services", namespaced=True)
SECRET = Kind("", ("v1",), "Secret", "secrets", namespaced=True)
POD = Kind("", ("v1",), "Pod", "pods", namespaced=True)
NAMESPACE = Kind("", ("v1",), "Namespace", "namespaces", namespaced=False)
NODE = Kind("", ("v1",), "Node", "nodes", namespaced=False)
