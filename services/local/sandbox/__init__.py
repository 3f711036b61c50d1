"""A mail provider on this machine: speaks Resend's API, keeps every mail on disk, shows it in an inbox page."""
