"""The report, the findings and the guideline: numbers in sentences."""
