"""Every reference by its name."""

from simulator.references import (
    atw,
    c3,
    clairvoyant,
    envoy_least_request,
    grpc_wrr,
    haproxy_leastconn,
    kong_latency,
    lvs_nq,
    prequal,
    tower_peak_ewma,
)
from simulator.references.reference import Reference

REFERENCES: dict[str, Reference] = {
    reference.name: reference
    for reference in (
        clairvoyant.REFERENCE,
        prequal.REFERENCE,
        c3.REFERENCE,
        grpc_wrr.REFERENCE,
        envoy_least_request.REFERENCE,
        haproxy_leastconn.REFERENCE,
        lvs_nq.REFERENCE,
        kong_latency.REFERENCE,
        tower_peak_ewma.REFERENCE,
        tower_peak_ewma.LINKERD,
        atw.REFERENCE,
    )
}
