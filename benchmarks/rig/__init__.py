"""What the proxy benchmark measures with: processes, backends, request shapes, load generators, report."""
