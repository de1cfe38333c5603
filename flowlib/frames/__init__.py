"""The density for people of scikit-learn, pandas and polars."""
