"""Policies: each picks one backend of a pool, and each is one small file.

To add one: copy the file of the nearest policy, give it a name, and list it in `smartlb.policies.registry`.
"""
