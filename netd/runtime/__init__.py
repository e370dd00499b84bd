"""The bundled container runtime: images (skopeo, umoci), bundles, runc under conmon."""
