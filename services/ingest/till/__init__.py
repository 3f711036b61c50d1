"""Coupons at the till: quoted, held, committed, released, and told to the ledger."""
