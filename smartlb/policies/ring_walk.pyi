from smartlb.policies.compiled import Program

PROGRAM: Program
