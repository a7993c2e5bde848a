"""What the SQL engines share: their statements, and the programs that read and insert with them."""
