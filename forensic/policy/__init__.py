"""Policies in Cedar: which stages may be applied, decided before a pixel is touched.

``store`` reads policy files, ``engine`` decides, ``explain`` says why in plain words.
"""
