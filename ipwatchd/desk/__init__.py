"""The front desk: how reports come in, and what is done about incidents beside their log."""
