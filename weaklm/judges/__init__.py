"""Models as columns: LLM judges, entailment and similarity, asked once a row and remembered; functions threshold them."""
