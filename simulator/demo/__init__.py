"""`smartlb demo`: a fleet of unequal servers, with faults, and policies compared on equal terms."""
