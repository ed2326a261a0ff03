"""A model behind an OpenAI-compatible chat endpoint: asked at most once about anything, whatever is killed.

The prompts and the reading of answers are in `scorers`; here is what carries them there and back.
"""
