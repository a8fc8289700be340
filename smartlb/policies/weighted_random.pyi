from smartlb.policies.policy import Policy

POLICY: Policy
