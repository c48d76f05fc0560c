"""Where the texts of documents are: in files of their own, or in rows of tables."""
