"""Detection stores as JSON of annotations or results, and such JSON as detection stores."""
