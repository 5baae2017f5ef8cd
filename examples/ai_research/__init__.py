"""A batch that researches products with a language model: `txprof demo` runs it."""
