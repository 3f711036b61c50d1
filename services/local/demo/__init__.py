"""A year of real purchases through the real services, then tills that sell live and people who read their mail.

`run` is the way through it; one file each for the shop, its year, its customers, the publishing, the mails, the tills,
the readers.
"""
