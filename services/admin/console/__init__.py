"""The web console: pages over the same services as the admin API, without a build step."""
