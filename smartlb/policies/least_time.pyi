from smartlb.policies.policy import Policy, PolicyOptions

class Options(PolicyOptions):
    idle_s: int

POLICY: Policy
