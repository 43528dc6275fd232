"""Prove that LLM routing works: an offline world of providers, and a judge of routing promises."""
