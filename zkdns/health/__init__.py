"""Who is well: probes -> verdicts -> the serving Catalog."""
