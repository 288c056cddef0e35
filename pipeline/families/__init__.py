"""The families of recommenders: one file of idea each, fitted on a `Shop`."""
