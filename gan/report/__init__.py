"""Run folders as one page: tables, pictures and curves. Reads files alone, and imports no torch."""
