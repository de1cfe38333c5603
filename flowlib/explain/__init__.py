"""Why a row is as likely as it is: columns to blame, what was expected, the nearest ordinary row."""
