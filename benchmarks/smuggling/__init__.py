"""Whether the router and its backends ever disagree on where a request ends; docs/security.md describes it."""
