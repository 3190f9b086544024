"""Annotations of a pod by which its containers are restored; each is `<domain>/<container's name>`."""

RESTORE_DOMAIN = "restore.ksnap.dev"
"""host/repository@digest: the wish to be restored from this image. ksnap-runc reads it too (runtime/bundle.go)."""

PERMIT_DOMAIN = "permit.ksnap.dev"
"""A signed permit (`oci.restore_permit`): the server's word that this very pod may."""
