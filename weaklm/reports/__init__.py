"""What a Report and a Comparison are made of: one question a module, plain values out."""
