"""From a record's bytes to an event with values in the field's words."""
