"""What the screens are made of: lines of pieces, the virtual table, header, footer, panels."""
