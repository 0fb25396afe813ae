"""The reporting service: how did it go?"""
