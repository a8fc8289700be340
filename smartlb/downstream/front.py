# cython: annotation_typing=False
"""What the connections of clients share in one worker."""

from collections.abc import Sequence

from smartlb.downstream.admission import Admission
from smartlb.ports.services import Services
from smartlb.routing.routing import Routing
from smartlb.stages.plan import RoutePlan


class Front:
    """What a request meets before it has an exchange.

    Args:
        services: of the worker.
        admission: which connections there may be.
        routing: routes and request classes.
        plans: what each route does, by its number.

    Attributes:
        services, admission, routing, plans: the arguments.
        tls_handshakes, tls_handshakes_failed: so far.
        http2_calmed: connections closed for what `Http2` in the configuration does not allow, so far.
    """

    def __init__(self, services: Services, admission: Admission, routing: Routing, plans: Sequence[RoutePlan]) -> None:
        self.services = services
        self.admission = admission
        self.routing = routing
        self.plans = list(plans)
        self.tls_handshakes = self.tls_handshakes_failed = self.http2_calmed = 0
