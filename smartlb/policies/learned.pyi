from smartlb.policies.policy import Policy, PolicyOptions

class Options(PolicyOptions):
    candidates: int

POLICY: Policy
