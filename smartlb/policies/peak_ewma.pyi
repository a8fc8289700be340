from smartlb.policies.policy import Policy, PolicyOptions

class Options(PolicyOptions):
    decay_s: float

POLICY: Policy
