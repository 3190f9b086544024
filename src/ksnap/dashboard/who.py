"""Who a caller is: asked of Kubernetes, for a token says what it likes."""

from ksnap.dashboard.context import ClusterAsCaller

SERVICE_ACCOUNT = "system:serviceaccount:"


async def who_is(at: ClusterAsCaller) -> dict[str, object]:
    """`{"name": ..., "authenticated": true}`; the account's bare name for a service account.

    SelfSubjectReview (authentication.k8s.io/v1) knows every kind of user; KubeRefusal (401) for a token that is none.
    """
    username = await username_of(at)
    if username.startswith(SERVICE_ACCOUNT):
        username = username.rpartition(":")[2]
    if username.startswith("ksnap:"):
        username = username.removeprefix("ksnap:")
    return {"name": username, "authenticated": True} if username else {"authenticated": True}


async def username_of(at: ClusterAsCaller) -> str:
    """A caller's whole name in the cluster; KubeRefusal (401) for a token that is none."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    review = await at.api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", body, what="self review")
    return str(((review.get("status") or {}).get("userInfo") or {}).get("username", ""))


async def check_token(at: ClusterAsCaller) -> None:
    """One `GET /version` with the caller's token: KubeRefusal (401) if it is not good."""
    await at.api.get("/version", what="version")
