"""The embedded demonstration: a shop, a writer, two pipelines that are killed and come back, and a comparison.

Never touches a server that it did not start itself, and leaves nothing behind unless it is told to. `stage.run` is it.
"""
