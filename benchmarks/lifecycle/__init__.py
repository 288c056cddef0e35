"""What a whole cycle costs, and the tables of the README."""
