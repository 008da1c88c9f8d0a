"""Names that are not ours: which upstream is asked, what of its reply is believed, how long it is kept."""
