"""Archives: one file of named parts, each a stream of records; docs/archive-format.md has every byte."""
