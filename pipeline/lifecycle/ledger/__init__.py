"""The ledger of repairs: its entries, the attempts that they add up to, and the file."""
