"""From the world to the answers: what the registries, checks and operators say becomes what is published."""
