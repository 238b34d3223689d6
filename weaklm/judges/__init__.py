"""Models as columns: LLM judges, entailment, similarity, asked once a row and remembered; functions threshold them."""
